"""Models that other libraries publish, exported to every target: what goes through, and why the rest does not.

Run: ``python benchmarks/zoo.py --results docs/models.json [--list timm] [--to onnx] [--page docs/models.md]``. The
lists stand in ``zoo.toml``; their libraries must be installed (``pip install timm torchvision transformers``). Nothing
is downloaded: the weights are random. An export is a process of its own, so a crash costs one row; a run goes on where
it stopped. ``--trained-like`` gives the models weights such as training leaves them, through a checkpoint.
"""

import json
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from mobilevit_deploy.catalog.formats import formats

LISTS = Path(__file__).with_suffix(".toml")
LIMIT_S = 900
PASSED = "passed"

console = Console(stderr=True)


@dataclass(frozen=True)
class Row:
    """One export.

    Attributes:
        list: of ``zoo.toml``.
        model: its name there.
        target: of the export.
        trained_like: whether its weights are such as training leaves them.
        exit: the command's exit code; None where it did not end in ``LIMIT_S``.
        verdict: "passed", else the reason.
        note: what the report says beside a pass, such as what half precision costs.
        seconds: that it took, its share where several targets were exported at once.
        library: with its release.
    """

    list: str
    model: str
    target: str
    trained_like: bool
    exit: int | None
    verdict: str
    note: str
    seconds: float
    library: str


def sides(size: Any) -> tuple[int, int]:
    """Returns a size of ``zoo.toml`` as (height, width)."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def build_folder(how: Mapping[str, Any], folder: Path) -> None:
    """Writes the configuration of a model of transformers; without weights beside it, they are random."""
    import transformers  # type: ignore[import-not-found]

    def configured(part: Mapping[str, Any], **more: object) -> Any:
        return getattr(transformers, part["config"])(**part.get("settings", {}), **more)

    inner = {"backbone_config": configured(how["backbone"])} if "backbone" in how else {}
    configured(how, architectures=[how["class"]], **inner).save_pretrained(folder)


def export(
    model: str, size: object, targets: Sequence[str], folder: Path, checkpoint: Path | None
) -> dict[str, tuple[int | None, str, str]]:
    """Exports to several targets at once, and to each alone where that refuses one.

    Returns:
        By target: the exit code, the verdict, and the report's note.
    """
    height, width = sides(size)
    command = [sys.executable, "-m", "mobilevit_deploy", "export", model, "--json"]
    command += ["--input-size", f"{height}x{width}", "--out", str(folder)]
    command += [part for target in targets for part in ("--to", target)]
    command += ["--checkpoint", str(checkpoint)] if checkpoint else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S * len(targets))
    except subprocess.TimeoutExpired:
        done = None
    if done and done.stdout:  # of what failed its parity, too
        reports = json.loads(done.stdout)["artifacts"]
        failed = [report for report in reports if report["parity"]["status"] == "failed"]
        if done.returncode and not failed:  # a runtime does not load what its converter wrote
            failed = [report for report in reports if report["parity"]["status"] != PASSED]
        return {report["target"]: (3 if report in failed else 0, *_judged(report)) for report in reports}
    if len(targets) > 1:
        return {key: row for one in targets for key, row in export(model, size, [one], folder, checkpoint).items()}
    if done is None:
        return {targets[0]: (None, f"not done in {LIMIT_S} s", "")}
    said = [line for line in done.stderr.splitlines() if line.startswith("mvd: ") and "%" not in line[:12]]
    return {targets[0]: (done.returncode, said[-1].removeprefix("mvd: ") if said else done.stderr.strip()[-200:], "")}


def _judged(report: Mapping[str, Any]) -> tuple[str, str]:
    parity = report["parity"]
    found = [f"{key}: {json.dumps(parity[key])}" for key in ("ill_conditioned", "precision_loss") if parity[key]]
    return PASSED if parity["status"] == PASSED else parity["reason"], "; ".join([*report["warnings"], *found])


def trained_like(model: str, size: object, path: Path) -> None:
    """Writes a checkpoint of a model with unit gain in every layer, and batch norms that know their statistics.

    Random weights leave most architectures badly conditioned: outputs that are nearly the same for every image,
    attention that saturates. Training leaves neither.
    """
    import torch
    from safetensors.torch import save_file
    from torch import nn

    from mobilevit_deploy.images.test_images import make_samples
    from mobilevit_deploy.loading.model import ModelRequest, load_model

    height, width = sides(size)
    module = load_model(ModelRequest(model, size=(height, width))).module
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            last = name.rpartition(".")[2]
            if (
                weight.ndim >= 2
                and weight[0].numel() > 1
                and not any(word in name for word in ("pos", "token", "bias"))
            ):
                weight.normal_(0, (1.3 / weight[0].numel()) ** 0.5)
            elif last.startswith(("gamma", "lambda", "layer_scale")) or "ls" in name.split("."):
                weight.uniform_(0.1, 0.5)
        norms = [item for item in module.modules() if isinstance(item, nn.modules.batchnorm._BatchNorm)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over all batches
            norm.train()
        for images in torch.from_numpy(make_samples(12, 3, height, width)).chunk(3):
            module(images)
    tensors = {name: value.contiguous().clone() for name, value in module.eval().state_dict().items()}
    save_file(tensors, path)


def rows(name: str, targets: Sequence[str], known: set[tuple[str, ...]], like: bool) -> Iterator[Row]:
    """Yields the rows of a list that are not known yet."""
    part = tomllib.loads(LISTS.read_text())[name]
    library = f"{part['needs']} {version(part['needs'])}"
    for model, size in part["sizes"].items():
        todo = [target for target in targets if (name, model, target, str(like)) not in known]
        if not todo:
            continue
        with tempfile.TemporaryDirectory(prefix="mvd-zoo-") as work:
            folder = Path(work)
            checkpoint = folder / "trained_like.safetensors" if like else None
            asked = part["model"].format(name=model, folder=folder / model)
            try:
                if "build" in part:
                    build_folder(part["build"][model], folder / model)
                if checkpoint:
                    trained_like(asked, size, checkpoint)
            except Exception as error:  # a release of the library without the model: a row, and not the end of the run
                for target in todo:
                    yield Row(name, model, target, like, None, f"not built: {error}", "", 0, library)
                continue
            began = time.monotonic()
            made = export(asked, size, todo, folder / "out", checkpoint)
            seconds = round((time.monotonic() - began) / len(todo), 1)
            for target, (code, verdict, note) in made.items():
                yield Row(name, model, target, like, code, verdict, note, seconds, library)


def read(results: Path) -> list[Row]:
    """Returns the rows of a file."""
    return [Row(**row) for row in json.loads(results.read_text())]


def page(found: Sequence[Row]) -> str:
    """Returns the results as Markdown: how many pass, then a row a model, then the reasons."""
    tried = {(row.list, row.model) for row in found}
    lists = tomllib.loads(LISTS.read_text())
    models = {name: [model for model in part["sizes"] if (name, model) in tried] for name, part in lists.items()}
    lists = {name: part for name, part in lists.items() if models[name]}
    targets = [target for target in formats() if any(row.target == target for row in found)]
    by = {(row.list, row.model, row.target): row for row in found if not row.trained_like}
    libraries = ", ".join(sorted({row.library for row in found}))
    lines = [
        "# Models of other libraries",
        "",
        "What goes through as it is published, and what does not, with the reason. Made by `python benchmarks/zoo.py`:",
        f"random weights, the model's own image size, each target at its recipe's precision; {libraries}.",
        "Where half precision costs random weights much, that is no failure of a conversion that is exact without",
        "rounding: `mvd export` prints what it costs.",
        "",
        *_table(
            ["library", *(formats()[target].title for target in targets)],
            [
                [lists[name]["title"], *(_share([by.get((name, m, t)) for m in models[name]]) for t in targets)]
                for name in lists
            ],
        ),
    ]
    for name, part in lists.items():
        table = [[f"`{m}`", *(_cell(by.get((name, m, t))) for t in targets)] for m in models[name]]
        lines += [f"## {part['title']}", "", *_table(["model", *(formats()[t].title for t in targets)], table)]
        reasons = [row for (of, _, _), row in by.items() if of == name and row.verdict != PASSED]
        lines += [f"- `{row.model}`, {formats()[row.target].title}: {_plain(row.verdict)}" for row in reasons]
        lines += [""] if reasons else []
    return "\n".join([*lines, *_of_trained_like(found, lists)])


def _of_trained_like(found: Sequence[Row], lists: Mapping[str, Any]) -> list[str]:
    """Returns what goes through with weights such as training leaves, and what does not; nothing where none ran."""
    rows = [row for row in found if row.trained_like and row.list in lists]
    if not rows:
        return []
    lines = [
        "## With weights such as training leaves them",
        "",
        "The same models from a checkpoint (`--trained-like`): unit gain in every layer, batch norms that know their",
        "statistics. Here half precision is held to its tolerance, and what it costs more is a failure that says so.",
        "",
    ]
    targets = [target for target in formats() if any(row.target == target for row in rows)]
    table = [
        [part["title"], *(_share([r for r in rows if (r.list, r.target) == (name, t)]) for t in targets)]
        for name, part in lists.items()
    ]
    lines += _table(["library", *(formats()[target].title for target in targets)], table)
    failed = [row for row in rows if row.verdict != PASSED]
    return [*lines, *(f"- `{row.model}`, {formats()[row.target].title}: {_plain(row.verdict)}" for row in failed), ""]


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---"] * len(head)
    return [*(f"| {' | '.join(row)} |" for row in (head, rule, *body)), ""]


def _share(found: Sequence[Row | None]) -> str:
    tried = [row for row in found if row]
    return f"{sum(row.verdict == PASSED for row in tried)} of {len(tried)}" if tried else ""


def _cell(row: Row | None) -> str:
    return "" if row is None else PASSED if row.verdict == PASSED else "see below"


def _plain(text: str) -> str:
    """Returns a message for Markdown, without what it would take for its own."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def main(
    results: Annotated[Path, typer.Option(help="JSON; rows that are there are not run again")],
    names: Annotated[list[str] | None, typer.Option("--list", help="of zoo.toml; all by default")] = None,
    to: Annotated[list[str] | None, typer.Option(help="targets; ONNX and Core ML by default")] = None,
    page_path: Annotated[Path | None, typer.Option("--page", help="writes the page from all rows")] = None,
    like: Annotated[bool, typer.Option("--trained-like", help="weights such as training leaves them")] = False,
) -> None:
    """Runs the lists and writes a row for each export."""
    found = read(results) if results.exists() else []
    known: set[tuple[str, ...]] = {(row.list, row.model, row.target, str(row.trained_like)) for row in found}
    for name in names or tomllib.loads(LISTS.read_text()):
        for row in rows(name, to or ["onnx", "coreml"], known, like):
            found.append(row)
            results.write_text(json.dumps([asdict(item) for item in found], indent=1) + "\n")
            console.print(f"{row.list} {row.model} {row.target}: {row.verdict} ({row.seconds:.0f} s)", markup=False)
    if page_path:
        page_path.write_text(page(found))


if __name__ == "__main__":
    typer.run(main)
