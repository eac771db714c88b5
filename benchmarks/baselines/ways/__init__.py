"""The ways: TITLE, ABOUT, build and, for a file that ONNX Runtime does not run, NEEDS and load."""
