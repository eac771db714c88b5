"""Kept exports: the same one is not made twice, and nothing else is taken for it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import Result

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.export import cache as export_cache
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.export.replaced import warn_of_replaced
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.system.hashing import measure_files
from mobilevit_deploy.targets.app_options import AppOptions
from mobilevit_deploy.targets.artifact import report_name
from tests.conftest import shallow_models

MODEL = ModelRequest("cas_vit_xs", size=(32, 32), num_classes=4)
REQUEST = ExportRequest(MODEL, ("onnx", "coreml"))


@pytest.fixture(scope="module", autouse=True)
def shallow() -> Iterator[None]:
    with shallow_models():
        yield


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[ExportReport]]:
    """Returns a folder with one kept export, and its reports."""
    folder = tmp_path_factory.mktemp("kept")
    return folder, export_model(replace(REQUEST, folder=folder / "first", cache=folder / "cache"))


def hashes(folder: Path) -> dict[str, str]:
    return {item.name: measure_files(item)[0] for item in folder.iterdir() if item.suffix != ".json"}


def test_the_same_export_is_taken_with_its_figures(kept: tuple[Path, list[ExportReport]], tmp_path: Path) -> None:
    folder, first = kept
    lines: list[str] = []
    second = export_model(replace(REQUEST, folder=tmp_path, cache=folder / "cache"), lines.append)
    assert not any("capturing" in line for line in lines)
    assert hashes(tmp_path) == hashes(folder / "first")
    assert len(list(tmp_path.glob("*.json"))) == 2
    for before, after in zip(first, second, strict=True):
        assert after == replace(before, cached=True, artifact=replace(before.artifact, path=after.artifact.path))
        assert after.artifact.path.parent == tmp_path


def test_a_kept_export_takes_the_name_that_the_user_chose(tmp_path: Path) -> None:
    alone = replace(REQUEST, targets=("onnx",), cache=tmp_path / "cache")
    (first,) = export_model(replace(alone, folder=tmp_path / "first"))
    (named,) = export_model(replace(alone, folder=tmp_path / "named", file_name="net.onnx"))
    assert named.cached
    assert {path.name for path in (tmp_path / "named").iterdir()} == {"net.onnx", "net.onnx.json", "net.onnx.md"}
    assert measure_files(named.artifact.path) == measure_files(first.artifact.path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "features"}, "another task (features)"),
        ({"weights": {"path": "/home/a/b.pth", "sha256": "12" * 32}}, "another checkpoint (b.pth, 121212121212...)"),
        ({"input": {"shape": [2, 3, 32, 32]}}, "another input (2x3x32x32)"),
        ({"head": {"output": "nms\x1b"}}, "another output (nms?)"),
        ({}, None),
        ({"weights": 1}, None),
    ],
)
def test_what_is_replaced_is_told_where_it_was_of_something_else(
    kept: tuple[Path, list[ExportReport]], tmp_path: Path, change: dict[str, Any], said: str | None
) -> None:
    (folder, (report, _)) = kept
    there = json.loads((folder / "first" / report_name(report.artifact.path, "onnx")).read_text())
    (tmp_path / report_name(report.artifact.path, "onnx")).write_text(json.dumps(there | change))
    warning = warn_of_replaced(report, tmp_path)
    assert warning is None if said is None else said in (warning or "")


def test_an_export_into_an_empty_folder_or_over_itself_says_nothing(kept: tuple[Path, list[ExportReport]]) -> None:
    folder, _ = kept
    again = export_model(replace(REQUEST, folder=folder / "first", cache=folder / "cache"))
    assert not any("replaced" in warning for report in again for warning in report.warnings)


def test_an_export_made_again_has_the_same_bytes(kept: tuple[Path, list[ExportReport]], tmp_path: Path) -> None:
    folder, _ = kept
    (again, _) = export_model(replace(REQUEST, folder=tmp_path, cache=folder / "cache", force=True))
    assert not again.cached
    assert hashes(tmp_path) == hashes(folder / "first")


def test_a_kept_artifact_that_was_changed_is_made_again(kept: tuple[Path, list[ExportReport]], tmp_path: Path) -> None:
    folder, _ = kept
    (artifact,) = (folder / "cache").glob("*/*.onnx")
    artifact.write_bytes(artifact.read_bytes()[:-1] + b"x")
    (again, _) = export_model(replace(REQUEST, folder=tmp_path, cache=folder / "cache"))
    assert not again.cached
    assert hashes(tmp_path) == hashes(folder / "first")
    (taken, _) = export_model(replace(REQUEST, folder=tmp_path, cache=folder / "cache"))
    assert taken.cached


@pytest.mark.parametrize(
    "changes",
    [
        {"model": replace(MODEL, num_classes=5)},
        {"model": replace(MODEL, name="cas_vit_s")},
        {"targets": ("onnx",)},
        {"opset": 18},
        {"rewrite": False},
        {"app": AppOptions(image_input=True)},
        {"precision": "fp32"},
    ],
    ids=str,
)
def test_another_request_is_another_export(changes: dict[str, Any]) -> None:
    assert export_cache.key_of(replace(REQUEST, **changes)) != export_cache.key_of(REQUEST)


def test_where_it_is_written_makes_no_other_export(tmp_path: Path) -> None:
    elsewhere = replace(REQUEST, folder=tmp_path, cache=tmp_path, force=True)
    assert export_cache.key_of(elsewhere) == export_cache.key_of(REQUEST)


def test_files_count_by_their_content(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    request = replace(REQUEST, app=AppOptions(labels=labels))
    keys = []
    for text in ("a\nb", "a\nc", "a\nb"):
        labels.write_text(text)
        keys.append(export_cache.key_of(request))
    assert keys[0] == keys[2] != keys[1]


def test_other_versions_and_another_source_are_another_export(monkeypatch: pytest.MonkeyPatch) -> None:
    key = export_cache.key_of(REQUEST)
    with monkeypatch.context() as changed:
        changed.setattr(export_cache, "tool_versions", lambda: {"torch": "0"})
        assert export_cache.key_of(REQUEST) != key
    monkeypatch.setattr(export_cache, "_source", lambda: "0")
    assert export_cache.key_of(REQUEST) != key


def test_the_users_own_code_is_not_kept() -> None:
    assert export_cache.key_of(replace(REQUEST, model=ModelRequest("net.py:build"))) is None


def test_the_exports_used_longest_ago_make_room(
    kept: tuple[Path, list[ExportReport]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, reports = kept
    size = sum(report.artifact.bytes for report in reports)
    monkeypatch.setattr(export_cache, "LARGEST_BYTES", 2 * size + 200_000)
    for key in ("a", "b", "c"):
        export_cache.keep(tmp_path, key, reports, folder / "first")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["b", "c"]


def test_a_folder_that_cannot_be_written_costs_the_keeping_only(
    kept: tuple[Path, list[ExportReport]], tmp_path: Path
) -> None:
    folder, reports = kept
    (tmp_path / "file").write_text("")
    export_cache.keep(tmp_path / "file", "a", reports, folder / "first")


def test_the_command_says_that_nothing_was_computed(mvd: Callable[..., Result]) -> None:
    arguments = ("export", "cas_vit_xs", "--input-size", "32", "--to", "coreml")
    assert "was kept" not in mvd(*arguments).output
    assert "the same export was kept" in mvd(*arguments).output
    assert "was kept" not in mvd(*arguments, "--force").output


def test_a_part_of_a_checkpoint_is_a_part_of_the_key(tmp_path: Path) -> None:
    """An index of safetensors names its parts: the index stays the same when one of them changes."""
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "one.safetensors"}}')
    request = ExportRequest(ModelRequest("cas_vit_xs", checkpoint=folder), targets=("onnx",), folder=tmp_path / "out")
    keys = set()
    for value in (1.0, 2.0):
        save_file({"a": torch.full((2,), value)}, folder / "one.safetensors")
        keys.add(export_cache.key_of(request))
    assert len(keys) == 2


def test_a_folder_that_is_no_checkpoint_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_cache, "measure_files", lambda _path: pytest.fail("the folder was hashed"))
    request = ExportRequest(ModelRequest("cas_vit_xs", checkpoint=tmp_path), targets=("onnx",), folder=tmp_path)
    with pytest.raises(CheckpointError, match="is a folder"):
        export_cache.key_of(request)
