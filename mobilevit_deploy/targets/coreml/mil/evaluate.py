"""Runs a prepared function op by op, and lets go of every value after its last use."""

from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.mil.bind import ReadBlob, bind
from mobilevit_deploy.targets.coreml.mil.program import Function, NamedType, Operation, StateType, TensorType
from mobilevit_deploy.targets.coreml.mil.values import Mode, State, Value, fits, settle

Observe = Callable[[Operation, str, Tensor], None]


class Evaluator:
    """A function whose weights are decoded and whose constant operations are computed."""

    def __init__(self, function: Function, read_blob: ReadBlob, mode: Mode, exact: Collection[str] = ()) -> None:
        """Prepares the function, see ``bind``; raises ArtifactError for an unknown op or a damaged weight."""
        self._function = function
        self._mode = mode
        self._bound = bind(function, read_blob, mode, exact)
        self._last_uses = self._find_last_uses()

    def new_states(self) -> dict[str, State]:
        """Returns the function's states, all zero, as Core ML makes them."""
        states = {}
        for named in self._function.inputs:
            if isinstance(named.type, StateType):
                wrapped = named.type.wrapped
                zeros = torch.zeros([size or 1 for size in wrapped.shape or ()])
                states[named.name] = State(settle(zeros, wrapped.data_type, self._mode, rounds=False))
        return states

    @torch.inference_mode()
    def run(
        self,
        inputs: Mapping[str, Tensor],
        states: Mapping[str, State] | None = None,
        observe: Observe | None = None,
    ) -> dict[str, Value]:
        """Evaluates the function.

        Args:
            inputs: by name, in the program's shapes.
            states: from ``new_states``; they are written to. Without them the run begins with zeros.
            observe: is called with every tensor that the run computes, in order: the operation, the tensor's name
                and the tensor. Constants and what follows from them alone were computed before.

        Returns:
            The outputs by name.

        Raises:
            ArtifactError: an input is missing or has another shape, or an op cannot be computed.
        """
        values: dict[str, Value] = {**self._bound.constants, **(self.new_states() if states is None else states)}
        for named in self._function.inputs:
            if isinstance(named.type, TensorType):
                values[named.name] = self._accept(named, named.type, inputs)
        for step, dead in zip(self._bound.steps, self._last_uses, strict=True):
            results = step.compute(values, self._mode)
            for named, result in zip(step.operation.outputs, results, strict=True):
                values[named.name] = result
                if observe is not None and isinstance(result, Tensor):
                    observe(step.operation, named.name, result)
            for name in dead:
                del values[name]
        return {name: values[name] for name in self._function.outputs}

    def _accept(self, named: NamedType, declared: TensorType, inputs: Mapping[str, Tensor]) -> Tensor:
        if named.name not in inputs:
            raise ArtifactError(f"the model has an input {named.name!r}, and no value was given for it")
        given = inputs[named.name]
        if not fits(given.shape, declared):
            raise ArtifactError(
                f"the model takes {named.name!r} in the shape {declared.show_shape()}, "
                f"and was given {list(given.shape)}"
            )
        return settle(given, declared.data_type, self._mode, rounds=True)

    def _find_last_uses(self) -> list[list[str]]:
        """Returns for each step the values that it produces or reads and that nothing needs after it."""
        needed = set(self._function.outputs) | self._bound.constants.keys()
        dead = []
        for step in reversed(self._bound.steps):
            touched = [name for parameter in step.live for name in parameter.sources]
            touched += [named.name for named in step.operation.outputs]
            unneeded = sorted(set(touched) - needed)
            needed.update(unneeded)
            dead.append(unneeded)
        return dead[::-1]
