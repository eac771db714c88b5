"""Order of values along an axis.

Source: coremltools' ``mil/ops/defs/iOS15/tensor_operation.py``, ``iOS16`` and ``iOS17`` for ``topk``.
"""

from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.operations.registry import operation


@operation(rounds=False)
def topk(
    x: Tensor,
    k: int = 1,
    axis: int = -1,
    ascending: bool = False,
    sort: bool = True,
    return_indices: bool = True,
    output_indices_dtype: str = "int32",
) -> tuple[Tensor, ...]:
    """The k largest values along an axis, or the smallest if ascending, and their indices; equals keep their order.

    The order is left open without ``sort``; a sorted one is as good. The declared type of the indices is what counts.
    """
    if output_indices_dtype not in ("int16", "uint16", "int32"):
        raise ValueError(f"unknown output_indices_dtype {output_indices_dtype}")
    del sort
    values, indices = x.sort(dim=axis, descending=not ascending, stable=True)
    values, indices = values.narrow(axis, 0, k), indices.narrow(axis, 0, k)
    return (values, indices) if return_indices else (values,)


@operation(rounds=False)
def argsort(x: Tensor, axis: int = -1, ascending: bool = False) -> Tensor:
    """Indices that sort along an axis, the largest first unless ascending; equals keep their order."""
    return x.argsort(dim=axis, descending=not ascending, stable=True)
