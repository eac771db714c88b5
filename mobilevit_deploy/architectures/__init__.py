"""The families, one file each, with ``build``; ``heads`` has the necks and heads for their maps."""
