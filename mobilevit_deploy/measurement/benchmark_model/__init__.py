"""``benchmark_model``, TensorFlow Lite's and LiteRT's own command line tool: what it is asked, and what it prints.

It is no package of Python: users bring it, for their phone or for this machine. Times that it prints are those of
whole runs of the interpreter on random inputs, without copying the input.
"""
