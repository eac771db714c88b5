"""ExecuTorch: converter, runner, int8, and the reader of ``.pte`` files."""
