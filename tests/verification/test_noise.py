"""What rounding alone does: PyTorch moved by a few roundings, and which places of its outputs that leaves sure."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from mobilevit_deploy.catalog.recipe import Tolerance
from mobilevit_deploy.images.test_images import make_samples
from mobilevit_deploy.runners.app_interface import Borders
from mobilevit_deploy.runners.base import Array, Values
from mobilevit_deploy.runners.reference import FLOAT32_UNIT, PerturbedRunner, TorchRunner
from mobilevit_deploy.verification.differences import judge_all
from mobilevit_deploy.verification.leg import ARTIFACT, Candidate
from mobilevit_deploy.verification.legs import expect
from mobilevit_deploy.verification.noise import (
    DROWNED,
    FACTOR,
    JUMP,
    Noise,
    farthest,
    of_decisions,
    of_numbers,
    widen,
    without_rare,
)
from mobilevit_deploy.verification.parity import ParityReport, compare

IMAGES = make_samples(2, 3, 16, 16)
TOLERANCE = Tolerance(max_rel=1e-5, snr_db=60, top1_agreement=1, reason="test")
AMPLITUDE = FACTOR * FLOAT32_UNIT


class Of(nn.Module):
    """Computes a function of the image and of a convolution of it."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.conv(x))


def moved(module: nn.Module, amplitude: float = AMPLITUDE, seed: int = 0) -> Values:
    (right,), (other,) = (
        TorchRunner(module, torch.float64).run(IMAGES),
        PerturbedRunner(module, seed, amplitude).run(IMAGES),
    )
    distance: Values = np.abs(other - right).astype(np.float64)
    return distance


def test_weights_pixels_and_made_numbers_are_moved_and_the_module_is_left_alone() -> None:
    module = Of(lambda x, y: y).eval()
    before = module.conv.weight.clone()
    assert 0 < moved(module).max() < 1e-5
    assert (module.conv.weight == before).all()
    assert 0 < moved(Of(lambda x, y: x)).max() <= (AMPLITUDE + FLOAT32_UNIT) * np.abs(IMAGES).max() * 1.01
    assert 0 < moved(Of(lambda x, y: torch.linspace(0, 1, 7))).max() <= 1.3 * AMPLITUDE


def test_whole_numbers_stay_for_code_takes_them_for_indices() -> None:
    assert moved(Of(lambda x, y: torch.arange(9.0) / 1)).max() == 0
    assert moved(Of(lambda x, y: torch.arange(9, dtype=torch.float32).long())).max() == 0


def test_equal_pixels_part() -> None:
    flat = np.full_like(IMAGES, 0.5)
    (values,) = PerturbedRunner(Of(lambda x, y: x), 0, AMPLITUDE).run(flat)
    assert len(np.unique(values)) >= 5, "float32 has few numbers that near"


def test_the_same_seed_moves_the_same_and_the_other_sign_the_other_way() -> None:
    module = Of(lambda x, y: x)
    run = [PerturbedRunner(module, 0, sign * 2.0**-12).run(IMAGES)[0] - IMAGES for sign in (1, 1, -1)]
    assert (run[0] == run[1]).all()
    assert np.abs(run[0] + run[2]).max() < 2.0**-20


def test_float64_is_float64_where_code_names_float32() -> None:
    """Or the reference would have float32's noise in it."""

    def names(_: Tensor, y: Tensor) -> Tensor:
        return y.float().to(torch.float32) * torch.full((1,), 0.1, dtype=torch.float32) + 0.1 * y

    (found,) = TorchRunner(Of(names), torch.float64).run(IMAGES)
    (right,) = TorchRunner(Of(lambda x, y: y * 0.1 + 0.1 * y), torch.float64).run(IMAGES)
    assert found.dtype == np.float64
    assert np.abs(found - right).max() < 1e-15


def test_what_does_not_run_in_float64_is_run_in_float32_and_that_is_said() -> None:
    def half(_: Tensor, y: Tensor) -> Tensor:
        return y @ torch.ones(14, 2, dtype=torch.float16).type("torch.FloatTensor")

    expected = expect(Of(half), IMAGES, 1, ["features"], Borders())
    assert expected.reference == "PyTorch, in float32"
    assert expect(Of(lambda x, y: y), IMAGES, 1, ["features"], Borders()).reference == "PyTorch"


def test_one_lucky_run_gives_no_floor_of_nothing() -> None:
    """A bias of zeros but one number: PyTorch's own float32 is right to the last digit, an artifact need not be."""
    module = Of(lambda x, y: 1e-8 * y.mean((2, 3)) + 0.3)
    expected = expect(module, IMAGES, 1, ["logits"], Borders())
    (far,) = expected.far(FLOAT32_UNIT) or []
    own = np.abs(TorchRunner(module).run(IMAGES)[0] - expected.outputs[0]).max()
    assert far.max() >= FACTOR * own


def test_a_place_that_jumps_is_no_noise_of_the_others() -> None:
    expected = np.linspace(1, 2, 1000).reshape(2, 500)
    far = np.full_like(expected, 1e-6)
    far[0, 0] = 0.5
    noise = of_numbers(far, expected, TOLERANCE)
    assert (noise.unsure, noise.floor) == (1, 1e-6)
    assert widen(TOLERANCE, expected, noise) is TOLERANCE
    loud = of_numbers(far * 1e4, expected, TOLERANCE)
    assert loud.unsure == 1
    assert loud.floor == pytest.approx(1e-2)
    wide = widen(TOLERANCE, expected, loud)
    assert wide.max_rel == pytest.approx(5e-3)
    assert "float32" in wide.reason


@pytest.mark.parametrize(("noise", "sure"), [(0.4, True), (0.9, False)])
def test_a_place_that_is_alone_with_its_noise_is_sure_where_twice_that_is_within_the_tolerance(
    noise: float, sure: bool
) -> None:
    """Or a right file fails by a tenth, of which the next run of PyTorch would have come as far."""
    expected = np.linspace(1, 2, 1000).reshape(2, 500)
    tolerance = TOLERANCE.max_rel * 2
    far = np.full_like(expected, tolerance / 100)
    far[0, 0] = noise * tolerance
    own = of_numbers(far, expected, TOLERANCE)
    found = expected.copy()
    found[0, 0] += 1.1 * tolerance
    assert (own.unsure, bool(judge_all(["boxes"], [expected], [found], TOLERANCE, [own])[1])) == (int(not sure), sure)
    found[1, 0] += 1.1 * tolerance
    assert judge_all(["boxes"], [expected], [found], TOLERANCE, [own])[1], "another place is held to the tolerance"


@pytest.mark.parametrize(
    ("times", "places", "passes"), [(3.9, 1, True), (4.1, 1, False), (3.9, 20, True), (3.9, 21, False)]
)
def test_a_few_of_many_places_may_go_four_times_their_own_noise(times: float, places: int, passes: bool) -> None:
    expected = np.linspace(1, 2, 1000).reshape(2, 500)
    tolerance = TOLERANCE.max_rel * 2
    far = np.full_like(expected, 0.4 * tolerance)
    far[1] /= 10
    noise = of_numbers(far, expected, TOLERANCE)
    assert noise.unsure == 0
    found = expected.copy()
    found[0, :places] += times * far[0, :places]

    def judge() -> bool:
        own = without_rare(noise, far, expected, found, TOLERANCE)
        return not judge_all(["boxes"], [expected], [found], TOLERANCE, [own])[1]

    assert judge() is passes
    found[1, 0] += 1.1 * tolerance
    assert not judge(), "where there is less noise the tolerance holds"


def test_an_output_of_another_shape_has_no_rare_places() -> None:
    expected = np.ones((2, 3))
    noise = of_numbers(np.full_like(expected, 1e-6), expected, TOLERANCE)
    assert without_rare(noise, expected, expected, np.ones((2, 4)), TOLERANCE) is noise


@given(st.floats(1e-12, 1e3), st.integers(0, 100))
def test_no_more_than_half_of_what_is_there_is_ever_left_out(scale: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    expected = random.standard_normal((4, 25))
    far = scale * np.exp(4 * random.standard_normal((4, 25)))
    noise = of_numbers(far, expected, TOLERANCE)
    assert noise.unsure <= expected.size / 2
    assert noise.floor <= max(1e-5 * np.abs(expected).max(), JUMP * np.median(far))


def test_runs_that_come_to_no_number_leave_nothing_sure() -> None:
    expected = np.ones((2, 3))
    (far,) = farthest([expected], [([np.full((2, 3), np.nan)], 1.0)])
    assert np.isinf(far).all()
    assert of_decisions(far).unsure == 6
    (far,) = farthest([expected], [([expected], 4.0), ([expected + 1], 1.0), ([expected - 2], 0.25)])
    assert (far == 1).all()


def test_long_sums_are_moved_as_far_as_one_number_after_the_other_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a runtime adds so, as ONNX Runtime does over tokens, a right file is as far from float64 as that."""
    x = torch.rand(1, 64, 4096, generator=torch.Generator().manual_seed(0))
    one_by_one = np.cumsum(x.numpy(), axis=-1, dtype=np.float32)[..., -1]  # NumPy's own sum adds pairs
    lost = np.abs(one_by_one - x.double().sum(-1).numpy()).max()

    class Sum(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return (x + 0 * image.mean()).sum(-1)

    module = Sum()
    with_sums = max(moved(module, seed=seed).max() for seed in range(3))
    monkeypatch.setattr("mobilevit_deploy.runners.reference.LONG", 10**9)
    assert moved(module).max() < lost / 2, "PyTorch's own sum loses less"
    assert lost < with_sums < 4 * lost  # the largest of 64 sums is some 3 deviations, and moved by up to 7


class Normalised(nn.Module):
    """Norms of 12288 numbers each, far from 0, which is where they lose."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        for value in norm.parameters():
            nn.init.uniform_(value, 0.5, 1.5)

    def forward(self, image: Tensor) -> Tensor:
        phase = image.mean((1, 2, 3))[:, None] + torch.linspace(3, 5, 12288, dtype=image.dtype)
        x = phase.sin().abs() + 2
        normalised: Tensor = self.norm(x if isinstance(self.norm, nn.LayerNorm) else x.view(-1, 4, 32, 96))
        return normalised.flatten(1)


class OneByOne:
    """A runtime that adds one number after the other, in float32, with an epsilon of its own."""

    name = "one by one"
    settings: Mapping[str, str] = {}

    def __init__(self, module: "Normalised", eps: float) -> None:
        self._module, self._eps = module, eps

    def run(self, batch: Array) -> list[Array]:
        norm = self._module.norm
        self._module.norm = nn.Identity()
        with torch.no_grad():
            x = self._module(torch.from_numpy(batch)).numpy()
        self._module.norm = norm
        size = np.float32(x.shape[1])
        centred = x - np.cumsum(x, axis=1, dtype=np.float32)[:, -1:] / size
        variance = np.cumsum(centred * centred, axis=1, dtype=np.float32)[:, -1:] / size
        gain, offset = (value.detach().numpy().repeat(12288 // len(value)) for value in norm.parameters())
        return [centred / np.sqrt(variance + np.float32(self._eps)) * gain + offset]


@pytest.mark.parametrize("norm", [nn.GroupNorm(1, 4), nn.LayerNorm(12288)], ids=["group", "layer"])
def test_a_runtime_that_sums_a_norm_one_number_after_the_other_is_right_and_a_wrong_epsilon_is_wrong(
    norm: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = Normalised(norm).eval()

    def judged(eps: float) -> ParityReport:
        expected = expect(module, IMAGES, 1, ["boxes"], Borders())
        return compare(expected, [Candidate(ARTIFACT, "fp32", TOLERANCE, [lambda: OneByOne(module, eps)])])

    report = judged(1e-5)
    assert (report.status, report.legs[0].allowance) == ("passed", "noise")
    assert judged(1e-4).status == "failed"
    monkeypatch.setattr("mobilevit_deploy.runners.reference.LONG", 10**9)
    assert judged(1e-5).status == "failed", "PyTorch's own norms lose less"


class BiasFirst:
    """A runtime that adds a layer's products to its bias, one after the other, in float32, as XNNPACK does."""

    name = "bias first"
    settings: Mapping[str, str] = {}

    def __init__(self, layer: nn.Linear | nn.Conv2d, missed: int) -> None:
        assert layer.bias is not None
        self._weight, self._bias = (value.detach().flatten(1).numpy() for value in (layer.weight, layer.bias[:, None]))
        self._missed = missed

    def run(self, batch: Array) -> list[Array]:
        x = batch.reshape(len(batch), 1, -1)
        terms = np.concatenate([np.tile(self._bias, (len(x), 1, 1)), x * self._weight], axis=-1, dtype=np.float32)
        return [np.cumsum(terms[..., : terms.shape[-1] - self._missed], axis=-1, dtype=np.float32)[..., -1]]


@pytest.mark.parametrize("layer", [nn.Linear(3072, 10), nn.Conv2d(3, 10, 32)], ids=["linear", "convolution"])
def test_a_runtime_that_begins_its_sums_with_the_bias_is_right_and_one_that_misses_a_product_is_wrong(
    layer: nn.Linear | nn.Conv2d, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = make_samples(4, 3, 32, 32)
    assert layer.bias is not None
    with torch.no_grad():
        for value, scale in ((layer.weight, 3e-8), (layer.bias, 0.03)):
            value.copy_(scale * torch.rand(value.shape, generator=torch.Generator().manual_seed(1)) + scale)
    module = nn.Sequential(nn.Flatten() if isinstance(layer, nn.Linear) else nn.Identity(), layer, nn.Flatten()).eval()

    def judged(missed: int) -> ParityReport:
        expected = expect(module, images, 1, ["logits"], Borders())
        return compare(expected, [Candidate(ARTIFACT, "fp32", TOLERANCE, [lambda: BiasFirst(layer, missed)])])

    assert judged(0).status == "passed"
    assert judged(100).status == "failed"
    monkeypatch.setattr("mobilevit_deploy.runners.reference.LONG", 10**9)
    assert judged(0).status == "failed", "PyTorch's own layers lose less"


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_no_pixel_is_sure_that_is_taken_from_the_middle_between_two(mode: str) -> None:
    """In the middle of an image the place is a zero, which nothing moves; one is added to it before it is rounded."""
    middle = torch.zeros(1, 1, 1, 2)
    module = Of(lambda x, y: F.grid_sample(x, middle.expand(len(x), -1, -1, -1).to(x), mode, align_corners=False))
    distance = np.max([moved(module, sign * AMPLITUDE, seed) for seed in range(3) for sign in (1, -1)], axis=0)
    assert (distance.max() > 1e-3) == (mode == "nearest"), "between them nothing jumps"


def test_an_output_that_drowns_in_its_noise_is_held_to_twice_the_noise() -> None:
    """One that stands out of its noise has no such margin."""
    expected = np.array([[1.0], [1.2]])
    sure = np.ones((2, 1), np.bool_)
    for power, margin in ((0.2, DROWNED), (0.002, 0.0)):  # the images change the output by 0.02
        allowed = widen(TOLERANCE, expected, Noise(sure, floor=0.1, power=power)).snr_db
        assert allowed == pytest.approx(10 * np.log10(0.02 / power) - margin)
