"""LiteRT with the XNNPACK delegate, converted by ``litert_torch`` as its documentation shows it."""

from pathlib import Path

from benchmarks.baselines.export import example
from benchmarks.baselines.session import Predict, main
from mobilevit_deploy.loading.model import LoadedModel

TITLE = "LiteRT"
ABOUT = "litert_torch.convert of the model as it is, float32"
NEEDS = ("litert-torch", "ai-edge-litert")


def build(model: LoadedModel, folder: Path) -> Path:
    """Writes the file."""
    import litert_torch

    path = folder / "litert.tflite"
    litert_torch.convert(model.module, (example(model),)).export(str(path))
    return path


def load(path: Path, threads: int) -> Predict:
    """Loads a file; XNNPACK takes what it can by default."""
    from ai_edge_litert.interpreter import Interpreter

    model = Interpreter(str(path), num_threads=threads)
    model.allocate_tensors()
    (entry,), ends = model.get_input_details(), model.get_output_details()

    def predict(batch):  # type: ignore[no-untyped-def]
        model.set_tensor(entry["index"], batch)
        model.invoke()
        return [model.get_tensor(end["index"]) for end in ends]

    return predict


if __name__ == "__main__":
    main(load)
