"""Which precisions a search may try."""

import pytest

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.measurement.tuning.precisions import allowed_precisions

RECIPE = catalog.recipe("onnx")


@pytest.mark.parametrize(
    ("given", "max_loss", "images", "calibrated", "expected"),
    [
        ((), None, False, False, ["fp32"]),
        ((), None, True, False, ["fp32"]),
        ((), 0.5, True, False, ["fp32", "fp16"]),
        ((), 0.5, True, True, ["fp32", "int8", "fp16"]),
        (("fp16", "fp32"), None, False, False, ["fp32", "fp16"]),
        (("int8",), None, False, True, ["int8"]),
        (("fp16", "int8"), None, False, True, ["fp16", "int8"]),
    ],
)
def test_what_is_allowed(
    given: tuple[str, ...], max_loss: float | None, images: bool, calibrated: bool, expected: list[str]
) -> None:
    """The default file's precision is the recipe's own, or the first of those that are given without it."""
    assert allowed_precisions(RECIPE, given, max_loss, images=images, calibrated=calibrated) == expected


@pytest.mark.parametrize(
    ("given", "max_loss", "calibrated", "message"),
    [
        ((), 0.5, False, "--max-loss is of accuracy on images"),
        (("int8",), None, False, "int8 chooses its ranges by images"),
        ((), None, True, "--calibrate is for int8"),
        (("w4",), None, False, "recipe onnx writes"),
    ],
)
def test_what_does_not_go_together(
    given: tuple[str, ...], max_loss: float | None, calibrated: bool, message: str
) -> None:
    with pytest.raises(MvdError, match=message) as raised:
        allowed_precisions(RECIPE, given, max_loss, images=False, calibrated=calibrated)
    assert raised.value.exit_code == 2
