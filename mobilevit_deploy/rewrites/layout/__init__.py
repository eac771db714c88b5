"""Reshapes, permutations, slices: what moves values and computes nothing."""
