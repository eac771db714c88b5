"""Networks of which float32 itself loses digits, or turns decisions; nothing of mvd in them."""

import torch
from torch import Tensor, nn


class Trunk(nn.Module):
    def __init__(self, width: int = 16) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, width, 3, 2, 1)
        self.middle = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.gelu(self.middle(nn.functional.gelu(self.stem(x))))


class Flat(nn.Module):
    """Returns all but its bias, as an untrained network may: what differs between images lies in the last digits."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.head = nn.Linear(16, 10)
        with torch.no_grad():
            self.head.weight.mul_(1e-6)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.trunk(x).mean((2, 3)))
        return logits


class Gated(Flat):
    """Takes from a number, and then one tensor from another: exporters make differences of both, and count them."""

    def forward(self, x: Tensor) -> Tensor:
        values = self.trunk(x)
        gate = torch.sigmoid(values)
        rest = values - (1 - gate)
        logits: Tensor = self.head(((1 - rest) * (values - gate)).mean((2, 3)))
        return logits


class Silent(Flat):
    """Returns its bias, whatever the image: a head that begins with zeros."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.zeros_(self.head.weight)


class Constant(nn.Module):
    """Returns a parameter: nothing is left to compute."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.arange(5.0))

    def forward(self, _: Tensor) -> Tensor:
        return torch.zeros(1, 5) + self.bias


class Offset(nn.Module):
    """Adds a large number and takes it away again."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(offset))

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.offset).square() - self.offset.square()


class Cancelling(nn.Module):
    def __init__(self, offset: float) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.cancel = Offset(offset)
        self.last = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(nn.functional.gelu(self.last(self.cancel(self.trunk(x)))).mean((2, 3)))
        return logits


class Labels(nn.Module):
    """Returns the index of the largest score at every place."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.head = nn.Conv2d(16, 7, 1, bias=False)
        nn.init.normal_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        labels: Tensor = self.head(self.trunk(x)).argmax(1)
        return labels


class Chosen(Labels):
    """Returns the largest score at its channel, and zero at the others."""

    def forward(self, x: Tensor) -> Tensor:
        scores = self.head(self.trunk(x))
        chosen: Tensor = torch.zeros_like(scores).scatter(1, scores.argmax(1, keepdim=True), 1.0) * scores
        return chosen


class Near(Labels):
    """The same, of two scores each that are all but equal everywhere: PyTorch's own float32 decides otherwise."""

    def forward(self, x: Tensor) -> Tensor:
        scores = self.head(self.trunk(x))
        second = scores * (1.0 + 1e-9 * scores)
        return torch.cat([scores, second], 1).argmax(1)


def build_gated() -> nn.Module:
    return Gated()


def build_flat() -> nn.Module:
    return Flat()


def build_silent() -> nn.Module:
    return Silent()


def build_constant() -> nn.Module:
    return Constant()


def build_cancelling() -> nn.Module:
    return Cancelling(5000.0)


def build_labels() -> nn.Module:
    return Labels()


def build_chosen() -> nn.Module:
    return Chosen()


def build_near() -> nn.Module:
    return Near()
