"""The machine's own peak, from given times."""

import pytest

from mobilevit_deploy.measurement.profiling.peak import SHAPES, best


def test_the_shape_with_the_highest_rate_is_the_peak() -> None:
    products = [rows * inner * columns for rows, inner, columns in SHAPES]
    seconds = [product / 1e9 for product in products]  # 1 GMAC/s each
    seconds[2] /= 4
    rate, shape = best(seconds)
    assert rate == pytest.approx(4e9)
    assert shape == SHAPES[2]
