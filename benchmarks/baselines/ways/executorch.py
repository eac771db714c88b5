"""ExecuTorch with the XNNPACK delegate, as its documentation sets it up."""

from pathlib import Path

import torch

from benchmarks.baselines.export import example
from benchmarks.baselines.session import Predict, main
from mobilevit_deploy.loading.model import LoadedModel

TITLE = "ExecuTorch"
ABOUT = "torch.export of the model as it is, XnnpackPartitioner, float32"
NEEDS = ("executorch",)


def build(model: LoadedModel, folder: Path) -> Path:
    """Writes the program."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(model.module, (example(model),))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    path = folder / "executorch.pte"
    path.write_bytes(lowered.buffer)
    return path


def load(path: Path, threads: int) -> Predict:
    """Loads the program; its thread pool is made anew with so many threads."""
    from executorch.extension.pybindings import portable_lib
    from executorch.runtime import Runtime

    portable_lib._unsafe_reset_threadpool(threads)
    method = Runtime.get().load_program(path).load_method("forward")
    return lambda batch: [item.numpy() for item in method.execute([torch.from_numpy(batch)])]


if __name__ == "__main__":
    main(load)
