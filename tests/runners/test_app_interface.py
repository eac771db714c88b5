"""Normalisation, softmax and another order of axes in the graph are what they stand for, to the digits of float64."""

import pytest
import torch
from torch import nn

from mobilevit_deploy.graph import app_interface
from mobilevit_deploy.graph.app_interface import append_softmax, normalize_pixels, take_channels_last
from mobilevit_deploy.graph.capture import recapture
from tests.conftest import capture_model

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    )


def test_pixels_are_normalised_as_in_training() -> None:
    graph = capture_model(net(), 1, 3, 8, 8).graph
    before = graph.histogram()
    graph.cast(torch.float32, torch.float64)
    pixels = torch.randint(0, 256, (1, 3, 8, 8)).double()
    mean, std = (torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in (MEAN, STD))
    (expected,) = graph.run((pixels / 255 - mean) / std)
    edited = normalize_pixels(graph, MEAN, STD)
    (found,) = edited.run(pixels)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    (other,) = normalize_pixels(graph, MEAN[::-1], STD[::-1]).run(pixels)
    assert (other - expected).abs().max() > 1e-4, "channels in the wrong order would show"
    assert graph.histogram() == before, "the graph that was given is left as it was"
    assert edited.histogram() == before | {"mul": 1, "sub": 1}


def test_pixels_that_several_operations_read() -> None:
    class Twice(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x * 2, x

    graph = capture_model(Twice(), 1, 1, 4, 4).graph
    double, same = normalize_pixels(graph, (0.5,), (0.25,)).run(torch.full((1, 1, 4, 4), 255.0))
    torch.testing.assert_close(double, torch.full_like(double, 4.0))
    torch.testing.assert_close(same, torch.full_like(same, 2.0))


def test_softmax_behind_the_logits() -> None:
    graph = capture_model(net(), 1, 3, 8, 8).graph
    image = torch.randn(1, 3, 8, 8)
    edited = append_softmax(graph)
    torch.testing.assert_close(edited.run(image)[0], graph.run(image)[0].softmax(-1))
    program = recapture(edited, image)
    torch.testing.assert_close(program.module()(image), graph.run(image)[0].softmax(-1))


class ChannelsLast(nn.Module):
    """Turns its image itself, as a model that takes (N, H, W, C) does; ``axes`` say how."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        turned = x.permute(self.axes)
        return turned.sin(), x * 2


@pytest.mark.parametrize("axes", [(0, 2, 3, 1), (0, -2, -1, -3), (0, 3, 2, 1), (0, 1, 3, 2)])
def test_an_image_with_its_channels_last(axes: tuple[int, ...]) -> None:
    graph = capture_model(ChannelsLast(*axes), 2, 3, 4, 5).graph
    image = torch.randn(2, 3, 4, 5)
    edited = take_channels_last(graph)
    for found, expected in zip(edited.run(image.permute(0, 2, 3, 1).contiguous()), graph.run(image), strict=True):
        assert torch.equal(found, expected)
    cancels = [axis % 4 for axis in axes] == [0, 2, 3, 1]
    assert edited.histogram()["permute"] == (1 if cancels else 2), "what is turned back and forth is not turned"
    placeholder = next(node for node in graph.nodes if node.op == "placeholder")
    assert placeholder.meta["val"].shape == (2, 3, 4, 5), "the graph that was given is left as it was"
    recapture(edited, image.permute(0, 2, 3, 1).contiguous())


def test_only_what_cancels_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = capture_model(ChannelsLast(0, 3, 2, 1), 1, 4, 4, 4).graph
    image = torch.randn(1, 4, 4, 4)
    monkeypatch.setattr(app_interface, "TO_CHANNELS_LAST", [0, 3, 2, 1])  # takes another turn for the one that cancels
    wrong = take_channels_last(graph).run(image.permute(0, 2, 3, 1).contiguous())
    assert not torch.equal(wrong[0], graph.run(image)[0])
