"""What is expected of an artifact: PyTorch on every image."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mobilevit_deploy.errors import DoesNotRunError
from mobilevit_deploy.runners.app_interface import Borders
from mobilevit_deploy.verification.legs import expect


class Inverse(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        inverse: Tensor = torch.linalg.inv(x)
        return inverse


def test_a_model_that_runs_on_one_image_and_not_on_another_is_no_bug_of_ours() -> None:
    images = np.stack([np.eye(4, dtype=np.float32)[None], np.ones((1, 4, 4), np.float32)])
    assert expect(Inverse(), images[:1], 1, ["output"], Borders()).outputs[0].shape == (1, 1, 4, 4)
    with pytest.raises(
        DoesNotRunError, match=r"runs on one test image and not on another: _LinAlgError.*\(line \d+ of"
    ):
        expect(Inverse(), images, 1, ["output"], Borders())
