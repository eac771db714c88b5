"""The picture of ``mvd demo``: a handwritten digit that its model was not trained on.

Run: ``python -m tools.demo_picture``. It takes one of scikit-learn's digits, 8x8, as ``tests/golden/digits.py`` does,
and gives it a border that the model's own preprocessing cuts off again.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_digits

from mobilevit_deploy.report.demo.data import DIGIT, PICTURE

TRAINED_ON = 1400  # of all 1797, in the order of the seed
CHOSEN = 5  # of those, counted from 0: one that people read at once, too
WHOLE, INSIDE = 256, 224  # pixels: what is resized, and what of it is left by the crop


def main() -> None:
    """Writes one of those digits."""
    digits = load_digits()
    order = torch.randperm(len(digits.images), generator=torch.Generator().manual_seed(0))[TRAINED_ON:]
    place = [int(number) for number in order if digits.target[number] == DIGIT][CHOSEN]
    image = torch.tensor(digits.images[place], dtype=torch.float32)[None, None] / 16
    large = F.interpolate(image, size=(INSIDE, INSIDE), mode="bilinear", align_corners=False)
    border = (WHOLE - INSIDE) // 2
    pixels = F.pad(large, [border] * 4)[0, 0].mul(255).round().byte().numpy()
    Image.fromarray(pixels).save(PICTURE, optimize=True)
    print(f"wrote {PICTURE.relative_to(Path.cwd())}, {PICTURE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
