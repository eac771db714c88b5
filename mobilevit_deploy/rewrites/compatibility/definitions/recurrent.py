"""Recurrent layers, step by step: all steps' products with the input are one, and each step's result is cut from it.

Source: the equations in PyTorch's documentation of LSTM, GRU and RNN.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from mobilevit_deploy.rewrites.decomposition import definition

aten = torch.ops.aten

State = tuple[Tensor, ...]
# From a step's product with the input, the layer's state and its recurrent weights to the next state, the output first.
Step = Callable[[Tensor, State, Sequence[Tensor]], State]


@definition(aten.lstm.input)
def lstm(
    x: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the outputs, and the last hidden and cell state of each layer and direction."""
    per_layer = len(weights) // (num_layers * (1 + bidirectional))
    if per_layer != 2 + 2 * has_biases:
        raise NotImplementedError("an LSTM with projections")
    outputs, ends = _layers(
        _lstm_step, x, list(zip(*state, strict=True)), weights, has_biases, bidirectional, batch_first
    )
    return outputs, torch.stack([end[0] for end in ends]), torch.stack([end[1] for end in ends])


def _lstm_step(product: Tensor, state: State, weights: Sequence[Tensor]) -> State:
    hidden, cell = state
    keep, forget, new, out = (product + F.linear(hidden, *weights)).chunk(4, -1)
    cell = forget.sigmoid() * cell + keep.sigmoid() * new.tanh()
    return out.sigmoid() * cell.tanh(), cell


def _gru_step(product: Tensor, state: State, weights: Sequence[Tensor]) -> State:
    (hidden,) = state
    reset, update, new = product.chunk(3, -1)
    own_reset, own_update, own_new = F.linear(hidden, *weights).chunk(3, -1)
    new = (new + (reset + own_reset).sigmoid() * own_new).tanh()
    return (new + (update + own_update).sigmoid() * (hidden - new),)


def _tanh_step(product: Tensor, state: State, weights: Sequence[Tensor]) -> State:
    return ((product + F.linear(state[0], *weights)).tanh(),)


def _relu_step(product: Tensor, state: State, weights: Sequence[Tensor]) -> State:
    return ((product + F.linear(state[0], *weights)).relu(),)


def _plain(
    step: Step,
    x: Tensor,
    state: Tensor,
    weights: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, Tensor]:
    """Returns the outputs and the last state of each layer and direction, of layers whose state is their output."""
    starts = [(start,) for start in state]
    outputs, ends = _layers(step, x, starts, weights, has_biases, bidirectional, batch_first)
    return outputs, torch.stack([end[0] for end in ends])


definition(aten.gru.input)(partial(_plain, _gru_step))
definition(aten.rnn_tanh.input)(partial(_plain, _tanh_step))
definition(aten.rnn_relu.input)(partial(_plain, _relu_step))


def _layers(
    step: Step,
    x: Tensor,
    starts: Sequence[State],
    weights: Sequence[Tensor],
    has_biases: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, list[State]]:
    """Runs all layers and directions.

    Args:
        step: of the layer.
        x: (steps, batch, width), the first two the other way round if ``batch_first``.
        starts: the state of each layer and direction, (batch, width) each.
        weights: of each layer and direction.
        has_biases: whether these have biases.
        bidirectional: whether each layer also runs from the last step to the first.
        batch_first: of the input and the output.

    Returns:
        The outputs, as the input, and the last states.
    """
    x = x.transpose(0, 1) if batch_first else x
    sets = iter(_sets(weights, has_biases))
    ends: list[State] = []
    while len(ends) < len(starts):
        directions = []
        for backwards in (False, True)[: 1 + bidirectional]:
            outputs, end = _run(step, x, starts[len(ends)], next(sets), backwards)
            directions.append(outputs)
            ends.append(end)
        x = torch.cat(directions, -1) if bidirectional else directions[0]
    return (x.transpose(0, 1) if batch_first else x), ends


def _sets(weights: Sequence[Tensor], has_biases: bool) -> Iterator[tuple[Sequence[Tensor], Sequence[Tensor]]]:
    """Yields weight and bias for the input and for the state, of each layer and direction."""
    count = 4 if has_biases else 2
    for i in range(0, len(weights), count):
        yield weights[i : i + count : 2], weights[i + 1 : i + count : 2]


def _run(
    step: Step, x: Tensor, state: State, weights: tuple[Sequence[Tensor], Sequence[Tensor]], backwards: bool
) -> tuple[Tensor, State]:
    outputs = []
    products = F.linear(x, *weights[0]).unbind(0)
    for product in reversed(products) if backwards else products:
        state = step(product, state, weights[1])
        outputs.append(state[0])
    return torch.stack(outputs[::-1] if backwards else outputs), state
