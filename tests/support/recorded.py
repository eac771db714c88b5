"""What the authors' own code computed, as ``tests/golden/README.md`` describes it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mobilevit_deploy.catalog.recipe import Tolerance
from mobilevit_deploy.runners.base import Values
from tests.golden.fill import fill_tensor, make_input

GOLDEN = Path(__file__).parent.parent / "golden"
SCORES = Tolerance(max_rel=1e-4, snr_db=0, top1_agreement=0.99, reason="float32 beside float64")


@dataclass(frozen=True)
class Recorded:
    """One recorded model and task: what the authors' code computed."""

    name: str
    facts: dict[str, Any]
    folder: Path = GOLDEN

    @property
    def stored(self) -> Any:
        return np.load(self.folder / f"{self.name}.npz")

    @property
    def state(self) -> dict[str, Tensor]:
        """Returns the recorded weights; integer buffers come from the file or are zero."""
        stored = self.stored
        values = {}
        for name, shape, dtype in self.facts["state_dict"]:
            if dtype.startswith("float"):
                values[name] = torch.from_numpy(fill_tensor(name, tuple(shape), self.facts["weight_seed"]))
                for prefix, gain in self.facts.get("weight_gain", ()):
                    values[name] = values[name] * (gain if len(shape) >= 2 and name.startswith(prefix) else 1)
                values[name] = values[name] + self.facts.get("weight_shift", {}).get(name, 0.0)
            else:
                values[name] = (
                    torch.from_numpy(stored[name]) if name in stored else torch.zeros(shape, dtype=torch.int64)
                )
        return values

    def input(self, case: dict[str, Any]) -> Tensor:
        return torch.from_numpy(make_input(tuple(case["input_shape"]), self.facts["input_seed"]))

    def largest_error(self, case: dict[str, Any], outputs: list[np.ndarray[Any, Any]]) -> float:
        """Returns the largest difference over the largest recorded value, over all outputs."""
        stored = self.stored
        errors = []
        assert [list(output.shape) for output in outputs] == case["output_shapes"]
        for i, output in enumerate(outputs):
            expected = stored[f"{case['input_shape'][-1]}.output{i}"]
            found = sample(output, case["sample"])
            errors.append(float(np.abs(found - expected).max() / np.abs(expected).max()))
        return max(errors)


def sample(output: np.ndarray[Any, Any], sample: str | None) -> np.ndarray[Any, Any]:
    """Applies a recorded slice such as ``[:, ::4, ::2, ::2]``."""
    if sample is None:
        return output
    steps = [int(part.strip().removeprefix("::")) if "::" in part else 1 for part in sample.strip("[]").split(",")]
    return output[tuple(slice(None, None, step) for step in steps)]


def all_recorded() -> list[Recorded]:
    return [Recorded(path.stem, json.loads(path.read_text())) for path in sorted(GOLDEN.glob("*.*.json"))]


def recorded_head(task: str, folder: Path = GOLDEN / "heads") -> Recorded:
    """Returns what the code of MMSegmentation or MMDetection computed for a whole model."""
    name = f"cas_vit_xs.{task}"
    return Recorded(name, json.loads((folder / f"{name}.json").read_text()), folder)


def case_of(record: Recorded, number: int) -> tuple[dict[str, Any], str]:
    """Returns one of a head's images, and what begins the names of its values, as 224x320."""
    case = record.facts["cases"][number]
    return case, "x".join(map(str, case["input_shape"][2:]))


def largest_errors(record: Recorded, maps: Mapping[str, Any], number: int) -> list[float]:
    """Returns the largest difference of each of a head's maps, over the largest recorded value."""
    case, size = case_of(record, number)
    shapes = {
        name if isinstance(shape[0], int) else f"{name}{i}": item
        for name, shape in case["raw_shapes"].items()
        for i, item in enumerate([shape] if isinstance(shape[0], int) else shape)
    }
    assert {name: list(found.shape) for name, found in maps.items()} == shapes
    errors = []
    for name, found in maps.items():
        expected = record.stored[f"{size}.{name}"]
        part = sample(np.asarray(found), case["sample"][name.rstrip("0123456789")])
        errors.append(float(np.abs(part - expected).max() / np.abs(expected).max()))
    return errors


def label_agreement(record: Recorded, labels: np.ndarray[Any, Any], number: int) -> float:
    """Returns the share of the recorded label map, where it is sure, that a label map (1, H, W) has."""
    case, size = case_of(record, number)
    same = sample(labels, case["classes_sample"]) == record.stored[f"{size}.classes"]
    return float(same[record.stored[f"{size}.sure"]].mean())


def recorded_detections(record: Recorded, number: int) -> list[Values]:
    """Returns boxes (1, K, 4), scores (1, K), labels (1, K) and their count (1,), as a file returns them."""
    _, size = case_of(record, number)
    stored = [record.stored[f"{size}.{name}"][None].astype(np.float64) for name in ("boxes", "scores", "labels")]
    return [*stored, np.array([stored[1].shape[1]], dtype=np.float64)]
