"""A file on its way to a phone, and what every converter is given to write one."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor
from torch.export import ExportedProgram

from mobilevit_deploy.app_options import AppInterface, Compression
from mobilevit_deploy.capture import TensorSpec
from mobilevit_deploy.catalog import Precision
from mobilevit_deploy.compression import CompressionResult


@dataclass(frozen=True)
class ConversionRequest:
    """One graph and what to make of it.

    Attributes:
        program: the rewritten graph.
        sample: an input, (B, C, H, W) float32.
        input: name and shape of the input.
        outputs: names and shapes of the outputs, in the program's order.
        precision: of weights and activations.
        version: the ONNX opset, or the iOS floor.
        metadata: written into the artifact as text.
        path: where to write it.
        app: what an app sees; normalisation and softmax are in the program already.
        compression: of the weights.
    """

    program: ExportedProgram
    sample: Tensor
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    precision: Precision
    version: int
    metadata: Mapping[str, str]
    path: Path
    app: AppInterface = field(default_factory=AppInterface)
    compression: Compression | None = None


@dataclass(frozen=True)
class Artifact:
    """A converted model on disk: a file (ONNX) or a folder (Core ML).

    ``ops`` counts its operations by type, constants left out; ``warnings`` are for the user;
    ``outputs`` and ``app`` are what the app sees.
    """

    path: Path
    target: str
    ops: Mapping[str, int]
    sha256: str
    bytes: int
    outputs: tuple[TensorSpec, ...]
    app: AppInterface = field(default_factory=AppInterface)
    compression: CompressionResult | None = None
    warnings: tuple[str, ...] = field(default=())


def measure_files(path: Path) -> tuple[str, int]:
    """Returns SHA-256 and size in bytes of a file, or of a folder: its files' names and hashes, in order of name."""
    if path.is_file():
        return _sha256(path).hexdigest(), path.stat().st_size
    files = sorted(item for item in path.rglob("*") if item.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(path).as_posix()} {_sha256(file).hexdigest()}\n".encode())
    return digest.hexdigest(), sum(file.stat().st_size for file in files)


def _sha256(path: Path) -> "hashlib._Hash":
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256")
