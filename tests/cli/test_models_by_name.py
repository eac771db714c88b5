"""Models of libraries on the command line: ``timm:NAME``, ``torchvision:NAME``, ``hf:FOLDER``, and their arguments."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import Result

from mobilevit_deploy.cli.model_arguments import parse_arguments
from mobilevit_deploy.export.cache import key_of
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.targets.coreml.convert import describe

Mvd = Callable[..., Result]
usefixtures = pytest.mark.usefixtures

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


class TestArguments:
    @given(JSON)
    def test_what_json_writes_is_read_back(self, value: object) -> None:
        assert parse_arguments([f"key={json.dumps(value)}"]) == {"key": value}

    @given(st.text())
    def test_anything_is_read(self, text: str) -> None:
        (value,) = parse_arguments([f"key={text}"]).values()
        json.dumps(value, allow_nan=False)

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("4", 4),
            ("0.5", 0.5),
            ("true", True),
            ("True", True),
            ("None", None),
            ("null", None),
            ("[2, 2, 4,]", [2, 2, 4]),
            ("'gelu'", "gelu"),
            ("gelu", "gelu"),
            ("{a = 1}", {"a": 1}),
            ("", ""),
            ("a=b", "a=b"),
            ("nan", "nan"),
            ("NaN", "NaN"),
            ("2020-01-01", "2020-01-01"),
            ("1\nother = 2", "1\nother = 2"),
        ],
    )
    def test_values(self, text: str, value: object) -> None:
        assert parse_arguments([f"key={text}"]) == {"key": value}

    @pytest.mark.parametrize("given", [["width"], ["=3"], ["a b=3"], ["width=3", "width=4"]])
    def test_what_is_no_argument(self, given: list[str]) -> None:
        with pytest.raises(typer.BadParameter):
            parse_arguments(given)


def test_arguments_of_ones_own_function(mvd: Mvd) -> None:
    Path("net.py").write_text(
        "from torch import nn\n"
        "def build(width, depth=1, kind=''):\n"
        "    return nn.Sequential(nn.Conv2d(3, width, 3), *[nn.Conv2d(width, width, 1) for _ in range(depth)])\n"
    )
    command = ("export", "net.py:build", "--to", "onnx", "--input-size", 8)
    done = mvd(*command, "--model-arg", "width=5", "--model-arg", "depth=2", "--model-arg", "kind=plain", "--json")
    assert done.exit_code == 0, done.stderr
    (report,) = json.loads(done.stdout)["artifacts"]
    assert report["outputs"][0]["shape"] == [1, 5, 6, 6]
    verify = ("verify", report["path"], "--model", "net.py:build")
    refused = mvd(*verify)  # numbers are in the file, and a text in a file may be anybody's
    assert (refused.exit_code, "add --model-arg kind=plain" in refused.stderr) == (1, True)
    assert mvd(*verify, "--model-arg", "kind=plain").exit_code == 0
    assert mvd(*verify, "--model-arg", "kind=plain", "--model-arg", "width=6").exit_code == 3
    for more, code, said in (
        (("--model-arg", "widht=5"), 2, "takes no widht"),
        (("--model-arg", "width"), 2, "give KEY=VALUE"),
        ((), 2, "net.py:build needs the argument width"),
        (("--num-classes", 3), 2, "--num-classes, but net.py:build takes no num_classes"),
        (("--pretrained",), 2, "--pretrained is for models by name from a library"),
    ):
        refused = mvd(*command, *more)
        assert refused.exit_code == code, refused.stderr
        assert said in " ".join(refused.stderr.split())
    catalog = mvd("export", "cas_vit_xs", "--to", "onnx", "--model-arg", "depth=3")
    assert catalog.exit_code == 2
    assert "cas_vit_xs is described by its card" in catalog.stderr


@usefixtures("stand_ins")
def test_a_card_prepares_images_and_names_classes(mvd: Mvd) -> None:
    Path("images").mkdir()
    from PIL import Image

    for i in range(2):
        Image.fromarray(np.full((40, 60, 3), 90 * i, dtype=np.uint8)).save(f"images/{i}.png")
    command = ("export", "torchvision:tiny", "--to", "coreml", "--image-input", "--labels", "card")
    done = mvd(*command, "--images", "images", "--json")
    assert done.exit_code == 0, done.stderr
    (report,) = json.loads(done.stdout)["artifacts"]
    assert report["input"]["kind"] == "image"
    assert report["input"]["mean"] == [0.4, 0.5, 0.6]
    assert report["labels"] == 3
    assert report["accuracy"]["images"] == 2
    assert describe(Path(report["path"])).labels == ("cat", "dog", "newt")
    unnamed = mvd("export", "timm:tiny_net", "--num-classes", 3, "--to", "coreml", "--labels", "card")
    assert unnamed.exit_code == 2
    assert "nobody named the classes of timm_tiny_net" in unnamed.stderr


@usefixtures("stand_ins")
def test_weights_of_a_library_are_in_the_file_and_asked_for_again(mvd: Mvd) -> None:
    done = mvd("export", "timm:tiny_net", "--pretrained", "--require-trained", "--to", "onnx", "--json")
    assert done.exit_code == 0, done.stderr
    (report,) = json.loads(done.stdout)["artifacts"]
    assert report["path"] == "artifacts/timm_tiny_net-32x48-fp32.onnx"
    assert report["weights"]["library"] == "timm 1.2.3, tiny_net.one_in1k"
    noted = {entry.key: entry.value for entry in onnx.load(report["path"]).metadata_props}
    assert noted["mvd.library"] == "timm 1.2.3"
    assert noted["mvd.weights"] == "timm 1.2.3, tiny_net.one_in1k"
    assert noted["mvd.weights_sha256"] == report["weights"]["sha256"]
    verify = ("verify", report["path"])
    assert "--model timm:NAME" in mvd(*verify).stderr
    without = mvd(*verify, "--model", "timm:tiny_net")
    assert without.exit_code == 1
    assert "add --pretrained" in without.stderr
    assert mvd(*verify, "--model", "timm:tiny_net", "--pretrained").exit_code == 0
    other = mvd(*verify, "--model", "timm:tiny_net.two_in1k", "--pretrained")
    assert "says that it was made from timm_tiny_net" in other.stderr


@usefixtures("stand_ins")
def test_exit_codes(mvd: Mvd) -> None:
    unknown = mvd("export", "timm:tiny_nat", "--to", "onnx")
    assert unknown.exit_code == mvd("export", "cas_vit_xl", "--to", "onnx").exit_code == 2
    assert "did you mean 'tiny_net'?" in unknown.stderr
    assert mvd("inspect", "timm:tiny_net", "--to", "onnx", "--model-arg", "width=6").exit_code == 0


@usefixtures("stand_ins")
def test_kept_exports_know_the_library(stand_ins: Path, tmp_path: Path) -> None:
    def key(name: str = "timm:tiny_net", **options: object) -> str | None:
        return key_of(ExportRequest(ModelRequest(name, **options), ("onnx",)))  # type: ignore[arg-type]

    assert key() == key()
    assert key() != key(arguments={"width": 6})
    assert key(pretrained=True) is None, "what is downloaded may change under its name"
    assert key("nets:one") is None
    before = key()
    metadata = stand_ins / "timm-1.2.3.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.2.3", "Version: 1.2.4"))
    assert key() != before
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "config.json").write_text("{}")
    saved = key(f"hf:{tmp_path / 'saved'}")
    (tmp_path / "saved" / "config.json").write_text("{ }")
    assert key(f"hf:{tmp_path / 'saved'}") != saved
