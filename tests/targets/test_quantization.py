"""Weights on their grids, as the comparison without rounding wants them."""

import numpy as np

from mobilevit_deploy.targets.quantization import round_to_steps

EXACT = np.array([[1.27, 0.004], [0.5, -0.254]], dtype=np.float32)  # steps of 0.01 and 0.5 / 127
SCALE = np.array([0.01, 0.5 / 127], dtype=np.float32)
INTEGERS = np.array([[127, 0], [127, -65]], dtype=np.int8)


def test_right_integers_are_what_is_expected() -> None:
    found = round_to_steps(EXACT, INTEGERS, SCALE, 0)
    assert np.allclose(found, INTEGERS * SCALE[:, None], rtol=1e-6, atol=0)


def test_a_wrong_scale_or_integer_is_not_followed() -> None:
    right = round_to_steps(EXACT, INTEGERS, SCALE, 0)
    assert np.allclose(round_to_steps(EXACT, INTEGERS, SCALE * 2, 0), right, atol=1e-6)
    wrong = INTEGERS + np.array([[0, 1], [0, 0]], dtype=np.int8)
    assert np.allclose(round_to_steps(EXACT, wrong, SCALE, 0), right, atol=1e-6)


def test_of_two_steps_equally_near_either_is_right() -> None:
    exact = np.array([[1.27, 0.005]], dtype=np.float32)
    for step in (0, 1):
        integers = np.array([[127, step]], dtype=np.int8)
        assert np.allclose(round_to_steps(exact, integers, SCALE[:1], 0), integers * SCALE[0], atol=1e-7)


def test_a_scale_has_a_least_value_where_the_quantizer_gives_it_one() -> None:
    exact, least = np.full((1, 2), 0.001, np.float32), 2.0**-8
    assert (round_to_steps(exact, np.zeros((1, 2), np.int8), np.full(1, least, np.float32), 0, least) == 0).all()
    assert (round_to_steps(exact, np.full((1, 2), 127, np.int8), np.full(1, 0.001 / 127, np.float32), 0) > 0).all()
