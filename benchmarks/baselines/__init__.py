"""mvd's exports against what people would otherwise do; one file per way (see ``way.py``)."""
