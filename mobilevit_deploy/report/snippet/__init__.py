"""Code for an app that runs an artifact: a template for each language and runtime, filled with what the file says."""
