"""Checkpoints as untrusted input: what is found, what is refused, and that nothing in them runs."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from mobilevit_deploy.errors import CheckpointError, MvdError
from mobilevit_deploy.loading import checkpoint as reading
from mobilevit_deploy.loading import pickle_limits
from mobilevit_deploy.loading.checkpoint import Selection, read_checkpoint
from mobilevit_deploy.loading.names import name_forms

WEIGHTS = {"a.weight": torch.ones(2), "a.bias": torch.zeros(2)}


def save(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".tar", ".bin"])
def test_every_suffix(tmp_path: Path, suffix: str) -> None:
    checkpoint = read_checkpoint(save(tmp_path / f"weights{suffix}", WEIGHTS))
    assert checkpoint.key == ""
    assert list(checkpoint.tensors) == list(WEIGHTS)


def test_safetensors(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "weights.safetensors")
    assert torch.equal(read_checkpoint(tmp_path / "weights.safetensors").tensors["a.weight"], torch.ones(2))


def test_old_format_of_torch(tmp_path: Path) -> None:
    torch.save({"model": WEIGHTS}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert read_checkpoint(tmp_path / "old.pth").key == "model"


@pytest.mark.parametrize("key", ["model", "model_ema", "ema_model", "state_dict", "net"])
def test_every_key(tmp_path: Path, key: str) -> None:
    checkpoint = read_checkpoint(save(tmp_path / "c.pth", {key: WEIGHTS, "epoch": 3, "optimizer": {}}))
    assert checkpoint.key == key
    assert checkpoint.not_loaded == ("epoch", "optimizer")


def test_weights_inside_a_wrapper(tmp_path: Path) -> None:
    content = {"ema_model": {"state_dict": WEIGHTS, "decay": 0.99}}
    assert list(read_checkpoint(save(tmp_path / "c.pth", content)).tensors) == list(WEIGHTS)


def test_choice_between_average_and_raw(digits_checkpoint: Path) -> None:
    average = read_checkpoint(digits_checkpoint)
    raw = read_checkpoint(digits_checkpoint, Selection("raw"))
    assert (average.key, raw.key) == ("model_ema", "model")
    assert not torch.equal(average.tensors["head.weight"], raw.tensors["head.weight"])
    assert average.not_loaded == (
        "model",
        "optimizer",
        "epoch",
        "scaler",
        "args",
    )
    assert average.not_read == ("1 object of argparse.Namespace",)


def test_no_average(tmp_path: Path) -> None:
    path = save(tmp_path / "c.pth", {"model": WEIGHTS, "model_ema": None, "epoch": 1})
    assert read_checkpoint(path).key == "model"
    with pytest.raises(CheckpointError, match=r"holds no ema weights.*it has: model, model_ema, epoch"):
        read_checkpoint(path, Selection("ema"))


def test_no_weights(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no weights.*it has: epoch"):
        read_checkpoint(save(tmp_path / "c.pth", {"epoch": 1}))
    with pytest.raises(CheckpointError, match="holds a list and no dictionary"):
        read_checkpoint(save(tmp_path / "c.pth", [torch.ones(1)]))


class Harmful:
    """Makes a folder when it is unpickled by anything that executes what it reads."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.proof),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_not_run(tmp_path: Path, zipped: bool) -> None:
    proof = tmp_path / "was-here"
    path = tmp_path / "c.pth"
    torch.save({"model": WEIGHTS, "args": Harmful(proof)}, path, _use_new_zipfile_serialization=zipped)
    checkpoint = read_checkpoint(path)
    assert list(checkpoint.tensors) == list(WEIGHTS)
    assert checkpoint.not_loaded == ("args",)
    assert checkpoint.not_read == (f"1 object of {os.mkdir.__module__}.mkdir",)
    assert not proof.exists()
    torch.load(path, weights_only=False)
    assert proof.exists(), "the file would have run code"


def test_a_plain_pickle_is_not_run(tmp_path: Path) -> None:
    proof = tmp_path / "was-here"
    (tmp_path / "c.pth").write_bytes(pickle.dumps(Harmful(proof)))
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "c.pth")
    assert not proof.exists()


def test_a_whole_module(tmp_path: Path) -> None:
    path = save(tmp_path / "c.pth", {"model": torch.nn.Linear(2, 2)})
    checkpoint = read_checkpoint(path)
    assert (checkpoint.key, list(checkpoint.tensors)) == ("model", ["weight", "bias"])
    assert "1 object of torch.nn.modules.linear.Linear" in checkpoint.not_read


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_truncated(tmp_path: Path, digits_checkpoint: Path, share: float, suffix: str) -> None:
    whole = digits_checkpoint.read_bytes()
    if suffix == ".safetensors":
        save_file(WEIGHTS, tmp_path / "w.safetensors")
        whole = (tmp_path / "w.safetensors").read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match="damaged" if share else "is empty"):
        read_checkpoint(path)


def test_missing_and_unknown_files(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no checkpoint file"):
        read_checkpoint(tmp_path / "none.pth")
    (tmp_path / "weights.h5").write_bytes(b"weights")
    with pytest.raises(CheckpointError, match="a checkpoint ends in"):
        read_checkpoint(tmp_path / "weights.h5")


@pytest.mark.parametrize("files", ["read_files", "sha256_of"])
def test_a_file_that_goes_away_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: str) -> None:
    """As training replaces it: while it is looked for, read or hashed."""
    path = save(tmp_path / "c.pth", WEIGHTS)
    original = getattr(reading, files)

    def gone(given: Any) -> Any:
        path.unlink()
        return original(given)

    monkeypatch.setattr(reading, files, gone)
    with pytest.raises(MvdError, match=r"c\.pth went away while it was read"):
        read_checkpoint(path)


def test_a_file_of_too_many_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty set takes one byte of the file and 200 of memory."""
    monkeypatch.setattr(pickle_limits, "MOST_OPCODES", 1000)
    assert read_checkpoint(save(tmp_path / "c.pth", {"model": WEIGHTS, "log": [1] * 900})).key == "model"
    for zipped in (True, False):
        torch.save({"model": WEIGHTS, "log": [1] * 1000}, tmp_path / "c.pth", _use_new_zipfile_serialization=zipped)
        with pytest.raises(CheckpointError, match="more than 1,000 values beside the weights") as caught:
            read_checkpoint(tmp_path / "c.pth")
        assert "save the weights alone" in str(caught.value.hint)


@given(st.lists(st.sampled_from(["module.", "backbone.", "model."]), max_size=4), st.sampled_from(["head.w", "x", ""]))
def test_prefixes_come_off_one_by_one(prefixes: list[str], name: str) -> None:
    forms = list(name_forms("".join(prefixes) + name))
    assert forms[0] == "".join(prefixes) + name
    assert [form for form in forms if form.endswith(name)][: len(prefixes) + 1] == [
        "".join(prefixes[i:]) + name for i in range(len(prefixes) + 1)
    ]
    assert len(set(forms)) == len(forms)
