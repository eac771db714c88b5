from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.mil.program import TensorType
from tests.targets.coreml.mil.single import Case, check, compute, data_type, floats

STEPS, BATCH, WIDTH, HIDDEN = 4, 2, 3, 5
LSTM = {
    "x": floats(STEPS, BATCH, WIDTH),
    "initial_h": floats(BATCH, HIDDEN, seed=1),
    "initial_c": floats(BATCH, HIDDEN, seed=2),
    "weight_ih": floats(4 * HIDDEN, WIDTH, seed=3),
    "weight_hh": floats(4 * HIDDEN, HIDDEN, seed=4),
}
BOTH = LSTM | {
    "initial_h": floats(BATCH, 2 * HIDDEN, seed=1),
    "initial_c": floats(BATCH, 2 * HIDDEN, seed=2),
    "weight_ih_back": floats(4 * HIDDEN, WIDTH, seed=5),
    "weight_hh_back": floats(4 * HIDDEN, HIDDEN, seed=6),
    "direction": "bidirectional",
}
BIAS, BIAS_BACK = floats(4 * HIDDEN, seed=7), floats(4 * HIDDEN, seed=8)


def in_pytorchs_order(value: Tensor) -> Tensor:
    inputs, forget, output, cell = value.chunk(4)
    return torch.cat([inputs, forget, cell, output])


def by_pytorch(
    x: Tensor,
    initial_h: Tensor,
    initial_c: Tensor,
    direction: str = "forward",
    output_sequence: bool = False,
    **own: Tensor,
) -> tuple[Tensor, ...]:
    """What PyTorch's layer computes with the same weights, in its own order of gates."""
    both = direction == "bidirectional"
    layer = nn.LSTM(WIDTH, HIDDEN, bidirectional=both)
    weights = dict.fromkeys(dict(layer.named_parameters()), torch.zeros(4 * HIDDEN))
    for name, value in own.items():
        kind = name.removesuffix("_back").replace("bias", "bias_ih")
        weights[f"{kind}_l0{'_reverse' if name.endswith('_back') else ''}"] = in_pytorchs_order(value)
    layer.load_state_dict(weights)
    turned = x.flip(0) if direction == "reverse" else x
    states = [torch.stack(state.chunk(1 + both, -1)) for state in (initial_h, initial_c)]
    with torch.no_grad():
        outputs, (h, c) = layer(turned, tuple(states))
    ends = [torch.cat(list(state), -1) for state in (h, c)]
    outputs = outputs.flip(0) if direction == "reverse" else outputs
    return (outputs if output_sequence else ends[0][None], *ends)


def by_hand(x: Tensor, initial_h: Tensor, initial_c: Tensor, weight_ih: Tensor, weight_hh: Tensor, **kinds: str) -> Any:
    """One after the other, with the activations that are asked for."""
    names = {"recurrent_activation": "sigmoid", "cell_activation": "tanh", "activation": "tanh"} | kinds
    gate, cell, last = (getattr(torch, name) if name != "linear" else torch.clone for name in names.values())
    h, c = initial_h, initial_c
    for step in x:
        i, f, o, z = torch.split(step @ weight_ih.T + h @ weight_hh.T, HIDDEN, -1)
        c = gate(f) * c + gate(i) * cell(z)
        h = gate(o) * last(c)
    return h[None], h, c


CASES = [
    Case("lstm", LSTM, by_pytorch),
    Case("lstm", {**LSTM, "bias": BIAS, "output_sequence": True}, by_pytorch),
    Case("lstm", {**LSTM, "bias": BIAS, "direction": "reverse", "output_sequence": True}, by_pytorch),
    Case("lstm", {**BOTH, "bias": BIAS, "bias_back": BIAS_BACK, "output_sequence": True}, by_pytorch),
    Case("lstm", BOTH, by_pytorch),
    Case("lstm", {**LSTM, "recurrent_activation": "linear"}, by_hand),
    Case("lstm", {**LSTM, "cell_activation": "relu"}, by_hand),
    Case("lstm", {**LSTM, "activation": "sigmoid"}, by_hand),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("other", [{"direction": "up"}, {"activation": "softsign"}, {"direction": "bidirectional"}])
def test_what_has_no_equation_is_refused(other: dict[str, str]) -> None:
    declared = [TensorType(data_type("fp32"), shape) for shape in ((1, BATCH, HIDDEN), *[(BATCH, HIDDEN)] * 2)]
    with pytest.raises(ArtifactError, match=r"unknown direction|no equation|no weights for the way back"):
        compute("lstm", LSTM | other, declared)
