"""Queries, keys, values and what is computed of them."""
