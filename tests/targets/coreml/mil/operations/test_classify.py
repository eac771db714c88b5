import numpy as np
import pytest
import torch

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.mil.evaluate import Evaluator
from mobilevit_deploy.targets.coreml.mil.program import (
    Constant,
    Function,
    Literal,
    NamedType,
    Operation,
    OtherType,
    Reference,
    TensorType,
)
from tests.targets.coreml.mil.single import data_type

PROBABILITIES = TensorType(data_type("fp32"), (1, 3))


def classify(classes: Constant) -> dict[str, object]:
    operation = Operation(
        type="classify",
        name="classify",
        inputs={"probabilities": (Reference("x"),), "classes": (Literal(classes),)},
        attributes={},
        outputs=(NamedType("label", OtherType()), NamedType("probabilities", OtherType())),
    )
    function = Function("main", (NamedType("x", PROBABILITIES),), (operation,), ("label", "probabilities"))
    opened = Evaluator(function, lambda blob: np.zeros(0), "fp16_storage")
    return dict(opened.run({"x": torch.tensor([[0.1, 0.7, 0.2]])}))


@pytest.mark.parametrize(("classes", "label"), [(("cat", "dog", "cow"), "dog"), (np.array([7, 8, 9]), 8)])
def test_the_most_probable_label(classes: Constant, label: str | int) -> None:
    results = classify(classes)
    assert results["label"] == label
    assert torch.equal(torch.as_tensor(results["probabilities"]), torch.tensor([[0.1, 0.7, 0.2]]))


def test_another_number_of_labels_is_refused() -> None:
    with pytest.raises(ArtifactError, match="2 labels for 3 probabilities"):
        classify(("cat", "dog"))
