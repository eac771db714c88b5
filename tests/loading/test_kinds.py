"""Checkpoints as training frameworks write them: each loads to what the plain state dict loads to, and nothing runs.

Classes of frameworks are look-alikes of a module that is gone when the file is read: were one of its names looked up,
the reading would fail, and ``sys.modules`` would tell.
"""

import argparse
import collections
import datetime
import decimal
import functools
import gzip
import importlib.util
import io
import json
import pathlib
import pickle
import re
import sys
import tarfile
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.loading.checkpoint import Selection, read_checkpoint
from mobilevit_deploy.loading.model import LoadedModel, ModelRequest, load_model
from mobilevit_deploy.loading.records import check_records
from mobilevit_deploy.verification.document import weights_document

NET = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(self.conv(x))

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = Block()
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        return self.head(self.stem(x).mean((2, 3)))

def build():
    return Net()
"""
FRAMEWORK = "a_training_framework"
MODEL = {
    "stem.conv.weight": (4, 3, 3, 3),
    "stem.conv.bias": (4,),
    "stem.norm.weight": (4,),
    "stem.norm.bias": (4,),
    "stem.norm.running_mean": (4,),
    "stem.norm.running_var": (4,),
    "stem.norm.num_batches_tracked": (),
    "head.weight": (5, 4),
    "head.bias": (5,),
}

Content = dict[str, Any]


def weights(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    made = {name: torch.rand(shape, generator=generator) + 0.5 for name, shape in MODEL.items()}
    made["stem.norm.num_batches_tracked"] = torch.tensor(7)
    return made


def prefixed(prefix: str, seed: int = 0) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in weights(seed).items()}


@pytest.fixture
def framework(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module with classes that a framework's checkpoint holds; the test takes it away before it reads."""
    return load_module(tmp_path, monkeypatch, CLASSES)


CLASSES = """
import collections
import dataclasses
import enum
class HistoryBuffer:
    def __init__(self): self.log = [1.0, 2.0]
class Config(dict):
    def __setstate__(self, state): raise RuntimeError("was run")
class Slots:
    __slots__ = ("a",)
    def __init__(self): self.a = 1
class Group(list): pass
class Callable_:
    def __call__(self): raise RuntimeError("was run")
class Ordered(collections.OrderedDict): pass
class Mode(enum.Enum):
    FAST = 1
@dataclasses.dataclass
class Settings:
    depth: int = 3
Pair = collections.namedtuple("Pair", "a b")
class CfgNode(dict):
    def __init__(self, values):
        super().__init__(values)
        self.__dict__["__immutable__"] = False
class EasyDict(dict):
    def __init__(self, values):
        super().__init__(values)
        self.__dict__.update(values)
class DictConfig:
    def __init__(self, content):
        self.__dict__.update(_content=content, _parent=None, _metadata=Settings(), _flags_cache=None)
    def __getstate__(self): return dict(self.__dict__)
    def __setstate__(self, state): raise RuntimeError("was run")
    def __getattr__(self, name): raise AttributeError(name)
"""


def load_module(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> types.ModuleType:
    """Imports a module from a file that is on no path, so that nobody can import it again."""
    path = folder / "source.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(FRAMEWORK, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, FRAMEWORK, module)
    spec.loader.exec_module(module)
    return module


OBJECTS: dict[str, Callable[[types.ModuleType], Any]] = {
    "numpy scalar": lambda _: np.float64(81.2),
    "numpy array": lambda _: np.arange(4.0),
    "path": lambda _: pathlib.PurePosixPath("runs/1"),
    "date": lambda _: datetime.datetime(2026, 1, 1),
    "default dictionary": lambda _: collections.defaultdict(list, {"a": [1]}),
    "counter": lambda _: collections.Counter("abca"),
    "deque": lambda _: collections.deque([1, 2]),
    "arguments": lambda _: argparse.Namespace(lr=0.1),
    "set": lambda _: {1, "a", frozenset({2})},
    "type": lambda _: np.float32,
    "dtype": lambda _: torch.bfloat16,
    "device": lambda _: torch.device("cpu"),
    "complex": lambda _: 1 + 2j,
    "history buffer": lambda module: module.HistoryBuffer(),
    "configuration": lambda module: module.Config(a=module.Config(b=1)),
    "slots": lambda module: module.Slots(),
    "list of its own": lambda module: module.Group([1, module.Slots()]),
    "ordered dictionary of its own": lambda module: module.Ordered(a=1),
    "callable": lambda module: module.Callable_(),
    "enumeration": lambda module: module.Mode.FAST,
    "dataclass": lambda module: module.Settings(),
    "named tuple": lambda module: module.Pair(1, module.Settings()),
    "yacs": lambda module: module.CfgNode({"A": module.CfgNode({"B": 1})}),
    "easydict": lambda module: module.EasyDict({"a": [1, module.EasyDict({"b": 2})]}),
    "omegaconf": lambda module: module.DictConfig({"lr": module.DictConfig(0.1)}),
    "partial": lambda module: functools.partial(module.Settings, depth=2),
    "pattern": lambda _: re.compile("a+"),
    "plain values": lambda _: [slice(1, 2), range(3), b"\0", bytearray(b"a"), 2**70, "\ud800", decimal.Decimal("0.1")],
    "random state": lambda _: np.random.RandomState(0).get_state(),
    "optimizer": lambda _: torch.optim.AdamW([nn.Parameter(torch.ones(5, 4))]),
    "scheduler": lambda _: torch.optim.lr_scheduler.StepLR(torch.optim.SGD([nn.Parameter(torch.ones(2))]), 3),
}


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., LoadedModel]:
    (tmp_path / "net.py").write_text(NET)

    def load(path: Path, **selection: Any) -> LoadedModel:
        sys.modules.pop(FRAMEWORK, None)
        before = set(sys.modules)
        model = f"{tmp_path / 'net.py'}:build"
        loaded = load_model(ModelRequest(model, checkpoint=path, selection=Selection(**selection)))
        assert not any(name.startswith(FRAMEWORK) for name in set(sys.modules) - before)
        return loaded

    return load


def same(loaded: LoadedModel, seed: int = 0) -> bool:
    state = loaded.module.state_dict()
    return all(torch.equal(state[name], tensor) for name, tensor in weights(seed).items() if "tracked" not in name)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", OBJECTS)
def test_objects_beside_the_weights(
    load: Callable[..., LoadedModel],
    framework: types.ModuleType,
    tmp_path: Path,
    kind: str,
    zipped: bool,
    protocol: int,
) -> None:
    content = {"state_dict": weights(), "meta": {"what": OBJECTS[kind](framework)}, "what": OBJECTS[kind](framework)}
    path = tmp_path / "c.pth"
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    loaded = load(path)
    assert same(loaded)
    assert loaded.weights.key == "state_dict"


LAYOUTS: dict[str, tuple[Callable[[], Any], str]] = {
    "at the top": (weights, ""),
    "state_dict": (lambda: {"state_dict": weights(), "epoch": 3}, "state_dict"),
    "model": (lambda: {"model": weights(), "optimizer": {"state": {0: {"exp_avg": torch.ones(4)}}}}, "model"),
    "compiled": (lambda: prefixed("_orig_mod."), ""),
    "compiled inside data parallel": (lambda: prefixed("module._orig_mod."), ""),
    "data parallel inside compiled": (lambda: prefixed("_orig_mod.module."), ""),
    "fully sharded, joined": (lambda: prefixed("_fsdp_wrapped_module."), ""),
    "a wrapper inside": (
        lambda: {name.replace("stem.", "stem._fsdp_wrapped_module."): item for name, item in weights().items()},
        "",
    ),
    "Lightning": (
        lambda: {"state_dict": prefixed("model."), "hyper_parameters": {"lr": 1}, "callbacks": {}},
        "state_dict",
    ),
    "Lightning with a name of one's own": (lambda: {"state_dict": prefixed("classifier.")}, "state_dict"),
    "student and teacher": (lambda: {"student": prefixed("module.", 1), "teacher": weights()}, "teacher"),
    "params and params_ema": (lambda: {"params": weights(1), "params_ema": weights()}, "params_ema"),
    "state_dict_ema": (lambda: {"state_dict": weights(1), "state_dict_ema": weights()}, "state_dict_ema"),
    "a key of one's own": (lambda: {"run": {"best": {"net_weights": weights()}}}, "run.best.net_weights"),
    "names with such words inside": (
        lambda: {"semantic_net": weights(), "swapped": {"epoch": 1}, "upscaler": {}},
        "semantic_net",
    ),
    "a tuple of epoch and weights": (lambda: (3, weights()), "1"),
    "a list of models": (lambda: {"models": [weights()], "epoch": 3}, "models.0"),
    "a model beside its settings": (lambda: {"model": (weights(), {"lr": 0.1})}, "model.0"),
    "arguments of a script": (lambda: argparse.Namespace(state_dict=weights(), epoch=3), "state_dict"),
    "DeepSpeed": (lambda: {"module": weights(), "ds_config": {}, "optimizer": None}, "module"),
    "model and average in one": (
        lambda: {**prefixed("model.", 1), **prefixed("ema_model."), "initted": torch.tensor(True), "step": 3},
        "ema_model",
    ),
    "average in a training module": (
        lambda: {"state_dict": {**prefixed("net.", 1), **prefixed("ema.module."), "ema.n_averaged": torch.tensor(3)}},
        "state_dict.ema",
    ),
    "average beside bare names": (lambda: {**weights(1), **prefixed("teacher.")}, "teacher"),
    "detector": (
        lambda: {"state_dict": {**prefixed("det.trunk."), "det.neck.weight": torch.ones(2)}},
        "state_dict",
    ),
}


@pytest.mark.parametrize("kind", LAYOUTS)
def test_wherever_the_weights_lie(load: Callable[..., LoadedModel], tmp_path: Path, kind: str) -> None:
    make, key = LAYOUTS[kind]
    torch.save(make(), tmp_path / "c.ckpt")
    loaded = load(tmp_path / "c.ckpt")
    assert same(loaded)
    assert loaded.weights.key == key


def test_a_word_inside_another_is_none(load: Callable[..., LoadedModel], tmp_path: Path) -> None:
    torch.save({"semantic_net": weights(), "upscaler": weights(), "model_ema": weights(2)}, tmp_path / "c.pth")
    assert load(tmp_path / "c.pth", weights="raw").weights.key in ("semantic_net", "upscaler")
    assert load(tmp_path / "c.pth", weights="ema").weights.key == "model_ema"
    assert load(tmp_path / "c.pth", key="upscaler").weights.key == "upscaler"


BESIDE: dict[str, tuple[Callable[[], Any], dict[str, Any], tuple[str, ...]]] = {
    "deeper": (
        lambda: {"a": {"b": {"model": weights(), "other": weights(1), "step": 3}, "log": []}, 7: None},
        {},
        ("7", "a.log", "a.b.other", "a.b.step"),
    ),
    "an average": (
        lambda: {"state": {"ema": {"module": weights(), "decay": 0.9}, "model": weights(1)}, "epoch": 3},
        {},
        ("epoch", "state.model", "state.ema.decay"),
    ),
    "a list": (lambda: [3, {"model": weights(), "lr": 0.1}], {}, ("0", "1.lr")),
    "an object": (lambda: argparse.Namespace(args=argparse.Namespace(), nets={"best": weights()}), {}, ("args",)),
    "numbers among tensors": (lambda: {"model": {**weights(), "classes": 5}}, {}, ("model.classes",)),
    "the other side": (lambda: {**prefixed("model.", 1), **prefixed("ema_model."), "step": 3}, {}, ("model", "step")),
    "the average": (
        lambda: {"model": {**prefixed("model."), **prefixed("ema.", 1), "loss.scale": torch.ones(1)}},
        {"weights": "raw"},
        ("model.ema", "model.loss.scale"),
    ),
}


@pytest.mark.parametrize("kind", BESIDE)
def test_what_lies_beside_the_weights_is_named(load: Callable[..., LoadedModel], tmp_path: Path, kind: str) -> None:
    make, selection, names = BESIDE[kind]
    torch.save(make(), tmp_path / "c.pth")
    loaded = load(tmp_path / "c.pth", **selection)
    assert same(loaded)
    assert loaded.weights.not_loaded == names


def test_an_average_is_told_from_a_layer_of_that_name(load: Callable[..., LoadedModel], tmp_path: Path) -> None:
    """A model may have an attention that is called so, and a name may have the word inside another."""
    content = {**weights(), "stem.ema.conv.weight": torch.ones(1), "semantic.head.bias": torch.ones(1)}
    torch.save(content, tmp_path / "c.pth")
    loaded = load(tmp_path / "c.pth", ignore=("stem.ema.*", "semantic.*"))
    assert (same(loaded), loaded.weights.key) == (True, "")


def test_what_was_done_to_the_names_is_said(load: Callable[..., LoadedModel], tmp_path: Path) -> None:
    torch.save({"state_dict": {**prefixed("det.trunk."), "det.neck.weight": torch.ones(2)}}, tmp_path / "c.pth")
    loaded = load(tmp_path / "c.pth")
    assert loaded.weights.notes == ("the prefix 'det.trunk.' was taken off all names",)
    assert "det.neck.weight" in loaded.weights.not_loaded


def plain_net(folder: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    net: nn.Module = load_module(folder, monkeypatch, NET).build().eval()
    net.load_state_dict(weights())
    return net


@pytest.mark.parametrize("kind", ["whole", "inside", "old format", "TorchScript", "exported", "parallel"])
@pytest.mark.filterwarnings("ignore")
def test_whole_models(
    load: Callable[..., LoadedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    net = plain_net(tmp_path, monkeypatch)
    path = tmp_path / ("c.pt2" if kind == "exported" else "c.pt")
    if kind == "TorchScript":
        torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, 8, 8)), path)  # type: ignore[no-untyped-call]
    elif kind == "exported":
        torch.export.save(torch.export.export(net, (torch.zeros(1, 3, 8, 8),)), path)
    elif kind == "inside":
        torch.save({"model": net, "epoch": 3}, path)
    elif kind == "parallel":
        torch.save(nn.DataParallel(net), path)
    else:
        torch.save(net, path, _use_new_zipfile_serialization=kind == "whole")
    assert same(load(path))


def test_arrays_and_parts(load: Callable[..., LoadedModel], tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **{name: item.numpy() for name, item in weights().items()})  # type: ignore[arg-type]
    assert same(load(tmp_path / "w.npz"))


def test_arrays_of_another_machine(load: Callable[..., LoadedModel], tmp_path: Path) -> None:
    arrays = {name: item.numpy() for name, item in weights().items()}
    np.savez(tmp_path / "w.npz", **{name: item.astype(item.dtype.newbyteorder(">")) for name, item in arrays.items()})  # type: ignore[arg-type]
    assert same(load(tmp_path / "w.npz"))


def with_pickle(path: Path, content: object, protocol: int) -> None:
    path.write_bytes(pickle.dumps(content, protocol))


def with_torch(path: Path, content: object, protocol: int) -> None:
    torch.save(content, path, pickle_protocol=protocol)


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("write", [with_pickle, with_torch])
def test_arrays_in_a_pickle(
    load: Callable[..., LoadedModel], tmp_path: Path, write: Callable[[Path, object, int], None], protocol: int
) -> None:
    """As Detectron2's model zoo has them."""
    arrays = {name: item.numpy() for name, item in weights().items()}
    arrays["head.weight"] = np.asfortranarray(arrays["head.weight"])
    arrays["head.bias"] = arrays["head.bias"].astype(">f4")
    write(tmp_path / "c.pkl", {"model": arrays, "__author__": "somebody"}, protocol)
    loaded = load(tmp_path / "c.pkl")
    assert same(loaded)
    assert (loaded.weights.not_loaded, loaded.weights.not_read) == (("__author__",), ())


def test_an_array_beside_tensors_is_none_of_the_weights(load: Callable[..., LoadedModel], tmp_path: Path) -> None:
    torch.save({**weights(), "palette": np.ones(3)}, tmp_path / "c.pth")
    assert load(tmp_path / "c.pth").weights.not_loaded == ("palette",)


@pytest.mark.parametrize(
    "state",
    [
        (1, (5, 4), np.dtype("f4"), False, bytes(79)),
        (1, (2**40, 2**40), np.dtype("f4"), False, bytes(80)),
        (1, (-5, -4), np.dtype("f4"), False, bytes(80)),
        (1, [5, 4], np.dtype("f4"), False, bytes(80)),
        (1, (5, 4), np.dtype("f4"), False, [1.0] * 20),
        (1, (5, 4), np.dtype(object), False, [None] * 20),
        (1, (5,), np.dtype("S16"), False, bytes(80)),
        (1, (0, 2**40, 2**40), np.dtype("f4"), False, b""),
        (1, (2**400,) * 1000, np.dtype("f4"), False, bytes(80)),
        (1, (1,) * 100, np.dtype("f4"), False, bytes(4)),
        (1, (5, 4)),
    ],
)
def test_arrays_in_a_pickle_that_lie(load: Callable[..., LoadedModel], tmp_path: Path, state: tuple[Any, ...]) -> None:
    class Array:
        def __reduce__(self) -> Any:
            return np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), state  # type: ignore[attr-defined]

    arrays: Content = {name: item.numpy() for name, item in weights().items()}
    with_pickle(tmp_path / "c.pkl", arrays, 2)
    assert same(load(tmp_path / "c.pkl"))
    with_pickle(tmp_path / "c.pkl", {**arrays, "head.weight": Array()}, 2)
    with pytest.raises(CheckpointError, match=r"head\.weight in c\.pkl is an object of numpy"):
        load(tmp_path / "c.pkl")


class Distributed:
    """A look-alike of a DTensor, which needs processes; the real one is in ``test_frameworks``."""

    def __init__(self, local: Tensor, size: tuple[int, ...], placement: str) -> None:
        self.local, self.size = local, size
        self.placement: Any = getattr(importlib.import_module("torch.distributed.tensor"), placement)

    def __reduce__(self) -> Any:
        kind: Any = importlib.import_module("torch.distributed.tensor").DTensor
        placement = self.placement(0) if self.placement.__name__ == "Shard" else self.placement()
        state = {"_local_tensor": self.local, "_spec": types.SimpleNamespace(placements=(placement,))}
        inner = (kind, torch.float32, self.size, self.local.stride(), 0, torch.strided, torch.device("cpu"), False)
        wrapper = torch._utils._rebuild_wrapper_subclass
        return torch._tensor._rebuild_from_type_v2, (wrapper, kind, inner, (None, state))


@pytest.mark.parametrize("placement", ["Shard", "Replicate"])
def test_distributed_tensors_of_one_process(load: Callable[..., LoadedModel], tmp_path: Path, placement: str) -> None:
    content = {name: Distributed(item, tuple(item.shape), placement) for name, item in weights().items()}
    torch.save({"model": content}, tmp_path / "c.pth")
    assert same(load(tmp_path / "c.pth"))


@pytest.mark.parametrize(("size", "placement"), [((10, 4), "Shard"), ((5, 4), "Partial")])
def test_parts_of_distributed_tensors_are_named(
    load: Callable[..., LoadedModel], tmp_path: Path, size: tuple[int, ...], placement: str
) -> None:
    part = Distributed(weights()["head.weight"], size, placement)
    for content, said in (({**weights(), "head.weight": part}, r"head\.weight in"), ({"a": part}, "what c.pth holds")):
        torch.save({"model": content}, tmp_path / "c.pth")
        with pytest.raises(CheckpointError, match=rf"{said}.* is one shard of a tensor \(DTensor\)") as caught:
            load(tmp_path / "c.pth")
        assert "full_state_dict=True" in str(caught.value.hint)


def npz(entry: bytes, *, packed: bool = False) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        archive.writestr("head.weight.npy", entry)
    return buffer.getvalue()


def test_arrays_that_lie(load: Callable[..., LoadedModel], tmp_path: Path) -> None:
    def claim(values: int) -> bytes:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (values,)})
        return header.getvalue()

    objects = io.BytesIO()
    np.lib.format.write_array(objects, np.array([{}], dtype=object), allow_pickle=True)
    for content, said in (
        (npz(claim(2**33) + bytes(16)), "it claims float32 of shape"),
        (npz(claim(2**26) + bytes(2**28), packed=True), "it unpacks to much more"),
        (npz(objects.getvalue()), "Object arrays cannot be loaded"),
        (b"PK\x03\x04", "damaged"),
    ):
        (tmp_path / "w.npz").write_bytes(content)
        with pytest.raises(CheckpointError, match=said):
            load(tmp_path / "w.npz")


@pytest.mark.parametrize("given", ["folder", "index"])
def test_a_folder_in_parts(load: Callable[..., LoadedModel], tmp_path: Path, given: str) -> None:
    folder = folder_in_parts(tmp_path)
    loaded = load(folder if given == "folder" else folder / "model.safetensors.index.json")
    assert same(loaded)
    assert len(str(loaded.weights.sha256)) == 64


def folder_in_parts(tmp_path: Path) -> Path:
    folder = tmp_path / "hf"
    folder.mkdir()
    names = list(MODEL)
    parts = {"model-1.safetensors": names[:4], "model-2.safetensors": names[4:]}
    for file, part in parts.items():
        save_file({name: weights()[name] for name in part}, folder / file)
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_what_is_missing_of_parts_is_named(load: Callable[..., LoadedModel], tmp_path: Path) -> None:
    folder = folder_in_parts(tmp_path)
    (folder / "model-2.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks 1 of 2 parts: model-2\.safetensors"):
        load(folder)


def test_an_index_that_leads_elsewhere(load: Callable[..., LoadedModel], tmp_path: Path) -> None:
    (tmp_path / "m.index.json").write_text('{"weight_map": {"a": "../../etc/passwd"}}')
    with pytest.raises(CheckpointError, match="not beside it"):
        load(tmp_path / "m.index.json")


@pytest.mark.parametrize(
    ("content", "said", "hint"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "pointer of Git LFS", "git lfs pull"),
        (b"<!DOCTYPE html>\n<html></html>", "web page", "download"),
        (b'<?xml version="1.0"?><Error/>', "web page", "download"),
    ],
)
def test_what_people_take_for_a_checkpoint(
    load: Callable[..., LoadedModel], tmp_path: Path, content: bytes, said: str, hint: str
) -> None:
    (tmp_path / "c.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=said) as caught:
        load(tmp_path / "c.pth")
    assert hint in str(caught.value.hint)


def test_folders_of_shards_are_told_how_to_be_joined(load: Callable[..., LoadedModel], tmp_path: Path) -> None:
    for name, file, word in (("dcp", "__0_0.distcp", "dcp_to_torch"), ("ds", "zero_to_fp32.py", "zero_to_fp32")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
        with pytest.raises(CheckpointError, match="in parts") as caught:
            load(tmp_path / name)
        assert word in str(caught.value.hint)


def test_what_lies_in_a_folder_is_named(load: Callable[..., LoadedModel], tmp_path: Path) -> None:
    for place, said in (("run", "give the file in it: best.pth, last.ckpt"), ("state", "dcp_to_torch")):
        (tmp_path / place / "inner").mkdir(parents=True)
        for name in ("last.ckpt", "best.pth", "log.txt"):
            (tmp_path / place / name).touch()
        if place == "state":  # as accelerate keeps FSDP's
            (tmp_path / place / "inner" / "__0_0.distcp").touch()
        with pytest.raises(CheckpointError) as caught:
            load(tmp_path / place)
        assert said in str(caught.value.hint)


def test_a_selection(load: Callable[..., LoadedModel], tmp_path: Path) -> None:
    both = {**prefixed("student.", 1), **prefixed("teacher."), "extra.weight": torch.ones(1)}
    torch.save({"a": {"b": both}, "c": weights(2)}, tmp_path / "c.pth")

    def chosen(**selection: Any) -> LoadedModel:
        return load(tmp_path / "c.pth", **selection)

    assert same(chosen(), 0), "the teacher is the student's average"
    with pytest.raises(CheckpointError, match=r"2 sets of weights .* values: c, a\.b\.student"):
        chosen(weights="raw")
    assert same(chosen(key="c"), 2)
    taken = chosen(key="a.b", prefix="teacher.")
    assert same(taken)
    assert (weights_document(taken.weights)["key"], weights_document(taken.weights)["prefix"]) == ("a.b", "teacher.")
    ignoring = chosen(key="a.b", ignore=("student.*", "extra.*"))
    assert same(ignoring)
    assert weights_document(ignoring.weights)["ignore"] == ["student.*", "extra.*"]
    assert "student.head.bias (ignored)" in ignoring.weights.not_loaded
    with pytest.raises(CheckpointError, match=r"no weights under 'a\.x'") as caught:
        chosen(key="a.x")
    assert "c, a.b" in str(caught.value.hint)
    with pytest.raises(CheckpointError, match="no name that begins with 'pupil"):
        chosen(key="a.b", prefix="pupil.")


def test_of_several_that_fit_none_is_guessed(load: Callable[..., LoadedModel], tmp_path: Path) -> None:
    torch.save({"nets": {"generator": weights(), "discriminator": weights(1)}}, tmp_path / "two.pth")
    with pytest.raises(CheckpointError, match=r"2 sets .* fit.*: nets\.generator, nets\.discriminator") as caught:
        load(tmp_path / "two.pth")
    assert caught.value.hint == "--key nets.generator takes the first"
    assert same(load(tmp_path / "two.pth", key="nets.discriminator"), 1)
    torch.save({**prefixed("first.", 1), **prefixed("second.")}, tmp_path / "one.pth")
    with pytest.raises(CheckpointError, match=r"behind 'first\.' and behind 'second\.'"):
        load(tmp_path / "one.pth")
    assert same(load(tmp_path / "one.pth", prefix="second."))
    torch.save({**prefixed("module.q.", 1), **prefixed("module.k.")}, tmp_path / "wrapped.pth")
    with pytest.raises(CheckpointError, match=r"behind '.*k\.' and behind '.*q\.'") as caught:
        load(tmp_path / "wrapped.pth")
    assert caught.value.hint == "--prefix module.k. takes the first"
    assert same(load(tmp_path / "wrapped.pth", prefix="module.k."))
    torch.save({"last": weights(), "best": weights()}, tmp_path / "alike.pth")
    assert same(load(tmp_path / "alike.pth")), "of equal values it does not matter which"
    torch.save({"best": weights(), "momentum": weights(1), "exp_avg": weights(2)}, tmp_path / "kept.pth")
    assert same(load(tmp_path / "kept.pth")), "what an optimiser keeps has the weights' names, too"


def test_tied_weights_that_were_saved_once(tmp_path: Path) -> None:
    (tmp_path / "tied.py").write_text(
        "from torch import nn\n\ndef build():\n"
        "    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))\n"
        "    net[1].weight = net[0].weight\n    return net\n"
    )
    save_file(
        {"0.weight": torch.ones(3, 3, 1, 1), "0.bias": torch.ones(3), "1.bias": torch.ones(3)},
        tmp_path / "t.safetensors",
    )
    loaded = load_model(ModelRequest(f"{tmp_path / 'tied.py'}:build", checkpoint=tmp_path / "t.safetensors"))
    assert torch.equal(loaded.module[1].weight, torch.ones(3, 3, 1, 1))  # type: ignore[index]
    assert loaded.weights.notes == ("tied to another tensor: 1.weight",)


ADAPTERS: dict[str, tuple[Callable[[], Content], str]] = {
    "beside": (
        lambda: {**weights(), "head.lora_A.default.weight": torch.ones(2, 4)},
        "beside their base, such as head",
    ),
    "peft, whole": (
        lambda: {
            **{name.replace("head.", "head.base_layer."): item for name, item in weights().items()},
            "head.lora_B.default.weight": torch.ones(5, 2),
        },
        r"beside their base, such as head\.lora_B",
    ),
    "peft, alone": (
        lambda: {f"base_model.model.head.lora_{end}.weight": torch.ones(2, 4) for end in "AB"},
        r"adapters alone, such as base_model\.model\.head\.lora_A\.weight",
    ),
    "another tool's": (
        lambda: {f"lora_unet_head.{end}": torch.ones(2, 4) for end in ("alpha", "lora_up.weight")},
        "adapters alone, such as lora_unet_head",
    ),
}


@pytest.mark.parametrize("kind", ADAPTERS)
def test_adapters_are_refused_by_name(load: Callable[..., LoadedModel], tmp_path: Path, kind: str) -> None:
    make, said = ADAPTERS[kind]
    torch.save(make(), tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match=said) as caught:
        load(tmp_path / "c.pth")
    assert "merge_and_unload()" in str(caught.value.hint)


def test_a_folder_of_adapters(load: Callable[..., LoadedModel], tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="adapters alone"):
        load(tmp_path / "adapter")


def test_a_model_may_have_such_layers_itself(tmp_path: Path) -> None:
    (tmp_path / "lora.py").write_text(
        "from torch import nn\n\ndef build():\n    net = nn.Module()\n    net.lora_A = nn.Linear(3, 3)\n"
        "    return net\n"
    )
    torch.save({"lora_A.weight": torch.ones(3, 3), "lora_A.bias": torch.ones(3)}, tmp_path / "c.pth")
    request = ModelRequest(f"{tmp_path / 'lora.py'}:build", checkpoint=tmp_path / "c.pth")
    assert torch.equal(load_model(request).module.state_dict()["lora_A.bias"], torch.ones(3))


VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "the negative of what is stored": lambda item: torch._neg_view(-item) if item.is_floating_point() else item,
    "transposed": lambda item: item.transpose(0, 1).contiguous().transpose(0, 1) if item.ndim > 1 else item,
    "a slice": lambda item: torch.stack([item, item])[1],
    "a parameter": lambda item: nn.Parameter(item, requires_grad=False),
    "a subclass": lambda item: item.as_subclass(Subclass),
}


class Subclass(Tensor):
    """Of a framework of its own."""


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("view", VIEWS)
def test_tensors_that_are_views(load: Callable[..., LoadedModel], tmp_path: Path, view: str, zipped: bool) -> None:
    content = {name: VIEWS[view](item) for name, item in weights().items()}
    torch.save(content, tmp_path / "c.pth", _use_new_zipfile_serialization=zipped)
    assert same(load(tmp_path / "c.pth"))


SPECIAL: dict[str, Callable[[Tensor], Tensor]] = {
    "a quantised tensor": lambda item: torch.quantize_per_tensor(item, 0.1, 0, torch.qint8),
    "a sparse tensor": Tensor.to_sparse,
    "a tensor without values": lambda item: item.to("meta"),
    "a tensor of a type such as float8": lambda item: item.to(torch.float8_e4m3fn),
}


@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor")
@pytest.mark.parametrize("kind", SPECIAL)
def test_tensors_that_are_not_read_are_called_what_they_are(
    load: Callable[..., LoadedModel], tmp_path: Path, kind: str
) -> None:
    torch.save({**weights(), "head.weight": SPECIAL[kind](weights()["head.weight"])}, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match=rf"head\.weight in c\.pth is {kind}"):
        load(tmp_path / "c.pth")


def test_a_head_too_many_is_left_aside_by_the_hint(load: Callable[..., LoadedModel], tmp_path: Path) -> None:
    torch.save({**weights(), "aux_head.weight": torch.ones(3, 4)}, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match=r"unexpected: aux_head\.weight") as caught:
        load(tmp_path / "c.pth")
    assert "--ignore 'aux_head*'" in str(caught.value.hint)
    assert same(load(tmp_path / "c.pth", ignore=("aux_head*",)))
    for names, option in (
        (("decoder.weight", "mask_token"), "--ignore 'decoder*' --ignore 'mask_token*'"),
        (tuple(f"ema_{name}" for name in MODEL), "--ignore 'ema_*'"),
        (("stem.conv.mask", "stem.norm.mask"), "--ignore '*.mask'"),
        (("stem.conv.mask", "head.index"), "--ignore '*.mask' --ignore '*.index'"),
        (("stem.extra.weight",), "--ignore 'stem.extra.weight'"),
    ):
        torch.save({**weights(), **dict.fromkeys(names, torch.ones(3, 4))}, tmp_path / "c.pth")
        with pytest.raises(CheckpointError) as caught:
            load(tmp_path / "c.pth")
        assert str(caught.value.hint).endswith(f"leave them aside: {option}")


def test_what_stands_beside_the_models_own_prefix_is_left_aside(
    load: Callable[..., LoadedModel], tmp_path: Path
) -> None:
    """The projection of DINO, the losses of a training module."""
    torch.save({"teacher": {**prefixed("backbone."), "head.mlp.weight": torch.ones(3, 4)}}, tmp_path / "c.pth")
    loaded = load(tmp_path / "c.pth")
    assert same(loaded)
    assert loaded.weights.not_loaded == ("head.mlp.weight",)


def packed(name: str, write: Callable[[Path, Path], object]) -> Callable[[Path], Path]:
    """Returns what packs a good checkpoint into another file."""

    def make(folder: Path) -> Path:
        torch.save(weights(), folder / "inner.pth")
        write(folder / name, folder / "inner.pth")
        return folder / name

    return make


def _zip(path: Path, inner: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(inner, inner.name)


def _tar(path: Path, inner: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.add(inner, inner.name)


OTHERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "zip": (packed("c.pth", _zip), r"c\.pth is a zip archive with inner\.pth in it"),
    "tar": (packed("c.tar", _tar), r"c\.tar is a tar archive"),
    "gzip": (packed("c.pth", lambda path, inner: path.write_bytes(gzip.compress(inner.read_bytes()))), "by gzip"),
    "renamed": (packed("c.safetensors", lambda path, inner: inner.rename(path)), "an archive of PyTorch's"),
    "Keras's own": (packed("c.keras", lambda path, inner: inner.rename(path)), "a file of Keras"),
    "ONNX": (packed("c.onnx", lambda path, inner: inner.rename(path)), "a model that was exported already"),
    "Flax": (packed("flax_model.msgpack", lambda path, inner: inner.rename(path)), "a file of Flax"),
    "Paddle": (packed("c.pdparams", lambda path, inner: inner.rename(path)), "a file of PaddlePaddle"),
    "an unknown name": (packed("c.dat", lambda path, _: path.write_bytes(b"\0" * 64)), "a checkpoint ends in"),
    "pickled tensors": (
        packed("c.pkl", lambda path, _: path.write_bytes(pickle.dumps(weights()))),
        r"c\.pkl was written by pickle\.dump",
    ),
    "a pickle of other things": (
        packed("c.pkl", lambda path, _: path.write_bytes(pickle.dumps({"a": 1}))),
        r"c\.pkl holds no weights; it has: a",
    ),
    "a part of DeepSpeed's": (
        packed("c.pt", lambda path, _: torch.save({"module": None, "param_shapes": []}, path)),
        r"holds no weights; it has: module, param_shapes",
    ),
    "Keras": (packed("c.h5", lambda path, _: path.write_bytes(b"\x89HDF\r\n\x1a\n")), "an HDF5 file"),
    "array": (packed("c.npy", lambda path, _: np.save(path, np.ones(3))), "one array of numpy"),
    "nothing": (packed("c.pth", lambda path, _: path.touch()), r"c\.pth is empty"),
    "text": (packed("c.pth", lambda path, _: path.write_text("epoch,loss\n1,0.5\n")), r"begins with 'epoch,loss'"),
    "text of letters": (packed("c.safetensors", lambda path, _: path.write_text("größe: 3\n" * 90)), "with 'größe: 3'"),
    "error": (packed("c.pth", lambda path, _: path.write_text('{"error": "not found"}')), "is text"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_files_are_called_what_they_are(load: Callable[..., LoadedModel], tmp_path: Path, kind: str) -> None:
    make, said = OTHERS[kind]
    with pytest.raises(CheckpointError, match=said):
        load(make(tmp_path))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["best.th", "checkpoint-best", "c.weights", "C.PTH"])
def test_whatever_a_checkpoint_is_called(
    load: Callable[..., LoadedModel], tmp_path: Path, name: str, zipped: bool
) -> None:
    torch.save(weights(), tmp_path / name, _use_new_zipfile_serialization=zipped)
    assert same(load(tmp_path / name))


@pytest.mark.filterwarnings("ignore")
def test_models_without_float_weights_by_name(
    load: Callable[..., LoadedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = plain_net(tmp_path, monkeypatch)
    frozen = torch.jit.freeze(torch.jit.trace(net, torch.zeros(1, 3, 8, 8)))  # type: ignore[no-untyped-call]
    torch.jit.save(frozen, tmp_path / "frozen.pt")
    with pytest.raises(CheckpointError, match="a frozen TorchScript program"):
        load(tmp_path / "frozen.pt")
    quantized = torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)  # type: ignore[no-untyped-call]
    torch.save(quantized.state_dict(), tmp_path / "quantized.pth")
    with pytest.raises(CheckpointError, match="a model that PyTorch quantised, such as its layer head"):
        load(tmp_path / "quantized.pth")


@pytest.mark.parametrize("name", ["c.pth", "C.PTH", "c.bin"])
def test_weights_without_a_pickle_under_another_name(
    load: Callable[..., LoadedModel], tmp_path: Path, name: str
) -> None:
    save_file(weights(), tmp_path / name)
    assert same(load(tmp_path / name))


@pytest.mark.parametrize("value", [torch.tensor(7.0), torch.tensor(7, dtype=torch.int8), torch.ones(1), None])
def test_a_counter_that_evaluation_never_reads_may_be_anything(
    load: Callable[..., LoadedModel], tmp_path: Path, value: Tensor | None
) -> None:
    torch.save({**weights(), "stem.norm.num_batches_tracked": value}, tmp_path / "c.pth")
    assert same(load(tmp_path / "c.pth"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types(load: Callable[..., LoadedModel], tmp_path: Path, dtype: torch.dtype) -> None:
    torch.save({name: item.to(dtype) for name, item in weights().items()}, tmp_path / "c.pth")
    loaded = load(tmp_path / "c.pth")
    assert torch.equal(loaded.module.state_dict()["head.weight"], weights()["head.weight"].to(dtype).float())


def test_a_tensor_that_needs_code_is_named(
    load: Callable[..., LoadedModel], framework: types.ModuleType, tmp_path: Path
) -> None:
    torch.save({**weights(), "head.bias": framework.Callable_()}, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match=rf"head\.bias in c\.pth is an object of {FRAMEWORK}\.Callable_"):
        load(tmp_path / "c.pth")


def write_archive(path: Path, net: nn.Module) -> None:
    """Writes the weights as the name of the file says."""
    if path.suffix == ".npz":
        np.savez(path, **{name: item.numpy() for name, item in net.state_dict().items()})
    elif path.suffix == ".pt2":
        torch.export.save(torch.export.export(net, (torch.zeros(1, 3, 8, 8),)), path)
    elif path.stem == "TorchScript":
        torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, 8, 8)), path)  # type: ignore[no-untyped-call]
    else:
        torch.save({"model": net.state_dict(), "other": {"a": torch.full((64,), 0.625)}}, path)


@pytest.mark.parametrize("name", ["c.pth", "TorchScript.pt", "c.pt2", "c.npz"])
@pytest.mark.filterwarnings("ignore")
def test_a_changed_byte_is_seen_by_its_checksum(
    load: Callable[..., LoadedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_archive(tmp_path / name, plain_net(tmp_path, monkeypatch))
    content = bytearray((tmp_path / name).read_bytes())
    place = content.index(weights()["head.weight"].numpy().tobytes())
    content[place + 5] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"head\.weight") as caught:
        load(tmp_path / name)
    assert caught.value.hint == "the file is damaged: copy or download it again"


def test_a_changed_byte_of_what_is_not_taken_is_nothing(
    load: Callable[..., LoadedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_archive(tmp_path / "c.pth", plain_net(tmp_path, monkeypatch))
    content = (tmp_path / "c.pth").read_bytes()
    (tmp_path / "c.pth").write_bytes(content.replace(torch.full((64,), 0.625).numpy().tobytes(), bytes(256)))
    assert same(load(tmp_path / "c.pth"))
    with pytest.raises(CheckpointError, match=r"a in c\.pth is not what was written"):
        check_tensors(tmp_path / "c.pth", "other")


def check_tensors(path: Path, key: str) -> None:
    checkpoint = read_checkpoint(path, Selection(key=key))
    check_records(checkpoint.tensors, checkpoint.records)


def test_files_without_checksums(load: Callable[..., LoadedModel], tmp_path: Path) -> None:
    """PyTorch may be told to leave them out, and leaves out those of values that are filled in later."""
    path = tmp_path / "c.pth"
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"model": weights()}, path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert same(load(path))
    with torch.serialization.skip_data():
        torch.save(weights(), path)
    with zipfile.ZipFile(path) as archive:
        assert [entry.CRC for entry in archive.infolist() if "/data/" in entry.filename and entry.file_size > 8] == [
            0
        ] * 8
    check_tensors(path, "")


def test_nothing_is_a_folder_or_empty(load: Callable[..., LoadedModel], tmp_path: Path) -> None:
    for path, said in ((Path(), "names no file"), (tmp_path, "is a folder")):
        with pytest.raises(CheckpointError, match=said):
            load(path)
