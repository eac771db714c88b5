"""The picture of the README: what ``mvd export`` prints, as the program prints it, and what lies on disk then.

Run: ``python -m tools.docs.export_picture``. It exports the checkpoint of ``mvd demo`` to Core ML, for half a minute,
and writes ``docs/images/export.svg``.
"""

import os
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

import torch
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text
from safetensors.torch import load_file
from torch import Tensor

from mobilevit_deploy.report.demo.data import CHECKPOINT

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "images" / "export.svg"
COMMAND = "export cas_vit_xs --checkpoint checkpoint_best.pth --input-size 64 --to coreml"
WIDTH = 106

THEME = TerminalTheme(
    background=(13, 17, 23),
    foreground=(230, 237, 243),
    normal=[
        (72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34),
        (88, 166, 255), (188, 140, 255), (57, 197, 207), (177, 186, 196),
    ],
)  # fmt: skip

# Rich's own frame without its font, which it would load from elsewhere.
FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<title>mvd export</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def checkpoint() -> dict[str, Tensor]:
    """Returns the trained weights of the demo as training saves them, with the counters of batch norms."""
    weights = load_file(CHECKPOINT)
    counters = [name.replace("running_var", "num_batches_tracked") for name in weights if name.endswith("running_var")]
    return {**{name: value.float() for name, value in weights.items()}, **dict.fromkeys(counters, torch.tensor(1))}


def run() -> tuple[str, list[str]]:
    """Returns what the export prints, in colour, and the files that it leaves."""
    with tempfile.TemporaryDirectory() as folder:
        torch.save({"model_ema": checkpoint()}, Path(folder) / "checkpoint_best.pth")
        variables = {
            **os.environ,
            "FORCE_COLOR": "1",
            "COLUMNS": str(WIDTH),
            "MVD_CACHE": str(Path(folder) / "kept"),
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "mobilevit_deploy", *COMMAND.split()]
        done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=True)
        return done.stdout, sorted(path.name for path in (Path(folder) / "artifacts").iterdir())


def picture(printed: str, files: list[str]) -> str:
    """Returns the picture of a terminal with the command, what it printed, and the files."""
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True, color_system="truecolor")
    prompt = Text("$ ", style="bold green")
    console.print(prompt + Text(f"mvd {COMMAND}"))
    console.print(Text.from_ansi(printed))
    console.print(prompt + Text("ls artifacts"))
    for file in files:
        console.print(Text(file))
    console.print()
    svg = console.export_svg(title="", theme=THEME, code_format=FRAME, unique_id="mvd")
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def main() -> None:
    """Exports, and writes the picture."""
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(picture(*run()), encoding="utf-8")


if __name__ == "__main__":
    main()
