"""Compressed weights, against coremltools' own decompression of the same model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilevit_deploy.targets.coreml.evaluator import MilRunner
from mobilevit_deploy.targets.coreml.mil.constants import CONSTANT_DECODERS
from mobilevit_deploy.targets.coreml.mil.package import Package
from mobilevit_deploy.targets.coreml.quiet import quiet_coreml
from tests.targets.coreml.mil.packages import build, normal, save

with quiet_coreml():
    import coremltools.optimize.coreml as optimize

X = normal(1, 16, 4, 4)
WEIGHT = normal(32, 16, 3, 3, seed=1)


def quantize(**options: Any) -> Callable[[Any], Any]:
    config = optimize.OpLinearQuantizerConfig(weight_threshold=0, **options)
    return lambda model: optimize.linear_quantize_weights(model, optimize.OptimizationConfig(config))


def palettize(joint: bool = False, **options: Any) -> Callable[[Any], Any]:
    config = optimize.OpPalettizerConfig(weight_threshold=0, **options)
    return lambda model: optimize.palettize_weights(
        model, optimize.OptimizationConfig(config), **({"joint_compression": True} if joint else {})
    )


def prune(**options: Any) -> Callable[[Any], Any]:
    config = optimize.OpMagnitudePrunerConfig(weight_threshold=0, **options)
    return lambda model: optimize.prune_weights(model, optimize.OptimizationConfig(config))


def jointly_quantize(**options: Any) -> Callable[[Any], Any]:
    config = optimize.OpLinearQuantizerConfig(weight_threshold=0, **options)
    return lambda model: optimize.linear_quantize_weights(
        model, optimize.OptimizationConfig(config), joint_compression=True
    )


# iOS, the compression steps, and the kinds of constant that they must leave in the file.
COMPRESSIONS: dict[str, tuple[int, list[Callable[[Any], Any]], set[str]]] = {
    "int8 symmetric": (16, [quantize(mode="linear_symmetric")], {"affine_dequantize"}),
    "uint8 affine": (16, [quantize(mode="linear", dtype="uint8")], {"affine_dequantize"}),
    "int8 per tensor": (16, [quantize(mode="linear", granularity="per_tensor")], {"affine_dequantize"}),
    "int8 iOS 18": (18, [quantize(mode="linear")], {"blockwise_shift_scale"}),
    "int4 per block": (18, [quantize(dtype="int4", granularity="per_block", block_size=8)], {"blockwise_shift_scale"}),
    "uint4 affine per block": (
        18,
        [quantize(mode="linear", dtype="uint4", granularity="per_block", block_size=4)],
        {"blockwise_shift_scale"},
    ),
    **{f"{bits} bits": (16, [palettize(mode="uniform", nbits=bits)], {"lut_to_dense"}) for bits in (1, 2, 4, 6, 8)},
    **{
        f"{bits} bits iOS 18": (18, [palettize(mode="uniform", nbits=bits)], {"lut_to_dense"})
        for bits in (1, 2, 3, 4, 6, 8)
    },
    "k-means": (16, [palettize(mode="kmeans", nbits=2)], {"lut_to_dense"}),
    "groups of channels": (
        18,
        [palettize(mode="uniform", nbits=4, granularity="per_grouped_channel", group_size=8)],
        {"lut_to_dense"},
    ),
    "scale per channel": (
        18,
        [palettize(mode="kmeans", nbits=4, enable_per_channel_scale=True)],
        {"lut_to_dense", "blockwise_shift_scale"},
    ),
    "vectors": (18, [palettize(mode="kmeans", nbits=2, cluster_dim=2)], {"lut_to_dense"}),
    "pruned": (16, [prune(target_sparsity=0.6)], {"sparse_to_dense"}),
    "pruned iOS 18": (18, [prune(target_sparsity=0.6)], {"sparse_to_dense"}),
    "pruned and palettized": (
        18,
        [prune(target_sparsity=0.6), palettize(joint=True, mode="uniform", nbits=4)],
        {"lut_to_sparse", "sparse_to_dense"},
    ),
    "pruned and quantized": (
        18,
        [prune(target_sparsity=0.6), jointly_quantize(mode="linear_symmetric")],
        {"sparse_blockwise_shift_scale", "sparse_to_dense"},
    ),
    "pruned and quantized to int4": (
        18,
        [prune(target_sparsity=0.6), jointly_quantize(mode="linear_symmetric", dtype="int4")],
        {"sparse_blockwise_shift_scale", "sparse_to_dense"},
    ),
}


def convolution(x: Any) -> Any:
    from coremltools.converters.mil.mil import Builder

    return Builder.conv(x=x, weight=WEIGHT, name="y")


def kinds(path: Path) -> set[str]:
    """Returns the kinds of compressed constant in a package."""
    program = Package(path).model.mlProgram.functions["main"]
    operations = program.block_specializations[program.opset].operations
    return {operation.type.removeprefix("constexpr_") for operation in operations if "constexpr_" in operation.type}


@pytest.mark.filterwarnings("ignore")  # coremltools and scikit-learn speak of their own inner workings
@pytest.mark.parametrize(
    ("name", "precision"),
    [(name, "fp32") for name in COMPRESSIONS]
    + [(name, "fp16") for name in ("int8 symmetric", "uint4 affine per block", "4 bits", "pruned and palettized")],
)
def test_as_coremltools_decompresses(name: str, precision: str, tmp_path: Path) -> None:
    ios, steps, expected_kinds = COMPRESSIONS[name]
    model = build(convolution, X.shape, ios, precision)
    with quiet_coreml():
        for compress in steps:
            model = compress(model)
        plain = optimize.decompress_weights(model)
    compressed_path, plain_path = save(model, tmp_path), tmp_path / "plain.mlpackage"
    plain.save(str(plain_path))
    assert kinds(compressed_path) == expected_kinds
    assert kinds(plain_path) == set()

    (found,) = MilRunner(compressed_path, "widened").run(X)
    (expected,) = MilRunner(plain_path, "widened").run(X)
    # In fp16 coremltools rounds after each step of its arithmetic, and this project once.
    tolerance = 1e-6 if precision == "fp32" else 2e-3
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()
    assert np.abs(found).max() > 0


def test_a_cast(tmp_path: Path) -> None:
    half = normal(4, 4).astype(np.float16)

    def body(x: Any) -> Any:
        from coremltools.converters.mil.mil import Builder

        return Builder.mul(x=x, y=Builder.constexpr_cast(source_val=half, output_dtype="fp32"), name="y")

    path = save(build(body, (4, 4), 16), tmp_path)
    assert kinds(path) == {"cast"}
    (found,) = MilRunner(path).run(np.ones((4, 4), np.float32))
    np.testing.assert_array_equal(found, half.astype(np.float32))


def test_vectors_as_the_definition_shows() -> None:
    """The example in coremltools' documentation of constexpr_lut_to_dense and constexpr_lut_to_sparse."""
    indices = np.array([[[0, 0], [1, 0]], [[1, 1], [0, 0]]], np.uint8)
    table = np.arange(6, dtype=np.float32).reshape(1, 1, 1, 2, 3)  # a0 a1 a2, b0 b1 b2
    (found,) = CONSTANT_DECODERS["constexpr_lut_to_dense"](
        {"indices": indices, "lut": table, "vector_axis": np.array(1)}
    )
    assert found[0].tolist() == [[0, 0], [1, 1], [2, 2], [3, 0], [4, 1], [5, 2]]
    (found,) = CONSTANT_DECODERS["constexpr_lut_to_dense"](
        {"indices": indices, "lut": table, "vector_axis": np.array(-1)}
    )
    assert found[0].tolist() == [[0, 1, 2, 0, 1, 2], [3, 4, 5, 0, 1, 2]]

    mask = np.array([[1, 1, 0], [0, 1, 1]], np.uint8)
    sparse: dict[str, Any] = {
        "indices_mask": mask,
        "indices_nonzero_data": np.array([0, 1, 1, 0], np.uint8),
        "lut": np.array([2, 2.5, 3, 3.5], np.float32).reshape(1, 1, 2, 2),
        "vector_axis": np.array(0),
    }
    found_mask, values = CONSTANT_DECODERS["constexpr_lut_to_sparse"](sparse)
    assert found_mask.tolist() == np.repeat(mask, 2, axis=0).tolist()
    assert values.tolist() == [2, 3, 2.5, 3.5, 3, 2, 3.5, 2.5]


@pytest.mark.parametrize(
    ("kind", "parameters", "reason"),
    [
        ("blockwise_shift_scale", {"data": np.zeros((4, 6)), "scale": np.ones((1, 4))}, "do not divide"),
        ("blockwise_shift_scale", {"data": np.zeros((4, 6)), "scale": np.ones(4)}, "do not fit"),
        ("sparse_to_dense", {"mask": np.ones(3), "nonzero_data": np.ones(2)}, "2 values do not fit a mask with 3"),
        ("lut_to_dense", {"indices": np.zeros(4, int), "lut": np.zeros((1, 2, 2))}, "needs a vector_axis"),
        ("lut_to_dense", {"indices": np.zeros(4, int), "lut": np.zeros((3, 2, 1))}, "tables do not divide"),
    ],
)
def test_data_that_do_not_fit_together(kind: str, parameters: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        CONSTANT_DECODERS[f"constexpr_{kind}"](parameters)
