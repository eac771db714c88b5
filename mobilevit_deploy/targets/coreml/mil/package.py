"""The ``.mlpackage`` folder: finds the model and its weight files, and never leaves the folder."""

import json
import uuid
from pathlib import Path
from typing import Any

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.system.hashing import measure_files
from mobilevit_deploy.targets.coreml.mil.blobs import BlobFile
from mobilevit_deploy.targets.coreml.mil.pipeline import NETWORK, PIPELINE, read_suppression, split_pipeline
from mobilevit_deploy.targets.coreml.mil.specification import parse_model

_MANIFEST = "Manifest.json"
_MODEL_PATH = "@model_path/"  # how a program begins the path of a weight file
# coremltools 9.0 writes this file, meant for ExecuTorch's debugger, beside what the manifest lists.
_STRAY_FILE = "executorch_debug_handle_mapping.json"
_OLDEST, _NEWEST = 6, 10  # iOS 15, with the first ML Programs, and iOS 26
_COPY_AGAIN = "export or copy the package again"


class Package:
    """An opened package.

    Attributes:
        path: the folder.
        model: the ``Model`` protobuf message: an ML Program, or a detector's pipeline of one and its suppression.
        network: the ``Model`` message of the ML Program.
        suppression: what a detector's pipeline does after it; None for an ML Program alone.
        model_file: that it was read from.
    """

    def __init__(self, path: Path) -> None:
        """Opens a folder.

        Raises:
            ArtifactError: it is no package, it is damaged, or its model is neither an ML Program nor a detector's
                pipeline of one.
        """
        self.path = path
        if not path.is_dir():
            found = "is a file" if path.exists() else "does not exist"
            raise ArtifactError(f"{path} {found}; an .mlpackage is a folder", "give the path of the folder")
        self.model_file = self._find_model_file()
        self.model = self._read_model()
        self.network, self.suppression = self.model, None
        if self.model.WhichOneof("Type") == PIPELINE:
            self.network, _ = split_pipeline(self.model, path.name)
            self.suppression = read_suppression(self.model, path.name)
        self._blob_files: dict[str, BlobFile] = {}

    def blob_file(self, name: str) -> BlobFile:
        """Returns the weight file that the program calls ``name``, such as ``@model_path/weights/weight.bin``."""
        if name not in self._blob_files:
            if not name.startswith(_MODEL_PATH):
                raise ArtifactError(f"{self.path.name} keeps a weight in {name!r}, no path beside its model")
            path = self._inside(self.model_file.parent, name.removeprefix(_MODEL_PATH))
            self._blob_files[name] = BlobFile(path)
        return self._blob_files[name]

    def _find_model_file(self) -> Path:
        manifest = self.path / _MANIFEST
        if not manifest.is_file():
            raise ArtifactError(f"{self.path.name} has no {_MANIFEST}, so it is not a Core ML package", _COPY_AGAIN)
        try:
            content = json.loads(self._inside(self.path, _MANIFEST).read_bytes())
            item = content["itemInfoEntries"][content["rootModelIdentifier"]]["path"]
        except (ValueError, RecursionError) as error:
            raise ArtifactError(f"{_MANIFEST} of {self.path.name} is not JSON", _COPY_AGAIN) from error
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"{_MANIFEST} of {self.path.name} names no model", _COPY_AGAIN) from error
        return self._inside(self.path / "Data", str(item))

    def _inside(self, folder: Path, relative: str) -> Path:
        """Returns the file at a path that the package itself gives; links may not lead out of the package."""
        try:
            path = (folder / relative).resolve()
            is_file = path.is_file()
        except (OSError, ValueError, RuntimeError) as error:  # a null byte, a loop of links
            raise ArtifactError(f"{self.path.name} names {relative!r}, which is not a path", _COPY_AGAIN) from error
        if not path.is_relative_to(self.path.resolve()):
            raise ArtifactError(
                f"{self.path.name} names {relative!r}, which lies outside the package",
                "packages of Core ML never do; do not open this one",
            )
        if not is_file:
            raise ArtifactError(f"{self.path.name} names {relative!r}, which is missing", _COPY_AGAIN)
        return path

    def _read_model(self) -> Any:
        name = self.model_file.name
        try:
            model = parse_model(self.model_file.read_bytes())
        except ValueError as error:
            reason = f"{name} in {self.path.name} is not a Core ML model, or damaged"
            raise ArtifactError(reason, _COPY_AGAIN) from error
        kind = model.WhichOneof("Type")
        if kind is None:
            raise ArtifactError(f"{name} in {self.path.name} holds no model", _COPY_AGAIN)
        if kind not in (NETWORK, PIPELINE):
            raise ArtifactError(
                f"{self.path.name} is a {kind} model, not an ML Program",
                "convert it again with convert_to='mlprogram', or with mvd export",
            )
        if not _OLDEST <= model.specificationVersion <= _NEWEST:
            raise ArtifactError(
                f"{self.path.name} has specification {model.specificationVersion}, and ML Programs {_OLDEST} to "
                f"{_NEWEST} are known here",
                "a newer mvd may know it; if it is not from a newer tool, the package is damaged",
            )
        return model


def make_reproducible(path: Path) -> None:
    """Rewrites a fresh package so that the same model gives the same bytes.

    coremltools writes the maps of its protobuf message in the order of a hash table, draws the identifiers of the
    manifest at random, and leaves a file beside what the manifest lists. Identifiers are only used within the manifest;
    here they follow from what they stand for.
    """
    package = Package(path)
    package.model_file.write_bytes(package.model.SerializeToString(deterministic=True))
    (path / _STRAY_FILE).unlink(missing_ok=True)
    manifest_file = path / _MANIFEST
    manifest = json.loads(manifest_file.read_text(encoding="utf-8"))
    names = {}
    for identifier, item in manifest["itemInfoEntries"].items():
        digest, _ = measure_files(path / "Data" / item["path"])
        names[identifier] = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{item['path']} {digest}"))
    manifest["itemInfoEntries"] = {names[key]: item for key, item in manifest["itemInfoEntries"].items()}
    manifest["rootModelIdentifier"] = names[manifest["rootModelIdentifier"]]
    manifest_file.write_text(json.dumps(manifest, indent=4, sort_keys=True), encoding="utf-8")
