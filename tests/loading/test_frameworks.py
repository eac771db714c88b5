"""Files of the real training frameworks: each loads to what the plain state dict loads to, and nothing is imported.

The libraries are the extra ``frameworks``, which is for these tests alone; without it they fail.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.loading.model import ModelRequest, load_model
from tests.loading.framework_files import LIBRARIES, WRITERS
from tests.loading.test_kinds import FRAMEWORK, NET, same, weights
from tests.support.attacks import Place
from tests.support.hostile import Attacks

pytestmark = pytest.mark.slow
LOADED = "is no folder of images"  # the step after a checkpoint was loaded


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The file of each framework, written by a process that imports it."""
    folder = tmp_path_factory.mktemp("frameworks")
    command = [sys.executable, "-W", "ignore", "-m", "tests.loading.framework_files", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, f"pip install -e '.[frameworks]'?\n{done.stderr[-3000:]}"
    lines = [line.split(" ", 1) for line in done.stdout.splitlines() if line.split(" ", 1)[0] in WRITERS]
    return {kind: Path(path) for kind, path in lines}


def model(folder: Path, checkpoint: Path) -> ModelRequest:
    (folder / "net.py").write_text(NET)
    return ModelRequest(f"{folder / 'net.py'}:build", checkpoint=checkpoint)


@pytest.mark.parametrize("kind", WRITERS)
def test_it_loads_to_the_same_outputs(files: dict[str, Path], tmp_path: Path, kind: str) -> None:
    before = set(sys.modules)
    loaded = load_model(model(tmp_path, files[kind]))
    assert {name.partition(".")[0] for name in set(sys.modules) - before}.isdisjoint({*LIBRARIES, FRAMEWORK})
    assert same(loaded)
    torch.save(weights(), tmp_path / "plain.pth")
    plain = load_model(model(tmp_path, tmp_path / "plain.pth"))
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(loaded.module(images), plain.module(images))


def test_nothing_is_executed_or_imported(files: dict[str, Path], attack: Attacks) -> None:
    """As Python's audit hooks see it, in a process that has read the plain state dict before."""

    def make(place: Place, kind: str) -> tuple[object, ...]:
        net, path = place.write("net.py", NET), files.get(kind, place.given / "plain.pth")
        if kind not in files:
            torch.save(weights(), path)
        return ("export", f"{net}:build", "--to", "onnx", "--checkpoint", path, "--images", "none")

    found = attack(["plain", "plain again", *files], make)
    assert all(LOADED in done.errors for done in found.values())
    for kind in files:
        assert [line for line in found[kind].looked_up if not line.endswith("net.py")] == [], kind
        assert found[kind].imported == (), kind


def test_shards_that_were_not_joined_are_named(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="distributed checkpoint in parts") as caught:
        load_model(model(tmp_path, files["joined_shards"].parent / "parts"))
    assert "dcp_to_torch" in str(caught.value.hint)


def test_what_was_not_read_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    names = {
        "mmengine": "1 object of mmengine.logging.history_buffer.HistoryBuffer",
        "omegaconf": "2 objects of omegaconf.dictconfig.DictConfig",
        "yacs": "2 objects of yacs.config.CfgNode",
        "easydict": "3 objects of easydict.EasyDict",
    }
    for kind, line in names.items():
        assert line in load_model(model(tmp_path, files[kind])).weights.not_read
