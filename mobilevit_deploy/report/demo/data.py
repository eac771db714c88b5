"""What comes with the package for the demo; README.md beside it says where it is from."""

from pathlib import Path

MODEL, SIZE = "cas_vit_xs", 64  # as the checkpoint was trained
CHECKPOINT = Path(__file__).with_name("cas_vit_xs_digits64.safetensors")
PICTURE = Path(__file__).with_name("digit.png")
DIGIT = 2  # what the picture shows
