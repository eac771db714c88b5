"""Semantic FPN: the pyramid's maps, brought to the finest one's size step by step and added, are classified.

Source: Kirillov et al., "Panoptic Feature Pyramid Networks", arXiv 1901.02446, section 3.1; tensor names as in
https://github.com/open-mmlab/mmsegmentation 1.2.2 (``FPNHead`` behind ``FPN``).
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mobilevit_deploy.architectures.heads.convolution import NamedConvolution
from mobilevit_deploy.architectures.heads.fpn import ChosenMaps, FeaturePyramid


class Double(nn.Module):
    """Twice the sides, between pixels' centres; (B, C, H, W) to (B, C, 2H, 2W)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class SemanticFpnHead(nn.Module):
    """The pyramid's maps (B, C, H/s, W/s), s of ``strides``, to logits (B, classes, H/s, W/s) of the finest stride."""

    def __init__(self, strides: Sequence[int], channels_in: int, channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv_seg = nn.Conv2d(channels, num_classes, 1)
        scale_heads = []
        for stride in strides:
            doublings = (stride // strides[0]).bit_length() - 1
            parts: list[nn.Module] = []
            for i in range(max(1, doublings)):
                parts.append(NamedConvolution(channels if i else channels_in, channels, 3, norm=True, relu=True))
                if doublings:
                    parts.append(Double())
            scale_heads.append(nn.Sequential(*parts))
        self.scale_heads = nn.ModuleList(scale_heads)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        total: Tensor = self.scale_heads[0](maps[0])
        for head, x in zip(list(self.scale_heads)[1:], maps[1:], strict=True):
            total = total + head(x)
        logits: Tensor = self.conv_seg(total)
        return logits


class SemanticFpn(nn.Module):
    """Image (B, 3, H, W) to ``logits``: (B, classes, H/4, W/4), or at the image's own size."""

    def __init__(
        self, backbone: nn.Module, neck: FeaturePyramid, decode_head: SemanticFpnHead, *, full_size: bool
    ) -> None:
        super().__init__()
        self.backbone, self.neck, self.decode_head = backbone, neck, decode_head
        self.full_size, self.num_classes = full_size, decode_head.conv_seg.out_channels

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        logits = self.decode_head(self.neck(self.backbone(x)))
        if self.full_size:
            logits = F.interpolate(logits, size=x.shape[2:], mode="bilinear", align_corners=False)
        return {"logits": logits}


def build(
    backbone: nn.Module,
    chosen: ChosenMaps,
    num_classes: int,
    output: str,
    *,
    neck_channels: int,
    channels: int,
) -> nn.Module:
    """Returns the untrained whole model.

    Args:
        backbone: image to maps.
        chosen: those of the maps that the neck takes.
        num_classes: that each pixel may have.
        output: ``labels`` gives the logits of every pixel, ``logits`` those of the finest map.
        neck_channels: of the pyramid.
        channels: of the head.
    """
    neck = FeaturePyramid(chosen, neck_channels)
    head = SemanticFpnHead(chosen.strides, neck_channels, channels, num_classes)
    return SemanticFpn(backbone, neck, head, full_size=output == "labels")
