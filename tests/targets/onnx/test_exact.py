"""Weights on their grids, as the comparison without rounding wants them."""

import numpy as np

from mobilevit_deploy.targets.onnx.exact import _rounded

EXACT = np.array([[1.27, 0.004], [0.5, -0.254]], dtype=np.float32)  # steps of 0.01 and 0.5 / 127
SCALE = np.array([0.01, 0.5 / 127], dtype=np.float32)
INTEGERS = np.array([[127, 0], [127, -65]], dtype=np.int8)


def test_right_integers_are_what_is_expected() -> None:
    found = _rounded(EXACT, INTEGERS, SCALE, 0)
    assert np.allclose(found, INTEGERS * SCALE[:, None], rtol=1e-6, atol=0)


def test_a_wrong_scale_or_integer_is_not_followed() -> None:
    right = _rounded(EXACT, INTEGERS, SCALE, 0)
    assert np.allclose(_rounded(EXACT, INTEGERS, SCALE * 2, 0), right, atol=1e-6)
    wrong = INTEGERS + np.array([[0, 1], [0, 0]], dtype=np.int8)
    assert np.allclose(_rounded(EXACT, wrong, SCALE, 0), right, atol=1e-6)


def test_of_two_steps_equally_near_either_is_right() -> None:
    exact = np.array([[1.27, 0.005]], dtype=np.float32)
    for step in (0, 1):
        integers = np.array([[127, step]], dtype=np.int8)
        assert np.allclose(_rounded(exact, integers, SCALE[:1], 0), integers * SCALE[0], atol=1e-7)
