"""Reads and evaluates a saved Core ML ML Program (``.mlpackage``) on torch ops, without Core ML.

The folder is untrusted input. ``package`` opens it, ``program`` decodes the protobuf, ``blobs`` and ``constants``
decode the weights, ``operations`` computes each MIL op, and ``evaluate`` walks a function. What an op means is
taken from coremltools' definitions of MIL; what the file does not say, or says in a way that is not known here,
is an ArtifactError and never a guess.
"""
