"""Necks and heads for the maps of any family, one file each; those with ``build`` are named by ``models/heads/``."""
