"""The families, one file each, with ``build``."""
