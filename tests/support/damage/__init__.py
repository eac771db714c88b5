"""Damaged weights of saved files: the bytes of one tensor are changed where they stand, without the readers of mvd.

``places`` finds the tensors of a file, ``kinds`` says what happens to one, and ``make`` writes a damaged copy.
"""
