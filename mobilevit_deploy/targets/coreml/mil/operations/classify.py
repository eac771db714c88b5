"""The last op of a classifier.

Source: coremltools' ``mil/ops/defs/iOS15/classify.py``.
"""

from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.operations.registry import operation


@operation(rounds=False)
def classify(probabilities: Tensor, classes: tuple[str | int, ...]) -> tuple[str | int, Tensor]:
    """The label of the largest probability, and the probabilities in the labels' order."""
    if probabilities.numel() != len(classes):
        raise ValueError(f"{len(classes)} labels for {probabilities.numel()} probabilities")
    return classes[int(probabilities.argmax())], probabilities
