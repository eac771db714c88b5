"""The choices of compute units, as they are given and as coremltools has them."""

import pytest

from mobilevit_deploy.apple.compute_units import COREMLTOOLS, read_compute_units
from mobilevit_deploy.catalog.catalog import devices
from mobilevit_deploy.errors import UsageError
from tests.targets.coreml.mil.packages import coremltools


def test_what_is_given() -> None:
    assert read_compute_units(()) == ("all",)
    assert read_compute_units(("cpu+ne", "cpu")) == ("cpu", "cpu+ne")
    assert read_compute_units(("each",)) == tuple(COREMLTOOLS) == devices()["iphone_13"].compute_units
    with pytest.raises(UsageError, match="no compute units 'gpu'") as caught:
        read_compute_units(("gpu",))
    assert "cpu+gpu" in str(caught.value.hint)


def test_coremltools_has_them() -> None:
    assert set(COREMLTOOLS.values()) == {unit.name for unit in coremltools.ComputeUnit}
