"""What is said of a checkpoint that another model of the same function would fit."""

from pathlib import Path

import pytest
import torch
from torch import nn

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.loading.model import ModelRequest, load_model

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, width):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))
        self.local = nn.Conv2d(width, width, 3, groups=width)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.local(self.stem(x)).mean((2, 3)))

def plain(): return Net(5, 4)
def named(num_classes=5, width=4): return Net(num_classes, width)
def free(**settings): return Net(settings.get("num_classes", 5), settings.get("width", 4))
def other(n_classes=5): return Net(n_classes, 4)
def unsaid(n=5, w=4): return Net(n, w)
"""
CLASSES = {
    "named": "the checkpoint has 7 classes: --num-classes 7",
    "free": "the checkpoint has 7 classes: --num-classes 7",
    "other": "the checkpoint has 7 classes: --model-arg n_classes=7",
    "unsaid": "the checkpoint has 7 classes: --model-arg KEY=7, where KEY is their number among n, w",
    "plain": "the checkpoint has 7 classes: let NET:plain take num_classes, and give --num-classes 7",
}
SETTINGS = {
    "named": "if it was trained with other settings, give them: --model-arg KEY=VALUE, of num_classes, width",
    "free": "if it was trained with other settings, give them: --model-arg KEY=VALUE",
    "plain": "check the model name and --num-classes",
}


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    return tmp_path / "net.py"


def hint_of(net: Path, function: str, state: dict[str, torch.Tensor]) -> str:
    torch.save(state, net.parent / "c.pth")
    with pytest.raises(CheckpointError) as caught:
        load_model(ModelRequest(f"{net}:{function}", checkpoint=net.parent / "c.pth"))
    return str(caught.value.hint).replace(str(net), "NET")


def state_of(net: Path, classes: int = 5, width: int = 4) -> dict[str, torch.Tensor]:
    arguments = {"num_classes": classes, "width": width}
    return dict(load_model(ModelRequest(f"{net}:named", arguments=arguments)).module.state_dict())


@pytest.mark.parametrize("function", CLASSES)
def test_another_number_of_classes(net: Path, function: str) -> None:
    assert hint_of(net, function, state_of(net, classes=7)) == CLASSES[function]


@pytest.mark.parametrize("function", SETTINGS)
def test_another_width(net: Path, function: str) -> None:
    assert hint_of(net, function, state_of(net, width=8)) == SETTINGS[function]
    assert hint_of(net, function, state_of(net, classes=7, width=8)) == SETTINGS[function]


def test_another_depth(net: Path) -> None:
    state = state_of(net)
    del state["local.weight"], state["local.bias"]
    assert hint_of(net, "named", state) == SETTINGS["named"]


def test_another_model(net: Path) -> None:
    assert "check the model name" in hint_of(net, "named", dict(nn.Conv2d(3, 4, 3).state_dict()))


def test_the_number_that_is_said_loads(net: Path) -> None:
    torch.save(state_of(net, classes=7), net.parent / "c.pth")
    assert load_model(ModelRequest(f"{net}:named", num_classes=7, checkpoint=net.parent / "c.pth")).weights.trained


def test_a_head_too_many_is_still_left_aside(net: Path) -> None:
    assert "--ignore 'aux*'" in hint_of(net, "named", {**state_of(net), "aux.weight": torch.ones(2)})


def test_a_folder_of_hugging_face_is_a_model_itself(net: Path) -> None:
    """Whose library gives weights other names in its files than its modules have."""
    (net.parent / "config.json").write_text("{}")
    hint = hint_of(net, "named", {f"layer.{name}.w": item for name, item in state_of(net).items()})
    assert hint == f"a folder of Hugging Face is a model itself: give hf:{net.parent} in place of NET:named"
    assert hint_of(net, "named", state_of(net, classes=7)) == CLASSES["named"]
