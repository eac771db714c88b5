"""Where two computations of one graph part, and what kind of fault it looks like.

Each operation is computed again in PyTorch from the values that the artifact itself had for its inputs. An operation
whose result the artifact does not have is the faulty one, however far an error of an earlier one has spread.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from mobilevit_deploy.catalog.recipe import Precision
from mobilevit_deploy.graph.graph import Graph, module_path, op_name
from mobilevit_deploy.graph.replay import default_dtype
from mobilevit_deploy.graph.sample import sample_of
from mobilevit_deploy.graph.source_lines import user_line
from mobilevit_deploy.runners.base import Array, Observed, difference
from mobilevit_deploy.verification.half_range import FP16_LARGEST
from mobilevit_deploy.verification.noise import FACTOR

Kind = Literal["overflow", "cancellation", "wrong op"]

# What one operation may differ by, given its own inputs, as a share of the result's largest magnitude: twice and more
# what the operations of right artifacts do. The most seen of cas_vit_xs, cloformer_xxs and lightvit_tiny was 9e-6 in
# ONNX fp32 (0 in Core ML's), and in Core ML 2e-3 in fp16, 8e-3 in w8, 4e-2 in w6, 1.3e-1 in w4. Of int8 it was 9e-2; on
# images of another kind than calibration's, beyond the ranges, up to 0.34.
OWN_DIFFERENCE: Mapping[Precision, float] = {
    "fp32": 5e-5,
    "fp16": 1e-2,
    "int8": 2e-1,
    "w8": 5e-2,
    "w6": 1.5e-1,
    "w4": 5e-1,
}

# The same for half precision computed in float32 from half-precision weights, against a float32 conversion with the
# same weights: the outputs of right artifacts of the families do not differ at all.
OWN_DIFFERENCE_UNROUNDED = 2e-5


@dataclass(frozen=True)
class Divergence:
    """Where an artifact begins to compute something else.

    Attributes:
        module: path of the module; empty for the model itself.
        op: ATen name of the operation.
        line: of the model's code, such as ``line 7 of net.py``; empty where it is not known.
        name: of the value in the artifact.
        artifact_op: what computes it there.
        kind: what the fault looks like.
        detail: the figures that tell so.
        difference: from PyTorch's value, the largest over the value's largest magnitude.
        own_difference: the same from what PyTorch computes from the artifact's own inputs.
        compared: how many values were set beside each other.
        computed: how many the artifact computes.
    """

    module: str
    op: str
    line: str
    name: str
    artifact_op: str
    kind: Kind
    detail: str
    difference: float
    own_difference: float
    compared: int
    computed: int


class Sides:
    """One image through PyTorch and through an artifact, every value that has a name in both.

    Attributes:
        pairs: the artifact's values by the node that computes the same, in order.
    """

    def __init__(self, graph: Graph, batch: Array, pairs: Mapping[Node, Observed], computed: int) -> None:
        """Runs PyTorch twice: by itself, and each operation from the artifact's own values.

        Args:
            graph: that the artifact was converted from.
            batch: (B, C, H, W).
            pairs: the artifact's values by the node that computes the same.
            computed: how many values the artifact has.
        """
        self.pairs, self._computed, self._batch, self._graph = pairs, computed, batch, graph
        self._expected = _run(graph, batch, {})
        self._own = {
            node: torch.from_numpy(np.array(item.value)).to(node.meta["val"].dtype) for node, item in pairs.items()
        }
        self._from_own_inputs = _run(graph, batch, self._own)

    def find(self, limit: float) -> Divergence | None:
        """Returns the first faulty operation, that which differs by more than the limit from its own inputs.

        One that loses more than the limit in float32 PyTorch, such as the variance of nearly equal values, may differ
        by four times what it loses there. Whole numbers are decided, and ties go either way: what is computed with them
        is looked at.
        """
        others: dict[Node, float] = {}
        for node, item in self.pairs.items():
            finite = bool(np.isfinite(item.value).all())
            if not finite and np.isfinite(self._expected[node]).all() and self._reaches_the_end(node):
                return self._describe(node, "overflow", self._overflow(node))
            allowed = self._allowed(node, limit)
            if self._own_difference(node) <= allowed or self._whatever_zeros(node) <= allowed:
                continue
            if _may_be_another(item):
                others[node] = allowed
            elif not others:
                return self.describe_wrong(node, allowed)
        return self._find_without(others, limit) if others else None

    def _find_without(self, others: Mapping[Node, float], limit: float) -> Divergence | None:
        """Returns the first faulty operation where values may be others: where such a one is wrong, its reader is."""
        pairs = {node: item for node, item in self.pairs.items() if node not in others}
        rest = Sides(self._graph, self._batch, pairs, self._computed)
        found = rest.find(limit)
        if found is None:
            return None
        for node, allowed in others.items():
            if any(pairs[reader].name == found.name for reader in rest.readers(node)):
                return self.describe_wrong(node, allowed)
        return found

    def find_other(self, right: Mapping[Node, Array], limit: float) -> Node | None:
        """Returns the first value that differs by more than the limit from another artifact's."""
        wrong: set[Node] = set()
        others: set[Node] = set()
        for node, item in reversed(list(self.pairs.items())):
            if node not in right or difference(right[node], item.value) <= limit:
                continue
            if _may_be_another(item) and wrong.isdisjoint(self.readers(node, others)):
                others.add(node)
            else:
                wrong.add(node)
        return next((node for node in self.pairs if node in wrong), None)

    def readers(self, node: Node, left_out: Collection[Node] = ()) -> set[Node]:
        """Returns the nearest values behind a node that were compared."""
        found, seen, waiting = set[Node](), set[Node](), list(node.users)
        while waiting:
            item = waiting.pop()
            if item in self.pairs and item not in left_out:
                found.add(item)
            elif item not in seen:
                seen.add(item)
                waiting += item.users
        return found

    def _allowed(self, node: Node, limit: float) -> float:
        """Returns what a value may differ by from what its own inputs give; whole numbers are not asked."""
        if not node.meta["val"].is_floating_point():
            return float("inf")
        if self._own_difference(node) <= limit:
            return limit
        return max(limit, FACTOR * self._own_noise(node))

    def describe_wrong(self, node: Node, limit: float) -> Divergence:
        """Describes an operation that differs by more than the limit from what it should compute."""
        return self._describe(node, "wrong op", self._wrong(node, limit))

    def find_cancellation(self) -> Divergence:
        """Returns where the digits were lost, for an artifact of which every operation is right."""
        node = max(self.pairs, key=self._jump)
        return self._describe(node, "cancellation", self._cancelled(node))

    def _reaches_the_end(self, node: Node) -> bool:
        """Tells whether PyTorch's values, or what they are computed from, are beyond half precision."""
        own = self._from_own_inputs[node]
        finite = own[np.isfinite(own)]
        return max(_largest(self._expected[node]), _largest(finite), self._largest_input(node)) > FP16_LARGEST / 2

    def _own_difference(self, node: Node) -> float:
        return difference(self._from_own_inputs[node], self.pairs[node].value)

    def _whatever_zeros(self, node: Node) -> float:
        """Returns the own difference where a zero may be -0: runtimes make one of the other, and atan2 turns by it."""
        found, other = self.pairs[node].value, self._from_other_zeros[node]
        if found.shape != other.shape:
            return float("inf")
        own = self._from_own_inputs[node]
        return difference(np.where(np.abs(other - found) < np.abs(own - found), other, own), found)

    @cached_property
    def _from_other_zeros(self) -> Mapping[Node, Array]:
        numbers = {node: own for node, own in self._own.items() if own.is_floating_point()}
        other = {node: torch.where(own == 0, -own, own) for node, own in numbers.items()}
        return _run(self._graph, self._batch, {**self._own, **other})

    def _own_noise(self, node: Node) -> float:
        """Returns what PyTorch's float32 loses, from the artifact's own inputs; 0 for what does not run in float64."""
        exact = self._exactly_from_own_inputs
        return difference(exact[node], self._from_own_inputs[node]) if node in exact else 0.0

    @cached_property
    def _exactly_from_own_inputs(self) -> Mapping[Node, Array]:
        graph = self._graph.copy()
        graph.cast(torch.float32, torch.float64)
        copies = dict(zip(self._graph.nodes, graph.nodes, strict=True))
        own = {
            copies[node]: value.double() if value.is_floating_point() else value for node, value in self._own.items()
        }
        try:
            with default_dtype(torch.float64):
                values = _run(graph, self._batch.astype(np.float64), own)
        except Exception:  # of an op that PyTorch ran in the model, and that does not run alone
            return {}
        return {node: values[copy] for node, copy in copies.items() if copy in values}

    def _difference(self, node: Node) -> float:
        return difference(self._expected[node], self.pairs[node].value)

    def _inherited(self, node: Node) -> float:
        """Returns the largest difference among the nearest values before a node that were compared."""
        largest, seen, waiting = 0.0, set[Node](), list(node.all_input_nodes)
        while waiting:
            item = waiting.pop()
            if item in seen:
                continue
            seen.add(item)
            if item in self.pairs:
                largest = max(largest, self._difference(item))
            else:
                waiting += item.all_input_nodes
        return largest

    def _jump(self, node: Node) -> float:
        return self._difference(node) / max(self._inherited(node), 1e-6)

    def _overflow(self, node: Node) -> str:
        expected = self._expected[node]
        broken = int((~np.isfinite(self.pairs[node].value)).sum())
        return (
            f"{broken} of {expected.size} values are not finite; PyTorch's reach {_largest(expected):.4g}, and their "
            f"inputs {self._largest_input(node):.4g}; half precision ends at {FP16_LARGEST:.0f}"
        )

    def _wrong(self, node: Node, limit: float) -> str:
        return (
            f"from the artifact's own inputs PyTorch computes another result, by {self._own_difference(node):.1e} of "
            f"the largest value, where {limit:.0e} is rounding: the operation, an attribute or a weight of it is wrong"
        )

    def _cancelled(self, node: Node) -> str:
        return (
            f"every operation is right from its own inputs; here {self._inherited(node):.1e} of difference become "
            f"{self._difference(node):.1e}, as values up to {self._largest_input(node):.4g} leave results up to "
            f"{_largest(self._expected[node]):.4g}: the digits that are left are those that were rounded away"
        )

    def _largest_input(self, node: Node) -> float:
        values = [_largest(self._expected[item]) for item in node.all_input_nodes if item in self._expected]
        return max(values, default=_largest(self._batch))

    def _describe(self, node: Node, kind: Kind, detail: str) -> Divergence:
        return Divergence(
            module=module_path(node),
            op=op_name(node),
            line=user_line(node.meta.get("stack_trace") or ""),
            name=self.pairs[node].name,
            artifact_op=self.pairs[node].op,
            kind=kind,
            detail=detail,
            difference=self._difference(node),
            own_difference=self._own_difference(node),
            compared=len(self.pairs),
            computed=self._computed,
        )


def _may_be_another(item: Observed) -> bool:
    """Tells whether coremltools may have made a value's name by itself, of an operation and a number: ``transpose_3``.

    PyTorch names its nodes so too, and both may have given one name to two values of one shape. What was computed from
    the value tells: where the value is wrong, that is too.
    """
    return re.fullmatch(rf"{re.escape(item.op)}_\d+(_cast_fp16)?", item.name) is not None


def _run(graph: Graph, batch: Array, given: Mapping[Node, Tensor]) -> dict[Node, Array]:
    """Returns what every node computes, where later ones read what is given in its place."""
    values: dict[Node, Array] = {}

    def keep(node: Node, value: object) -> None:
        if isinstance(value, Tensor):
            values[node] = value.numpy(force=True).copy()

    graph.run(sample_of(batch), observe=keep, given=given)
    return values


def _largest(values: Array) -> float:
    return float(np.abs(values).max(initial=0))
