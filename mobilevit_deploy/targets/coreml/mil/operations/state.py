"""Reads and writes of state; coremltools writes its ``coreml_update_state`` as the two.

Source: coremltools' ``mil/ops/defs/iOS18/states.py`` and ``mil/ops/defs/coreml_dialect/ops.py``.
"""

from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.operations.registry import operation
from mobilevit_deploy.targets.coreml.mil.values import State


@operation(rounds=False)
def read_state(input: State) -> Tensor:
    """The state's value at this point of the program."""
    return input.value


@operation(rounds=False)
def write_state(input: State, data: Tensor) -> tuple[()]:
    """Replaces the state's value; there is no result."""
    if data.shape != input.value.shape:
        raise ValueError(f"a state of shape {list(input.value.shape)} cannot take {list(data.shape)}")
    input.value = data
    return ()
