"""Damaged, foreign and hostile folders."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.evaluator import MilRunner
from mobilevit_deploy.targets.coreml.mil.package import Package
from tests.targets.coreml.mil.conftest import MODEL, body_of, edit_model, refusal
from tests.targets.coreml.mil.packages import normal

WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"


def edit_manifest(package: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((package / "Manifest.json").read_text())
    edit(manifest)
    (package / "Manifest.json").write_text(json.dumps(manifest))


def set_model_path(path: str) -> Callable[[dict[str, Any]], None]:
    def edit(manifest: dict[str, Any]) -> None:
        manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"] = path

    return edit


def test_opening_changes_nothing(package: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in package.rglob("*")}
    MilRunner(package).run(normal(2, 8))
    assert {path: path.stat().st_mtime_ns for path in package.rglob("*")} == before


def test_no_folder(tmp_path: Path) -> None:
    assert "does not exist; an .mlpackage is a folder" in refusal(tmp_path / "missing.mlpackage")
    (tmp_path / "file.mlpackage").write_text("")
    assert "is a file; an .mlpackage is a folder" in refusal(tmp_path / "file.mlpackage")


def test_no_manifest(package: Path) -> None:
    (package / "Manifest.json").unlink()
    assert "copied.mlpackage has no Manifest.json, so it is not a Core ML package" in refusal(package)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", b"[" * 100_000])
def test_a_manifest_that_is_not_json(package: Path, content: bytes) -> None:
    (package / "Manifest.json").write_bytes(content)
    assert "Manifest.json of copied.mlpackage is not JSON" in refusal(package)


@pytest.mark.parametrize("content", ["{}", "[]", '{"itemInfoEntries": {}, "rootModelIdentifier": "x"}', "3"])
def test_a_manifest_without_a_model(package: Path, content: str) -> None:
    (package / "Manifest.json").write_text(content)
    assert "Manifest.json of copied.mlpackage names no model" in refusal(package)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("com.apple.CoreML/other.mlmodel", "which is missing"),
        ("com.apple.CoreML", "which is missing"),
        ("../../../secret", "which lies outside the package"),
        ("/etc/hostname", "which lies outside the package"),
        ("a\0b", "which is not a path"),
    ],
)
def test_a_manifest_that_leads_elsewhere(package: Path, path: str, reason: str) -> None:
    (package.parent / "secret").write_text("")
    edit_manifest(package, set_model_path(path))
    assert reason in refusal(package)


@pytest.mark.parametrize("name", [MODEL, WEIGHTS, "Manifest.json"])
def test_a_link_out_of_the_package(package: Path, name: str) -> None:
    outside = package.parent / "outside"
    (package / name).rename(outside)
    (package / name).symlink_to(outside)
    assert "which lies outside the package" in refusal(package)


def test_a_loop_of_links(package: Path) -> None:
    (package / MODEL).unlink()
    (package / MODEL).symlink_to(package / MODEL)
    assert "model.mlmodel'" in refusal(package)


@pytest.mark.parametrize("content", [b"\x99\x99 not protobuf", b"\x0a\xff\xff\xff\x0f"])
def test_a_damaged_model(package: Path, content: bytes) -> None:
    (package / MODEL).write_bytes(content)
    assert "model.mlmodel in copied.mlpackage is not a Core ML model, or damaged" in refusal(package)


def test_an_empty_model(package: Path) -> None:
    (package / MODEL).write_bytes(b"")
    assert "model.mlmodel in copied.mlpackage holds no model" in refusal(package)


@pytest.mark.parametrize("kind", ["neuralNetwork", "neuralNetworkClassifier", "pipelineClassifier"])
def test_another_format(package: Path, kind: str) -> None:
    edit_model(package, lambda model: getattr(model, kind).SetInParent())
    message = refusal(package)
    assert f"copied.mlpackage is a {kind} model, not an ML Program" in message
    assert "convert it again with convert_to='mlprogram'" in message


def test_truncated_weights(package: Path) -> None:
    content = (package / WEIGHTS).read_bytes()
    for size in [0, 10, 64, 100, len(content) - 1]:
        (package / WEIGHTS).write_bytes(content[:size])
        message = refusal(package)
        assert "weight.bin does not fit the model: it ends at byte" in message
        assert "export or copy the package again" in message


def test_missing_weights(package: Path) -> None:
    (package / WEIGHTS).unlink()
    assert "names 'weights/weight.bin', which is missing" in refusal(package)


def test_weights_without_their_mark(package: Path) -> None:
    content = bytearray((package / WEIGHTS).read_bytes())
    content[64:68] = b"\0\0\0\0"
    (package / WEIGHTS).write_bytes(content)
    assert "there is no weight at byte 64" in refusal(package)


@pytest.mark.parametrize(("start", "field"), [(68, b"\x01"), (72, b"\x08")])
def test_weights_of_another_model(package: Path, start: int, field: bytes) -> None:
    """Another type, another size."""
    content = bytearray((package / WEIGHTS).read_bytes())
    content[start : start + 1] = field
    (package / WEIGHTS).write_bytes(content)
    assert "is not the fp32 [6, 8] that the program reads" in refusal(package)


def test_a_weight_file_elsewhere(package: Path) -> None:
    def move(name: str) -> Callable[[Any], None]:
        def edit(model: Any) -> None:
            for operation in body_of(model).operations:
                if operation.type == "const" and operation.attributes["val"].WhichOneof("value") == "blobFileValue":
                    operation.attributes["val"].blobFileValue.fileName = name

        return edit

    edit_model(package, move("@model_path/../../../secret"))
    (package.parent / "secret").write_text("")
    assert "which lies outside the package" in refusal(package)
    edit_model(package, move("/etc/hostname"))
    assert "no path beside its model" in refusal(package)


def test_any_single_damaged_byte_is_an_artifact_error_or_a_result(package: Path) -> None:
    """No other error escapes, wherever the model file is damaged."""
    content = (package / MODEL).read_bytes()
    for position in range(0, len(content), max(1, len(content) // 150)):
        for change in (0x01, 0x80):
            damaged = bytearray(content)
            damaged[position] ^= change
            (package / MODEL).write_bytes(damaged)
            with contextlib.suppress(ArtifactError):
                MilRunner(package).run(normal(2, 8))


def test_the_package_is_found_by_its_manifest(original: Path) -> None:
    assert Package(original).model.WhichOneof("Type") == "mlProgram"
