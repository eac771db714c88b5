"""Code of the user's own: the kinds of it that are taken, and what is said of code that does not work."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mobilevit_deploy.errors import DoesNotRunError, ModelCodeError, MvdError, UsageError
from mobilevit_deploy.graph.capture import capture
from mobilevit_deploy.loading.model import LoadedModel, ModelRequest, load_model

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 2, 1)
        self.head = nn.Linear(width, 5)

    def forward(self, x):
        return self.head(self.stem(x).relu().mean((2, 3)))


class Sized(Net):
    def __init__(self, width: int) -> None:
        super().__init__(width)


class Trainer(nn.Module):
    '''As lightning's LightningModule: the network inside, and what trains it beside that.'''

    def __init__(self) -> None:
        super().__init__()
        self.model, self.loss = Net(), nn.CrossEntropyLoss(weight=torch.ones(5))

    def forward(self, x):
        return self.model(x)

    def training_step(self, batch, index):
        raise AssertionError

    def configure_optimizers(self):
        raise AssertionError


class Named(Net):
    def forward(self, x):
        return {"scores": super().forward(x), "map": self.stem(x), "note": None}


def build():
    return Net()


def restored():
    net = Net()
    net.load_state_dict(torch.load("weights.pth"))
    return net


ready = Net()
"""

PACKAGED = """
from . import sizes
from .parts.blocks import Block


def build():
    return Block(sizes.WIDTH)
"""

# By kind: the MODEL argument, what is asked beside it, and the width that the network has.
KINDS: dict[str, tuple[str, dict[str, Any], int]] = {
    "function": ("my_kinds.py:build", {}, 4),
    "class": ("my_kinds.py:Net", {}, 4),
    "class with arguments": ("my_kinds.py:Sized", {"arguments": {"width": 6}}, 6),
    "instance": ("my_kinds.py:ready", {}, 4),
    "file of a package with relative imports": ("own_package/net.py:build", {}, 3),
    "module of that package": ("own_package.net:build", {}, 3),
    "Lightning's wrapper": ("my_kinds.py:Trainer", {}, 4),
    "dictionary of outputs": ("my_kinds.py:Named", {}, 4),
    "loads its own weights": ("my_kinds.py:restored", {"vouched": "our run 12"}, 4),
}


@pytest.fixture(autouse=True)
def own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Writes the files into an empty folder, and forgets afterwards what was imported from it."""
    monkeypatch.chdir(tmp_path)
    Path("my_kinds.py").write_text(NET)
    Path("own_package/parts").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "parts/__init__.py": "",
        "sizes.py": "WIDTH = 3\n",
        "parts/blocks.py": f"from ..sizes import WIDTH\n{NET}\nBlock = Net\n",
        "net.py": PACKAGED,
    }.items():
        Path("own_package", name).write_text(text)
    torch.manual_seed(7)
    state = {"stem.weight": (4, 3, 3, 3), "stem.bias": (4,), "head.weight": (5, 4), "head.bias": (5,)}
    torch.save({name: torch.randn(shape) for name, shape in state.items()}, "weights.pth")
    before, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if name.startswith(("my_kinds", "own_package", "mvd_model_", "odd_code")):
            del sys.modules[name]


def load(reference: str, **asked: Any) -> LoadedModel:
    return load_model(ModelRequest(reference, size=(16, 16), **asked))


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_own_models(kind: str) -> None:
    reference, asked, width = KINDS[kind]
    model = load(reference, **asked)
    captured = capture(model.module, torch.zeros(1, 3, 16, 16), "classify")
    named = ("scores", "map") if kind == "dictionary of outputs" else ("logits",)
    assert tuple(output.name for output in captured.outputs) == named
    assert captured.outputs[0].shape == (1, 5)
    (head,) = [value for name, value in model.module.state_dict().items() if name.endswith("head.weight")]
    assert head.shape == (5, width)
    assert model.weights.trained is ("vouched" in asked)


def test_a_checkpoint_goes_into_a_module_that_is_built() -> None:
    model = load("my_kinds.py:ready", checkpoint=Path("weights.pth"))
    assert model.weights.trained
    assert torch.equal(model.module.state_dict()["stem.bias"], torch.load("weights.pth")["stem.bias"])


def test_random_weights_of_a_module_that_is_built_are_the_same_each_time() -> None:
    first, second = (load("my_kinds.py:ready").module.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_module_of_a_package_stays_as_it_is() -> None:
    Path("own_package/made.py").write_text("from .parts.blocks import Net\nready = Net().train()\n")
    first = load("own_package.made:ready")
    assert sys.modules["own_package.made"].ready.training
    assert first.module is not load("own_package.made:ready").module


def test_the_users_word_is_recorded() -> None:
    vouched = load("my_kinds.py:restored", vouched="our run 12", require_trained=True).weights
    assert (vouched.vouched, vouched.path, vouched.library) == ("our run 12", None, None)
    assert vouched.place == "our run 12 (the user's word)"
    assert vouched.sha256 is not None
    assert vouched.sha256 != load("my_kinds.py:build", vouched="another").weights.sha256
    assert not load("my_kinds.py:restored").weights.trained, "nobody vouched for it"


@pytest.mark.parametrize(
    ("reference", "asked", "message"),
    [
        ("cas_vit_xs", {}, "--trained is for code of your own that loads its weights, and cas_vit_xs is none"),
        ("timm:mobilevit_s", {}, "timm:mobilevit_s is none"),
        ("my_kinds.py:build", {"checkpoint": Path("weights.pth")}, "--trained and --checkpoint both say"),
        ("timm:mobilevit_s", {"pretrained": True}, "--trained and --pretrained both say"),
        ("my_kinds.py:build", {"vouched": " "}, "--trained is empty"),
    ],
)
def test_where_nothing_can_be_vouched_for(reference: str, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load_model(ModelRequest(reference, **{"vouched": "our run 12", **asked}))
    assert caught.value.exit_code == 2


def deeper(body: str) -> str:
    """Returns a file whose function calls another one, that does this."""
    return f"from torch import nn\n\n\ndef inner():\n    {body}\n\n\ndef build():\n    return inner()\n"


# By what is wrong: the file's text, the name behind the colon, the exit code, the message's lines and the hint.
WRONG: dict[str, tuple[str, str, int, list[str], str | None]] = {
    "no such name": (
        NET, "missing", 2, ["odd_code.py has no 'missing'"],
        "it has Net (a class), Sized (a class), Trainer (a class), Named (a class), build (a function), "
        "restored (a function), ready (a module)",
    ),
    "nearly a name": (NET, "biuld", 2, ["odd_code.py has no 'biuld'"], "did you mean odd_code.py:build? It has Net"),
    "an empty file": ("", "build", 2, ["odd_code.py has no 'build'"], "define one in it"),
    "no function": (
        "build = {}\n", "build", 1, ["odd_code.py:build is a dict"], "name a function, a class or a module",
    ),
    "an argument is lacking": (
        NET, "Sized", 2, ["odd_code.py:Sized needs the argument width"], "--model-arg width=VALUE",
    ),
    "an exception": (
        deeper("raise ValueError('no such width')"), "build", 1,
        [
            "odd_code.py:build failed: ValueError: no such width",
            "     line 9 of odd_code.py, in build: return inner()",
            "     line 5 of odd_code.py, in inner: raise ValueError('no such width')",
        ],
        None,
    ),
    "an exception in PyTorch": (
        deeper("return nn.Conv2d(3, 4, 3, groups=2)"), "build", 1,
        [
            "odd_code.py:build failed: ValueError: in_channels must be divisible by groups",
            "     line 9 of odd_code.py, in build: return inner()",
            "     line 5 of odd_code.py, in inner: return nn.Conv2d(3, 4, 3, groups=2)",
        ],
        None,
    ),
    "a package that is missing": (
        "import os\nimport no_such_package\n", "build", 1,
        [
            "importing odd_code.py failed: ModuleNotFoundError: No module named 'no_such_package'",
            "     line 2 of odd_code.py: import no_such_package",
        ],
        "install no_such_package beside mvd",
    ),
    "no Python": (
        "x = 1\ndef build(:\n", "build", 1,
        ["importing odd_code.py failed: SyntaxError: invalid syntax", "     line 2 of odd_code.py: def build(:"], None,
    ),
    "a script that ends itself": (
        "import sys\nsys.exit(0)\n", "build", 1,
        ["importing odd_code.py failed: SystemExit: 0", "     line 2 of odd_code.py: sys.exit(0)"],
        "odd_code.py ends the program where it is imported: put that part below if __name__ == '__main__':",
    ),
    "a script that wants arguments": (
        "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('data')\nparser.parse_args()\n",
        "build", 1,
        ["importing odd_code.py failed: SystemExit: 2", "     line 4 of odd_code.py: parser.parse_args()"],
        "ends the program where it is imported",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_code_that_does_not_work(what: str, tmp_path: Path) -> None:
    text, name, code, lines, hint = WRONG[what]
    Path("odd_code.py").write_text(text)
    with pytest.raises(MvdError) as caught:
        load(f"odd_code.py:{name}")
    assert caught.value.exit_code == code
    assert caught.value.message.replace(f"{tmp_path}/", "").split("\n") == lines
    assert hint in str(caught.value.hint) if hint else caught.value.hint is None


def test_a_package_that_is_not_there() -> None:
    with pytest.raises(ModelCodeError) as caught:
        load("no_such_package.net:build")
    assert "\n" not in caught.value.message
    assert caught.value.hint == "give path/to/file.py:function, or a package of this folder or of this environment"


def test_a_script_reads_its_own_name_and_no_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    kept = list(sys.argv)
    Path("odd_code.py").write_text(f"import sys\nprint(sys.argv)\n{NET}")
    assert load("odd_code.py:build").name == "odd_code_build"
    assert capsys.readouterr().out == "['odd_code.py']\n"
    assert sys.argv == kept


@pytest.mark.parametrize(
    ("body", "advised"), [("return self.no_such_layer(x)", False), ("return x.reshape(1, 7, -1)", True)]
)
def test_an_exception_in_forward(body: str, advised: bool, tmp_path: Path) -> None:
    Path("odd_code.py").write_text(
        f"from torch import nn\n\n\nclass Net(nn.Module):\n    def forward(self, x):\n        {body}\n"
    )
    module = load("odd_code.py:Net").module
    with pytest.raises(DoesNotRunError) as caught:
        capture(module, torch.zeros(1, 3, 16, 16), "classify")
    assert caught.value.message.endswith(f"\n     line 6 of {tmp_path}/odd_code.py, in forward: {body}")
    assert bool(caught.value.hint) is advised  # of the image's size, which has no part in a name that is not there
