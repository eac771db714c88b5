"""A sweep's record may be written by anyone: what is broken is named, and no link leads out of its folder."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.report.matrix import read
from mobilevit_deploy.report.matrix.read import read_matrix, read_sweep
from mobilevit_deploy.report.matrix.record import MOST_CELLS, Cell, Sweep
from tests.report.matrix.sample import made_up, write

Mvd = Callable[..., Result]
CELL = {"id": "a", "model": "m", "target": "onnx", "precision": "fp32", "status": "done"}
OUTSIDE = (
    "../secret.txt", "a/../../secret.txt", "/etc/passwd", "//host/share", "javascript:alert(1)", "https://example.org/",
    "data:text/html,x", "C:/secret.txt", "..\\secret.txt", "\\\\host\\share", "link", "folder/secret.txt", "a\0b",
)  # fmt: skip


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b'{"name": "n"}', "cells: is missing"),
        (json.dumps({"name": "n", "cells": [{**CELL, "status": "<b>"}]}).encode(), "cells[0].status"),
        (json.dumps({"name": "n", "cells": [{**CELL, "bytes": -1}]}).encode(), "cells[0].bytes"),
        (json.dumps({"name": "n", "cells": [{**CELL, "seconds": float("nan")}]}).encode(), "cells[0].seconds"),
        (
            json.dumps({"name": "n", "cells": [{**CELL, "model": "m" * 301}]}).encode(),
            "model: is longer than 300 characters",
        ),
        (json.dumps({"schema": 99, "name": "n", "cells": []}).encode(), "its schema is 99"),
        (json.dumps({"name": "\ud800", "cells": []}).encode(), "Invalid JSON"),
        (
            json.dumps({"name": "n", "cells": [CELL] * (MOST_CELLS + 1)}).encode(),
            f"more than {MOST_CELLS} entries",
        ),
    ],
)
def test_a_broken_sweep_is_a_message(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"is not a sweep that can be read") as found:
        read_sweep(tmp_path)
    assert reason in found.value.message


def test_a_sweep_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "LARGEST_FILE", 1000)
    write(made_up(20), tmp_path, files=False)
    with pytest.raises(ArtifactError, match="larger than"):
        read_sweep(tmp_path)


def test_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    (folder / "a").mkdir(parents=True)
    (tmp_path / "secret.txt").touch()
    (folder / "link").symlink_to(tmp_path / "secret.txt")
    (folder / "folder").symlink_to(tmp_path)
    (folder / "a" / "log #1?.txt").touch()
    cells = [Cell(**CELL, log=path) for path in OUTSIDE]
    cells += [Cell(**CELL | {"id": "good"}, log="a/log #1?.txt", page="a/none.html")]
    matrix = read_matrix(write(Sweep(name="n", cells=cells), folder, files=False))
    assert matrix.links == [{}] * len(OUTSIDE) + [{"log": "a/log #1?.txt"}]
    outside, absent, twice = (problem.reason for problem in matrix.problems)
    assert outside == "1 of 14 cells name files that are not in the folder of the sweep, to which there is no link: a"
    assert absent == "1 of 14 cells name files that are not there: good"
    assert "more than once" in twice


def test_a_text_cannot_turn_the_direction_of_the_page(tmp_path: Path) -> None:
    cell = Cell(**CELL | {"status": "failed"}, reason="evil \u202e txet\x1b")
    (shown,) = read_sweep(write(Sweep(name="n\u202e", cells=[cell]), tmp_path, files=False)).cells
    assert shown.reason == "evil ? txet?"


def test_nothing_to_show_is_a_message(mvd: Mvd) -> None:
    Path("empty").mkdir()
    for arguments, message in ((("none",), "none is no folder"), (("empty",), "there is no sweep.json in empty")):
        result = mvd("report", "--matrix", *arguments)
        assert result.exit_code == 1
        assert message in result.stderr
        assert "mvd sweep" in result.stderr
    assert list(Path("empty").iterdir()) == []
    write(made_up(3), Path("sweep"))
    result = mvd("report", "--matrix", "sweep", "--baseline", "empty")
    assert result.exit_code == 1
    assert "there is no sweep.json in empty" in result.stderr
    assert not Path("sweep/matrix.html").exists()


def test_a_sweep_that_is_taken_for_artifacts_is_told(mvd: Mvd) -> None:
    write(made_up(3), Path("sweep"))
    result = mvd("report", "sweep")
    assert result.exit_code == 1
    assert "mvd report --matrix sweep" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--baseline", "before"), "give --matrix with it"),
        (("--matrix", "--image", "a.png"), "--image is for artifacts"),
        (("--matrix", "--out", "sweep.json"), "does not end in .html"),
    ],
)
def test_options_that_contradict_each_other(mvd: Mvd, arguments: tuple[str, ...], message: str) -> None:
    result = mvd("report", "sweep", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
