"""Recurrent layers, step by step.

Source: coremltools' ``mil/ops/defs/iOS15/recurrent.py``, whose equations these are; the gates are input, forget, output
and cell. Of the activations there are those with equations. Peepholes and clipping are refused: their equations are
nowhere.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.operations.registry import operation

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "linear": torch.clone,
}


@operation()
def lstm(
    x: Tensor,
    initial_h: Tensor,
    initial_c: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None = None,
    weight_ih_back: Tensor | None = None,
    weight_hh_back: Tensor | None = None,
    bias_back: Tensor | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    cell_activation: str = "tanh",
    activation: str = "tanh",
) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs (steps or 1, batch, width), and the last hidden and cell state, (batch, width); x is (steps, batch, in).

    Both directions have their values side by side, and each output stands at the step that it is of.
    """
    if direction not in ("forward", "reverse", "bidirectional"):
        raise ValueError(f"unknown direction {direction}")
    names = (recurrent_activation, cell_activation, activation)
    if not ACTIVATIONS.keys() >= set(names):
        raise ValueError(f"an activation among {', '.join(names)} that has no equation")
    gate, cell, output = (ACTIVATIONS[name] for name in names)

    def run(steps: Tensor, h: Tensor, c: Tensor, own: Tensor, state: Tensor, offset: Tensor | None) -> list[Tensor]:
        outputs = []
        for step in steps:
            sums = step @ own.T + h @ state.T
            i, f, o, z = (sums if offset is None else sums + offset).chunk(4, -1)
            c = gate(f) * c + gate(i) * cell(z)
            h = gate(o) * output(c)
            outputs.append(h)
        return [torch.stack(outputs), h, c]

    if direction == "forward":
        outputs, h, c = run(x, initial_h, initial_c, weight_ih, weight_hh, bias)
    elif direction == "reverse":
        outputs, h, c = run(x.flip(0), initial_h, initial_c, weight_ih, weight_hh, bias)
        outputs = outputs.flip(0)
    else:
        if weight_ih_back is None or weight_hh_back is None:
            raise ValueError("both directions, and no weights for the way back")
        (h, h_back), (c, c_back) = initial_h.chunk(2, -1), initial_c.chunk(2, -1)
        ahead = run(x, h, c, weight_ih, weight_hh, bias)
        back = run(x.flip(0), h_back, c_back, weight_ih_back, weight_hh_back, bias_back)
        back[0] = back[0].flip(0)
        outputs, h, c = (torch.cat(pair, -1) for pair in zip(ahead, back, strict=True))
    return (outputs if output_sequence else h.unsqueeze(0)), h, c
