"""Pickles read as data: nothing in them is imported, called or built but plain values and tensors."""
