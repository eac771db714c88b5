"""Normalisation and softmax in the graph are what they stand for, to the digits of float64."""

import torch
from torch import nn

from mobilevit_deploy.graph.app_interface import append_softmax, normalize_pixels
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
