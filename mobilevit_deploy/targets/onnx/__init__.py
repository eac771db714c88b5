"""ONNX: converter, runner, int8, and the child processes that simplify, time and profile."""
