"""Activation functions: recognised, or written out."""
