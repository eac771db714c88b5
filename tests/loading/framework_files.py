"""Checkpoints that the real training frameworks write; a program of its own, so that who reads them imports none.

``python -m tests.loading.framework_files FOLDER`` writes a file for each of ``WRITERS``, with the weights of
``tests.loading.test_kinds``.
"""

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.loading.test_kinds import FRAMEWORK, NET, weights

LIBRARIES = ("mmengine", "omegaconf", "yacs", "easydict", "lightning", "pytorch_lightning")
Writer = Callable[[Path], Path]


def net(seed: int = 0) -> nn.Module:
    """Returns the network of the tests, from a module that is nowhere when a file is read."""
    made = sys.modules.setdefault(FRAMEWORK, ModuleType(FRAMEWORK))
    if not hasattr(made, "build"):
        exec(compile(NET, "net.py", "exec"), vars(made))  # noqa: S102 - our own text
    module: nn.Module = made.build()
    module.load_state_dict(weights(seed))
    return module


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def mmengine(folder: Path) -> Path:
    """As ``mmengine.runner.Runner.save_checkpoint`` writes it, for MMDetection, MMSegmentation and MMPretrain."""
    from mmengine.config import Config
    from mmengine.logging import MessageHub

    hub = MessageHub.get_instance("run")
    for step in range(3):
        hub.update_scalar("train/loss", 1.0 / (step + 1))
    hub.update_info("iter", 3)
    meta = {"cfg": Config({"model": {"type": "Detector"}}), "iter": 3, "dataset_meta": {"classes": ("a", "b")}}
    content = {"meta": meta, "state_dict": net().state_dict(), "message_hub": hub.state_dict(), "optimizer": {}}
    return saved(folder / "epoch_3.pth", content)


def omegaconf(folder: Path) -> Path:
    """As Lightning keeps the configuration that a module was made with."""
    from omegaconf import OmegaConf

    settings = OmegaConf.create({"model": {"depths": [1, 2], "lr": "${rate}"}, "rate": 0.1})
    return saved(folder / "last.ckpt", {"state_dict": net().state_dict(), "hyper_parameters": settings})


def yacs(folder: Path) -> Path:
    from yacs.config import CfgNode

    return saved(folder / "swin.pth", {"model": net().state_dict(), "config": CfgNode({"A": {"B": 1}}), "epoch": 3})


def easydict(folder: Path) -> Path:
    from easydict import EasyDict

    args = EasyDict(lr=0.1, nested={"a": [1, {"b": 2}]})
    return saved(folder / "easy.pth", {"net": net().state_dict(), "args": args})


def lightning(folder: Path) -> Path:
    """A module that is trained for one step: what its trainer writes, with its callbacks and its settings."""
    import lightning.pytorch as pl
    from omegaconf import OmegaConf

    class Training(pl.LightningModule):  # type: ignore[misc]  # an extra, which need not be there
        def __init__(self, settings: Any, args: Any) -> None:  # noqa: ARG002 - it saves them
            super().__init__()
            self.save_hyperparameters()
            self.model = net()

        def training_step(self, batch: Any, _: int) -> Any:
            return self.model.eval()(batch[0]).square().mean()  # the batch norm sees no images

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=0.0, weight_decay=0.0)

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.rand(4, 3, 8, 8)), batch_size=2)
    trainer = pl.Trainer(
        max_steps=1, accelerator="cpu", logger=False, default_root_dir=folder, enable_progress_bar=False,
        callbacks=[pl.callbacks.ModelCheckpoint(folder, save_last=True), pl.callbacks.EMAWeightAveraging()],
    )  # fmt: skip
    trainer.fit(Training(OmegaConf.create({"lr": 0.1}), argparse.Namespace(seed=np.int64(3))), data)
    trainer.save_checkpoint(folder / "trained.ckpt")
    return folder / "trained.ckpt"


def compiled(folder: Path) -> Path:
    wrapped: Any = torch.compile(net())
    return saved(folder / "compiled.pth", {"state_dict": wrapped.state_dict()})


def process_group(folder: Path) -> None:
    store = torch.distributed.FileStore(str(folder / "store"), 1)  # type: ignore[attr-defined]
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)


def data_parallel(folder: Path) -> Path:
    """DistributedDataParallel around a compiled model, whose whole module is saved beside its average."""
    process_group(folder)
    wrapped: Any = torch.compile(net(1))
    parallel = nn.parallel.DistributedDataParallel(wrapped)
    average = torch.optim.swa_utils.AveragedModel(net())
    return saved(folder / "ddp.pt", {"model": parallel.state_dict(), "model_ema": average.state_dict(), "epoch": 3})


def fully_sharded(folder: Path) -> Path:
    """FSDP's whole state dict, with the wrapper of each block."""
    from torch.distributed.fsdp import FullyShardedDataParallel, StateDictType
    from torch.distributed.fsdp.wrap import ModuleWrapPolicy

    process_group(folder)
    module = net()
    block: Any = type(module.stem)
    policy = ModuleWrapPolicy({block})
    sharded = FullyShardedDataParallel(module, auto_wrap_policy=policy, device_id=torch.device("cpu"))
    with FullyShardedDataParallel.state_dict_type(sharded, StateDictType.FULL_STATE_DICT):
        return saved(folder / "fsdp.pt", {"model": sharded.state_dict()})


def joined_shards(folder: Path) -> Path:
    """A distributed checkpoint, and what PyTorch joins it to."""
    import torch.distributed.checkpoint as parts
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    process_group(folder)
    parts.save({"model": net().state_dict()}, checkpoint_id=folder / "parts")  # type: ignore[attr-defined]
    dcp_to_torch_save(folder / "parts", folder / "joined.pth")
    return folder / "joined.pth"


def distributed_tensors(folder: Path) -> Path:
    """DTensors, as FSDP2 and tensor parallelism keep parameters, of one process, which has each whole."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    process_group(folder)
    mesh = init_device_mesh("cpu", (1,))
    state = {
        name: distribute_tensor(item, mesh, [Shard(0) if item.ndim else Replicate()])
        for name, item in net().state_dict().items()
    }
    return saved(folder / "dtensors.pt", {"model": state})


def whole_model(folder: Path) -> Path:
    """``torch.save(model)`` of a model with batch norms that were made ready for several processes."""
    return saved(folder / "whole.pth", nn.SyncBatchNorm.convert_sync_batchnorm(net()))  # type: ignore[no-untyped-call]


WRITERS: dict[str, Writer] = {
    writer.__name__: writer
    for writer in (
        mmengine, omegaconf, yacs, easydict, lightning, compiled, data_parallel, fully_sharded, joined_shards,
        distributed_tensors, whole_model,
    )
}  # fmt: skip


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # the frameworks' own
    root = Path(sys.argv[1])
    for kind, write in WRITERS.items():
        (root / kind).mkdir()
        print(kind, write(root / kind), flush=True)
