"""Feature pyramid network: maps of all strides with one number of channels, the finer ones told by the coarser ones.

Source: Lin et al., "Feature Pyramid Networks for Object Detection", arXiv 1612.03144; tensor names, and the levels
added below the last, as in https://github.com/open-mmlab/mmdetection 3.3.0 (``FPN``, ``add_extra_convs="on_input"`` and
without).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from mobilevit_deploy.architectures.heads.convolution import NamedConvolution


@dataclass(frozen=True)
class ChosenMaps:
    """Those of a backbone's maps that a pyramid takes, from fine to coarse.

    Attributes:
        places: among all that the backbone returns.
        widths: their channels.
        strides: in pixels, each twice the one before.
    """

    places: tuple[int, ...]
    widths: tuple[int, ...]
    strides: tuple[int, ...]


class FeaturePyramid(nn.Module):
    """Chosen ones of maps (B, widths[i], H/s, W/s) to maps (B, channels, H/s, W/s), and as many coarser as are added.

    Each added map has half the sides, rounded up, of the one before. Of those with weights the first is made of the
    backbone's last map; those without take every second pixel of the pyramid's last.
    """

    def __init__(self, chosen: ChosenMaps, channels: int, extra_levels: int = 0, thinned_levels: int = 0) -> None:
        """Makes the untrained pyramid.

        Args:
            chosen: of the backbone's maps.
            channels: of all maps that come out.
            extra_levels: maps that are added by a convolution each.
            thinned_levels: maps that are added without weights.
        """
        super().__init__()
        self.lateral_convs = nn.ModuleList(NamedConvolution(width, channels, 1) for width in chosen.widths)
        plain = [NamedConvolution(channels, channels, 3) for _ in chosen.widths]
        added = [
            NamedConvolution(channels if i else chosen.widths[-1], channels, 3, stride=2) for i in range(extra_levels)
        ]
        self.fpn_convs = nn.ModuleList([*plain, *added])
        self.places, self.thinned_levels = chosen.places, thinned_levels

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        maps = [maps[place] for place in self.places]
        merged = [lateral(x) for lateral, x in zip(self.lateral_convs, maps, strict=True)]
        for i in range(len(merged) - 1, 0, -1):
            finer = merged[i - 1]
            merged[i - 1] = finer + F.interpolate(merged[i], size=finer.shape[2:], mode="nearest")
        outputs = [conv(x) for conv, x in zip(self.fpn_convs, merged, strict=False)]
        last = maps[-1]
        for conv in list(self.fpn_convs)[len(merged) :]:
            last = conv(last)
            outputs.append(last)
        for _ in range(self.thinned_levels):
            outputs.append(outputs[-1][:, :, ::2, ::2])  # what a max pooling of one pixel and stride 2 takes
        return outputs
