"""Norms: folded into layers, or spelled as a target wants them."""
