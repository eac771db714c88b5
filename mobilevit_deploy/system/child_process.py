"""Programs that run in a process of their own, because they may crash, hang or disturb a measurement."""

import sys

# -P: a file of the user's that is called like a module, random.py or onnx.py, is not imported from the current folder.
CHILD = (sys.executable, "-P", "-m")
