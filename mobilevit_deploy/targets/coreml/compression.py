"""Compressed weights in a Core ML package, and what of them was left as it was."""

from collections import Counter
from collections.abc import Collection, Iterator
from math import prod
from typing import Any

from mobilevit_deploy.targets.app_options import Compression
from mobilevit_deploy.targets.compression import CompressionResult

# coremltools compresses what has more values than this; below, tables and scales outweigh what is saved.
THRESHOLD = 2048
# Bytes per value by the ML Program's data types FLOAT16, FLOAT32 and FLOAT64.
FLOAT_BYTES = {10: 2, 11: 4, 12: 8}


def compress(model: Any, compression: Compression, keep: Collection[str]) -> Any:
    """Returns a coremltools model with its weights compressed.

    Args:
        model: as coremltools converted it.
        compression: what to do; its versions were checked.
        keep: names of the operations whose weights are left alone.
    """
    import coremltools.optimize.coreml as optimize

    def config(kind: Any) -> Any:
        return optimize.OptimizationConfig(global_config=kind, op_name_configs=dict.fromkeys(keep))

    if compression.prune is not None:
        pruner = optimize.OpMagnitudePrunerConfig(target_sparsity=compression.prune, weight_threshold=THRESHOLD)
        model = optimize.prune_weights(model, config(pruner))
    scheme, joint = compression.scheme, compression.prune is not None
    if scheme is None:
        return model
    if scheme.method == "palettize":
        palettizer = optimize.OpPalettizerConfig(mode="kmeans", nbits=scheme.bits, weight_threshold=THRESHOLD)
        return optimize.palettize_weights(model, config(palettizer), joint_compression=joint)
    quantizer = optimize.OpLinearQuantizerConfig(
        mode="linear_symmetric", dtype=f"int{scheme.bits}", granularity="per_channel", weight_threshold=THRESHOLD
    )
    return optimize.linear_quantize_weights(model, config(quantizer), joint_compression=joint)


def account(specification: Any, keep: Collection[str], bytes_before: int) -> CompressionResult:
    """Counts the weights of a compressed ML Program; coremltools says what it left alone in its log only."""
    compressed, left = 0, Counter[str]()
    for operations in blocks(specification):
        readers: dict[str, list[Any]] = {}
        for operation in operations:
            for argument in operation.inputs.values():
                for binding in argument.arguments:
                    readers.setdefault(binding.name, []).append(operation)
        for operation in operations:
            for output in operation.outputs:
                read_by = readers.get(output.name, [])
                if any(reader.type.startswith("constexpr_") for reader in read_by):
                    continue  # a step on the way to a weight, which is counted at its end
                tensor = output.type.tensorType
                shape = [dimension.constant.size for dimension in tensor.dimensions]
                size = prod(shape) * FLOAT_BYTES.get(tensor.dataType, 0)
                if operation.type.startswith("constexpr_"):
                    compressed += size
                elif operation.type == "const" and operation.attributes["val"].HasField("blobFileValue"):
                    left[_why_left(shape, any(_name(reader) in keep for reader in read_by))] += size
    return CompressionResult(bytes_before, compressed, dict(left.most_common()))


def _why_left(shape: list[int], kept: bool) -> str:
    if kept:
        return "kept in float32"
    if len(shape) <= 1:
        return "a vector, such as a bias"
    if prod(shape) <= THRESHOLD:
        return f"{THRESHOLD} values or fewer"
    return "coremltools does not compress it"


def warn_if_none(result: CompressionResult | None) -> tuple[str, ...]:
    """Returns a warning where no weight was compressed: the package is as large as an uncompressed one."""
    if result is None or result.compressed_bytes:
        return ()
    why = "; ".join(result.left_bytes) or "no weight lies in the weight file"
    return (f"no weight was compressed: only those of more than {THRESHOLD:,} values are, and here are {why}",)


def blocks(specification: Any) -> Iterator[list[Any]]:
    """Yields the operations of each block of an ML Program."""
    for function in specification.mlProgram.functions.values():
        for block in function.block_specializations.values():
            yield list(block.operations)


def _name(operation: Any) -> str:
    return str(operation.attributes["name"].immediateValue.tensor.strings.values[0])
