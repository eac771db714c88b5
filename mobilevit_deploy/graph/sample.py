"""What a graph is run on: one tensor for a model of images, else one for each of its inputs."""

import torch
from torch import Tensor

from mobilevit_deploy.images.input_records import by_name
from mobilevit_deploy.images.test_images import Images

Sample = Tensor | tuple[Tensor, ...]


def sample_of(batch: Images) -> Sample:
    """Returns images, (B, C, H, W), as a tensor of the same memory; a record as a tensor for each of its inputs."""
    if batch.dtype.names is None:
        return torch.from_numpy(batch)
    return tuple(map(torch.from_numpy, by_name(batch, "").values()))


def tensors_of(sample: Sample) -> tuple[Tensor, ...]:
    """Returns what ``forward`` is called with."""
    return sample if isinstance(sample, tuple) else (sample,)


def copies_of(sample: Sample, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    """Returns the same for a model that may write into it, float32 as another floating-point type."""
    return tuple(
        item.to(dtype if item.dtype == torch.float32 else item.dtype, copy=True) for item in tensors_of(sample)
    )


def in_float64(sample: Sample) -> Sample:
    """Returns a sample with float64 in the place of float32."""
    if isinstance(sample, Tensor):
        return sample.double()
    return copies_of(sample, torch.float64)
