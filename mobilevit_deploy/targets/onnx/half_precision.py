"""Half precision in ONNX files: every value but the borders', which stay float32 so that an app feeds plain arrays."""

import warnings

import onnx

from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.targets.onnx.node_order import sort_nodes


def convert_to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a float32 model in half precision, with casts at its borders.

    Half the bytes. On a CPU ONNX Runtime widens around most kernels: 1.13 to 1.22 times float32's time for cas_vit_m,
    cloformer_s and lightvit_tiny on x86. It is for providers that compute in half precision.

    Raises:
        ConversionError: onnxruntime's converter refuses the graph.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights below 6e-8, which parity judges
            half: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True)
    except Exception as error:
        raise ConversionError(f"onnxruntime cannot convert the graph to half precision: {error}") from error
    _drop_repeated(half.graph)
    sort_nodes(half.graph)
    return half


def _drop_repeated(graph: onnx.GraphProto) -> None:
    """Drops the second cast of a value that two operators read which stay in float32, as RoiAlign does.

    ONNX Runtime's converter (1.31) writes one for each reader, and all under one name.
    """
    for values in (graph.node, graph.value_info):
        first: dict[bytes, int] = {}
        places = [first.setdefault(value.SerializeToString(deterministic=True), i) for i, value in enumerate(values)]
        for i in range(len(values) - 1, -1, -1):
            if places[i] < i:
                del values[i]
