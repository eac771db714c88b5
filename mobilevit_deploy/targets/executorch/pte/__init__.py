"""ExecuTorch's ``.pte`` files, read as bytes: nothing in them is run, and nothing native looks at them."""

from mobilevit_deploy.targets.executorch.pte.program import Plan, Program, Value, read_program

__all__ = ["Plan", "Program", "Value", "read_program"]
