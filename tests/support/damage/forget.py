"""Files as others write them, without digests: what is changed in them is for the numerical legs to see."""

import onnx

from mobilevit_deploy.targets.contents import EACH, GRAPH, TENSORS


def forget(model: onnx.ModelProto) -> None:
    """Takes the digests out of a model."""
    kept = [entry for entry in model.metadata_props if entry.key not in (GRAPH, TENSORS, EACH)]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
