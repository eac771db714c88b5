"""A convolution under the names that MMCV's ``ConvModule`` gives its parts."""

from torch import Tensor, nn


class NamedConvolution(nn.Module):
    """Convolution, batch norm if there is one, ReLU if there is one; (B, C, H, W) to (B, D, H/s, W/s)."""

    def __init__(
        self, channels_in: int, channels_out: int, size: int, *, stride: int = 1, norm: bool = False, relu: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, size, stride, padding=size // 2, bias=not norm)
        if norm:
            self.bn = nn.BatchNorm2d(channels_out)
        self.norm, self.relu = norm, relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.norm:
            x = self.bn(x)
        return x.relu() if self.relu else x
