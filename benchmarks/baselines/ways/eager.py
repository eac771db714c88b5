"""PyTorch itself."""

from pathlib import Path

import torch

from benchmarks.baselines.session import Predict, main
from mobilevit_deploy.loading.model import LoadedModel, ModelRequest, load_model
from mobilevit_deploy.runners.base import Array

TITLE = "PyTorch eager"
ABOUT = "the model as it is, in inference mode"


def build(model: LoadedModel, folder: Path) -> Path:
    """Writes the weights; the worker makes the model again."""
    path = folder / f"{model.name}.pt"
    torch.save(model.module.state_dict(), path)
    return path


def load(path: Path, threads: int) -> Predict:
    """Loads the model."""
    torch.set_num_threads(threads)
    module = load_model(ModelRequest(path.stem)).module
    module.load_state_dict(torch.load(path, weights_only=True))

    def predict(batch: Array) -> list[Array]:
        with torch.inference_mode():
            return [module(torch.from_numpy(batch)).numpy()]

    return predict


if __name__ == "__main__":
    main(load)
