"""Rewrites of the captured graph, by what they are about; ``rewrite`` proves them, ``order`` has their order."""
