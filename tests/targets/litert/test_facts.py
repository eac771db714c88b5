"""What ``mvd inspect`` says of a ``.tflite`` file besides its operations."""

from pathlib import Path

from mobilevit_deploy.targets.litert.facts import read_facts
from tests.targets.litert.tflite.model_file import CUSTOM, Model
from tests.targets.litert.tflite.test_program import GOLDEN


def test_a_file_of_litert_torch() -> None:
    assert read_facts(GOLDEN) == {
        "minimum_runtime": "TensorFlow Lite 2.9.0",
        "minimum_runtime_is_for": "GELU version 1",
        "weights": "328 bytes int8, 180 bytes int32",
        "signatures": "serving_default(args_0 int8 1x3x16x16) -> output_0 int8 1x5",
    }


def test_a_file_without_signatures_and_with_an_operator_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    path.write_bytes(Model(codes=[{0: ("b", CUSTOM), 1: "Detect\x1b[2J"}]).content())
    assert read_facts(path) == {
        "minimum_runtime": "not known",
        "operators_of_no_known_runtime": "Detect?[2J version 1",
        "weights": "36 bytes float32",
        "signatures": "(0 float32 1x4x4x2) -> 0 float32 1x4x4x3",
    }


def test_words_without_end(tmp_path: Path) -> None:
    model = Model(signatures=[{0: [{0: "x" * 1000, 1: ("I", 0)}], 2: "a"}])
    path = tmp_path / "a.tflite"
    path.write_bytes(model.content())
    assert len(read_facts(path)["signatures"]) == 500
