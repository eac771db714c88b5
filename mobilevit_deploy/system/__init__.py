"""Files and processes: nothing here knows of models."""
