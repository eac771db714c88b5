"""The pictures of the page of a sweep in docs/how-to/report.md, of made-up figures.

Run ``.venv/bin/python -m tests.report.browser.make_screenshots`` to write them anew, after a change of what the page
looks like. It needs Chromium and the extra ``browser``.
"""

import io
import tempfile
from pathlib import Path

from PIL import Image

from mobilevit_deploy.report.matrix.changes import compare
from mobilevit_deploy.report.matrix.html import render
from mobilevit_deploy.report.matrix.read import read_matrix
from tests.report.browser.chromium import DESK, PHONE, opened, running
from tests.report.matrix.sample import made_up, write

FOLDER = Path(__file__).parents[3] / "docs" / "images"
SHOTS = {
    "matrix-desktop": ("", DESK, "light", 1.0),
    "matrix-plots": ("#view=plots", DESK, "light", 1.0),
    "matrix-phone": ("#q=cas_vit&status=done&view=list", PHONE, "dark", 2.0),
}


def main() -> None:
    """Writes the pictures."""
    with tempfile.TemporaryDirectory() as name, running() as browser:
        sweep = made_up(132, seed=2)
        page = write(sweep, Path(name)) / "matrix.html"
        page.write_text(render(read_matrix(Path(name)), compare(made_up(132, seed=1), sweep), page), encoding="utf-8")
        for shot, (fragment, size, scheme, scale) in SHOTS.items():
            with opened(browser, page, fragment, size, scheme, scale=scale) as tab:
                picture = Image.open(io.BytesIO(tab.page.screenshot())).convert("RGB")
            few = picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)  # a third of the bytes
            few.save(FOLDER / f"{shot}.png", optimize=True)


if __name__ == "__main__":
    main()
