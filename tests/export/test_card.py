"""Model cards: what they say stands in the report, and what others wrote becomes neither YAML nor Markdown."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from mobilevit_deploy.cli.app import app
from mobilevit_deploy.export.card import card_path, render_card, write_card
from tests.conftest import RESEARCH

HOSTILE = [
    "- a: list", "# heading", "1. first", "12) twelfth", "*bold* _it_ `code`", "<b>html</b> &amp;", "[link](http://x.org)",
    "a | b", "---", "'quoted\" \\", "${x} $y$ ~~z~~", "https://x.org", "{{ 1 }} {% raw %}", "六 \u202e!", "> quote",
    "+ plus", "===",
]  # fmt: skip
MARKUP = {"html_inline", "html_block", "link_open", "em_open", "s_open", "blockquote_open", "hr"}
PARSE = MarkdownIt("commonmark").enable(["table", "strikethrough"])


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of an export with names of classes and an accuracy."""
    folder = tmp_path_factory.mktemp("card")
    images = np.random.default_rng(0).integers(0, 255, (6, 3, 8, 8))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalised = ((images.transpose(0, 2, 3, 1) / 255 - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    np.savez(folder / "images.npz", images=normalised, labels=np.arange(6) % 4)
    (folder / "labels.txt").write_text("\n".join(HOSTILE[:10]))
    own = ("--images", folder / "images.npz", "--labels", folder / "labels.txt", "--out", folder / "out")
    image = ("--image-input", "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")
    arguments = ("export", f"{RESEARCH / 'tiny_net.py'}:build", "--to", "coreml", "--input-size", 8, *own, *image)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MVD_CACHE", str(folder / "kept"))
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.stderr
    return next((folder / "out").glob("*.coreml.json"))


def changed(report: Path, folder: Path, **changes: Any) -> str:
    """Returns the card of a report in which something is another."""
    path = folder / report.name
    path.write_text(json.dumps(json.loads(report.read_text()) | changes))
    card = write_card(path)
    assert card == card_path(path)
    return card.read_text()


def split(card: str) -> tuple[dict[str, Any], str]:
    """Returns the header as YAML has it, and the Markdown."""
    empty, header, body = card.split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(header), body


def numbers(value: Any) -> Iterator[float]:
    """Yields every number of a report, also those inside of its texts."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list):
        yield len(value)
        for item in value:
            yield from numbers(item)
    elif isinstance(value, str):
        yield from map(float, re.findall(r"\d+(?:\.\d+)?", value))
    elif isinstance(value, int | float):
        yield float(value)


def test_an_export_has_a_card_beside_it(report: Path) -> None:
    header, body = split(card_path(report).read_text())
    assert (header["library_name"], header["pipeline_tag"]) == ("coreml", "image-classification")
    assert "untrained" in header["tags"]
    document = json.loads(report.read_text())
    (result,) = header["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "accuracy", "name": "top-1", "value": document["accuracy"]["artifact"]}]
    assert document["sha256"] in body
    assert "weights are random" in body
    assert "an image, RGB, 0 to 255; normalised in the file, mean 0.485, 0.456, 0.406" in body
    assert "agrees with it within the tolerances" in body
    assert "Latency" not in body, "none was measured"


def test_every_figure_stands_in_the_report(report: Path) -> None:
    document = json.loads(report.read_text())
    known = set(numbers(document))
    written = known | {float(f"{value:.3g}") for value in known}
    _, body = split(card_path(report).read_text())
    for line in body.replace("0 to 255", "").splitlines():  # the values of a pixel
        for figure in re.findall(r"(?<![\w.-])\d+(?:\.\d+)?(?:e[+-]\d+)?(?![\w])", re.sub(r"^\d+\. ", "", line)):
            assert float(figure) in written, (figure, line)


def test_what_is_trained_and_what_failed(report: Path, tmp_path: Path) -> None:
    weights = {"trained": True, "path": "/home/someone/secret/best.pth", "sha256": "a" * 64, "key": "model_ema"}
    header, body = split(changed(report, tmp_path, weights=weights, accuracy=None))
    assert "untrained" not in header["tags"]
    assert "model-index" not in header
    assert "random" not in body
    assert "best.pth" in body
    assert "a" * 64 in body
    assert "secret" not in body, "cards are published, and folders of this machine are nobody's business"
    for status, sentence in (("failed", "does not agree"), ("not_measured", "was not compared")):
        parity = json.loads(report.read_text())["parity"] | {"status": status, "reason": "some reason"}
        body = split(changed(report, tmp_path, parity=parity))[1]
        assert sentence in body
        assert "some reason" in body
        assert "agrees with it within" not in body
    origin = {"title": "A paper", "paper": "https://x.org", "repository": "https://y.org", "licence": "MIT"}
    assert "licence MIT" in changed(report, tmp_path, origin=origin)
    (tmp_path / report.name).write_text("{")
    assert write_card(tmp_path / report.name) is None


def test_texts_of_others_stay_texts(report: Path, tmp_path: Path) -> None:
    """In every place of a report that has a text, each of them."""
    document = json.loads(report.read_text())
    for text in HOSTILE:
        path = tmp_path / report.name
        hostile = spoiled(document, text) | {"classes": HOSTILE, "path": f"out/{text.replace('/', '')}.mlpackage"}
        path.write_text(json.dumps(hostile | {"warnings": [text], "tool_versions": {text: text}, "target": "coreml"}))
        card = render_card(path)
        assert card is not None
        header, body = split(card)
        assert header["model_name"] == text.replace("\u202e", "?")
        tokens = [inner for token in PARSE.parse(body) for inner in (token, *(token.children or ()))]
        found = {token.type for token in tokens}
        assert not found & {"html_inline", "html_block", "link_open", "em_open", "s_open", "blockquote_open", "hr"}, (
            text
        )
        assert [token.tag for token in tokens if token.type == "heading_open"] == ["h1"] + ["h2"] * 7
        assert all(token.content == "The weights are random: no checkpoint was given." for token in strong(tokens))
        shown = ["".join(part.content for part in token.children or ()) for token in tokens if token.type == "inline"]
        start = shown.index(next(line for line in shown if "names of classes" in line)) + 1
        names = [line.replace("\u202e", "?") for line in HOSTILE]
        assert shown[start : start + len(names)] == names, "a list of as many, each as it was"


def spoiled(value: Any, text: str) -> Any:
    """Returns a report with this text in place of every one that may be any."""
    kept = ("status", "sha256", "path", "kind", "target", "task")
    if isinstance(value, dict):
        return {key: item if key in kept else spoiled(item, text) for key, item in value.items()}
    if isinstance(value, list):
        return [spoiled(item, text) for item in value]
    return text if isinstance(value, str) else value


def strong(tokens: list[Any]) -> list[Any]:
    return [tokens[i + 1] for i, token in enumerate(tokens) if token.type == "strong_open"]
