"""Models by name: what the sources ask of their libraries, which are played by ``tests/support/libraries``."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mobilevit_deploy.catalog.head_declaration import Boxes, DetectorDeclaration
from mobilevit_deploy.errors import CatalogError, CheckpointError, ModelCodeError, MvdError, UsageError
from mobilevit_deploy.loading.model import LoadedModel, ModelRequest, load_model
from mobilevit_deploy.loading.model_head import HeadOptions
from mobilevit_deploy.loading.source import digest_of, distinct, offline

usefixtures = pytest.mark.usefixtures


def weight(model: LoadedModel, name: str) -> torch.Tensor:
    value: torch.Tensor = model.module.state_dict()[name]
    return value


def load(name: str, **options: Any) -> LoadedModel:
    return load_model(ModelRequest(name, **options))


@usefixtures("no_libraries")
@pytest.mark.parametrize("name", ["timm", "torchvision", "transformers"])
def test_a_missing_library_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["TinyForImageClassification"]}')
    reference = f"hf:{tmp_path}" if name == "transformers" else f"{name}:tiny_net"
    with pytest.raises(MvdError) as caught:
        load(reference)
    assert caught.value.message == f"{name} is not installed"
    assert caught.value.hint == f"pip install {name}"
    assert caught.value.exit_code == 1


def test_a_broken_library_says_why(stand_ins: Path) -> None:
    (stand_ins / "timm" / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    with pytest.raises(MvdError, match="timm cannot be imported: RuntimeError: operator torchvision::nms") as caught:
        load("timm:tiny_net")
    assert torch.__version__ in str(caught.value.hint)


@usefixtures("stand_ins")
class TestTimm:
    def test_its_card(self) -> None:
        model = load("timm:tiny_net.two_in1k", batch=2)
        assert model.name == "timm_tiny_net_two_in1k"
        assert model.input_shape == (2, 3, 32, 48)
        assert not model.weights.trained
        assert model.library is not None
        assert model.library.library == "timm 1.2.3"
        assert model.preprocessing is not None
        assert (model.preprocessing.mean, model.preprocessing.crop) == ((0.5, 0.4, 0.3), 0.9)
        assert len(set(model.library.classes)) == 1000
        assert model.library.classes[134] == "crane (134)"
        assert load("timm:tiny_net", size=(64, 64)).input_shape == (1, 3, 64, 64)
        assert load("timm:tiny_net", size=(1, 64, 64)).input_shape == (1, 1, 64, 64)

    def test_arguments_and_classes_reach_the_model(self) -> None:
        model = load("timm:tiny_net", num_classes=7, arguments={"width": 6})
        assert weight(model, "head.weight").shape == (7, 6)
        assert model.library is not None
        assert model.library.classes == ()
        assert model.arguments == {"width": 6, "num_classes": 7}

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("tiny_nat", "did you mean 'tiny_net'?"),
            ("tiny_net.two_in2k", "did you mean 'tiny_net.two_in1k'?"),
            ("hf-hub:who/ever", "it has tiny_net, tiny_other"),
            ("local-dir:/tmp", "it has tiny_net, tiny_other"),
        ],
    )
    def test_names_that_it_does_not_have(self, name: str, hint: str) -> None:
        with pytest.raises(CatalogError) as caught:
            load(f"timm:{name}")
        assert caught.value.hint == hint

    def test_its_own_weights_are_recorded(self) -> None:
        model = load("timm:tiny_net", pretrained=True, require_trained=True)
        assert model.weights.trained
        assert model.weights.library == "timm 1.2.3, tiny_net.one_in1k"
        assert model.weights.sha256 == digest_of(model.module)
        assert float(weight(model, "head.bias")[0]) == 0.5
        with pytest.raises(UsageError, match="--require-trained"):
            load("timm:tiny_net", require_trained=True)
        with pytest.raises(UsageError, match="has 1000 classes, not 7: the head would be random"):
            load("timm:tiny_net", pretrained=True, num_classes=7)

    def test_a_checkpoint_of_ones_own(self, tmp_path: Path) -> None:
        weights = {
            name: torch.full_like(value, 0.25) for name, value in load("timm:tiny_net").module.state_dict().items()
        }
        torch.save({"state_dict": weights}, tmp_path / "own.pth")
        model = load("timm:tiny_net", checkpoint=tmp_path / "own.pth")
        assert model.weights.path == str(tmp_path / "own.pth")
        assert float(weight(model, "head.bias")[0]) == 0.25
        with pytest.raises(UsageError, match="--pretrained and --checkpoint are both weights"):
            load("timm:tiny_net", checkpoint=tmp_path / "own.pth", pretrained=True)

    def test_a_download_that_fails(self, stand_ins: Path) -> None:
        init = stand_ins / "timm" / "__init__.py"
        failing = "    if pretrained:\n        raise OSError('name or service not known')\n    module = TinyNet("
        init.write_text(init.read_text().replace("    module = TinyNet(", failing))
        with pytest.raises(ModelCodeError, match="OSError: name or service not known") as caught:
            load("timm:tiny_net", pretrained=True)
        assert "is there a network?" in str(caught.value.hint)

    def test_what_has_an_option_is_no_argument(self) -> None:
        with pytest.raises(UsageError) as caught:
            load("timm:tiny_net", arguments={"checkpoint_path": "x.pth"})
        assert caught.value.hint == "give the file to --checkpoint"
        with pytest.raises(ModelCodeError, match="unexpected keyword argument 'widht'"):
            load("timm:tiny_net", arguments={"widht": 6})

    def test_nothing_may_be_downloaded_without_being_asked(self, stand_ins: Path) -> None:
        spy = "import os\nCALLS.append((os.environ.get('HF_HUB_OFFLINE'), pretrained))\n"
        init = stand_ins / "timm" / "__init__.py"
        text = init.read_text().replace(
            "    module = TinyNet(", f"    {spy.replace(chr(10), '; ')[:-2]}\n    module = TinyNet("
        )
        init.write_text(f"CALLS = []\n{text}")
        load("timm:tiny_net")
        load("timm:tiny_net", pretrained=True)
        import timm  # type: ignore[import-not-found, unused-ignore]

        assert [("1", False), (os.environ.get("HF_HUB_OFFLINE"), True)] == timm.CALLS


@usefixtures("stand_ins")
class TestTorchvision:
    def test_its_card(self) -> None:
        model = load("torchvision:tiny")
        assert model.input_shape == (1, 3, 32, 32)
        assert model.preprocessing is not None
        assert (model.preprocessing.crop, model.preprocessing.interpolation) == (0.5, "bilinear")
        assert model.library is not None
        assert model.library.classes == ("cat", "dog", "newt")

    def test_weights_by_their_tag(self) -> None:
        assert float(weight(load("torchvision:tiny.V1", pretrained=True), "head.bias")[0]) == 1
        newest = load("torchvision:tiny", pretrained=True)
        assert float(weight(newest, "head.bias")[0]) == 2
        assert newest.weights.library == "torchvision 1.2.3, tiny.V2"

    def test_no_backbone_is_downloaded(self) -> None:
        assert not load("torchvision:tiny_segmenter", num_classes=2).weights.trained

    def test_of_a_detector_it_is_the_head(self) -> None:
        text = {"task": "detect", "scores": {"output": "cls_logits", "activation": "softmax", "background": "first"}}
        boxes = {"output": "cls_logits", "columns": [0, 4], "format": "xyxy", "unit": "pixels"}
        declaration = DetectorDeclaration.model_validate({**text, "boxes": boxes})
        head = HeadOptions(declaration=declaration)
        model = load("torchvision:tiny_detector", task="detect", num_classes=4, head=head)
        assert model.input_shape == (1, 3, 32, 48)
        assert model.preprocessing is not None
        assert model.preprocessing.mean == (0.5, 0.5, 0.5)
        assert model.head is not None
        assert (model.head.num_classes, model.head.classes.names) == (3, ())
        three = declaration.model_copy(update={"boxes": Boxes(**{**boxes, "columns": None, "output": "b"})})
        with pytest.raises(CatalogError, match="no output is called 'b'"):
            load("torchvision:tiny_detector", task="detect", head=HeadOptions(declaration=three))

    @pytest.mark.parametrize(
        ("name", "hint"), [("tinny", "did you mean 'tiny'?"), ("tiny.V3", "it has V1, V2, DEFAULT")]
    )
    def test_names_that_it_does_not_have(self, name: str, hint: str) -> None:
        with pytest.raises(CatalogError) as caught:
            load(f"torchvision:{name}")
        assert caught.value.hint == hint


CONFIG = {"architectures": ["TinyForImageClassification"], "id2label": {"0": "cat", "1": "dog"}}
PROCESSOR = {
    "do_resize": True,
    "size": {"shortest_edge": 40},
    "do_center_crop": True,
    "crop_size": {"height": 32, "width": 32},
    "do_rescale": True,
    "rescale_factor": 1 / 127.5,
    "do_normalize": True,
    "image_mean": [1.0, 1.0, 1.0],
    "image_std": [1.0, 1.0, 1.0],
    "resample": 3,
    "do_flip_channel_order": True,
}
WEIGHTS = {
    "stem.weight": torch.ones(4, 3, 3, 3),
    "stem.bias": torch.ones(4),
    "classifier.weight": torch.ones(2, 4),
    "classifier.bias": torch.tensor([1.0, 2.0]),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model as transformers saves one."""
    place = tmp_path / "saved"
    place.mkdir()
    (place / "config.json").write_text(json.dumps(CONFIG))
    (place / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    save_file(WEIGHTS, place / "model.safetensors")
    return place


def configure(folder: Path, **entries: Any) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **entries}))


@usefixtures("stand_ins")
class TestHuggingFace:
    def test_weights_and_card_of_the_folder(self, folder: Path) -> None:
        model = load(f"hf:{folder}", require_trained=True)
        assert model.name == "hf_saved"
        assert model.input_shape == (1, 3, 32, 32)
        assert model.weights.library == "transformers 1.2.3, saved"
        assert model.weights.path == str(folder)
        assert model.library is not None
        assert model.library.classes == ("cat", "dog")
        assert list(model.module(torch.zeros(1, 3, 8, 8))) == ["logits"]

    def test_its_preprocessing_is_that_of_the_processor(self, folder: Path) -> None:
        card = load(f"hf:{folder}").preprocessing
        assert card is not None
        pixels = np.array([0, 100, 255])
        ours = (pixels / 255 - card.mean[0]) / card.std[0]
        assert np.allclose(ours, (pixels / 127.5 - 1) / 1, atol=1e-12)  # rescaled, then normalised
        assert (card.crop, card.color, card.interpolation) == (0.8, "BGR", "bicubic")

    def test_shards(self, folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        names = sorted(WEIGHTS)
        parts = {"part-1.safetensors": names[:2], "part-2.safetensors": names[2:]}
        for part, held in parts.items():
            save_file({name: WEIGHTS[name] for name in held}, folder / part)
        index = {"weight_map": {name: part for part, held in parts.items() for name in held}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        assert weight(load(f"hf:{folder}"), "model.classifier.bias").tolist() == [1, 2]
        index["weight_map"]["stem.bias"] = "../elsewhere.safetensors"
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(CheckpointError, match=r"\.\./elsewhere\.safetensors', which is no file beside it"):
            load(f"hf:{folder}")

    def test_a_checkpoint_in_place_of_the_folders_weights(self, folder: Path, tmp_path: Path) -> None:
        save_file({**WEIGHTS, "classifier.bias": torch.tensor([5.0, 6.0])}, tmp_path / "own.safetensors")
        model = load(f"hf:{folder}", checkpoint=tmp_path / "own.safetensors")
        assert weight(model, "model.classifier.bias").tolist() == [5, 6]
        assert model.weights.library is None

    def test_random_weights_where_there_are_none(self, folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        assert not load(f"hf:{folder}").weights.trained
        with pytest.raises(CheckpointError, match=r"has no model\.safetensors"):
            load(f"hf:{folder}", pretrained=True)
        torch.save(WEIGHTS, folder / "pytorch_model.bin")
        with pytest.raises(CheckpointError, match="and no safetensors") as caught:
            load(f"hf:{folder}")
        assert caught.value.hint == f"add --checkpoint {folder / 'pytorch_model.bin'}"

    def test_nothing_is_filled_in(self, folder: Path) -> None:
        held = {name: value for name, value in WEIGHTS.items() if name != "stem.bias"}
        save_file({**held, "neck.weight": torch.ones(1)}, folder / "model.safetensors")
        with pytest.raises(CheckpointError, match=r"lack stem\.bias"):
            load(f"hf:{folder}")
        save_file({**WEIGHTS, "neck.weight": torch.ones(1)}, folder / "model.safetensors")
        assert load(f"hf:{folder}").weights.not_loaded == ("neck.weight",)
        with pytest.raises(CheckpointError, match=r"another shape of classifier\.\w+ \(2"):
            load(f"hf:{folder}", num_classes=3)

    def test_entries_of_the_configuration(self, folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        model = load(f"hf:{folder}", num_classes=3, arguments={"width": 5})
        assert weight(model, "model.classifier.weight").shape == (3, 5)
        with pytest.raises(UsageError, match="TinyConfig has no widht") as caught:
            load(f"hf:{folder}", arguments={"widht": 5})
        assert caught.value.hint == "did you mean width?"

    @pytest.mark.parametrize(
        ("entries", "message"),
        [
            ({"architectures": ["OwnNet"], "auto_map": {"AutoModel": "own.OwnNet"}}, "names OwnNet, which is no model"),
            ({"architectures": ["no_model"]}, "names no_model, which is no model"),
            ({"architectures": ["json"]}, "names json, which is no model"),
            ({"architectures": ["__import__('os')"]}, "which is no model"),
            ({"architectures": []}, "names no architecture"),
            ({"architectures": 3}, "names no architecture"),
            ({"architectures": ["TinyForText"]}, "takes input_ids and not pixel_values"),
            ({"quantization_config": {"bits": 4}}, "are quantised"),
        ],
    )
    def test_what_is_no_model_of_images(self, folder: Path, entries: dict[str, Any], message: str) -> None:
        (folder / "own.py").write_text("raise SystemExit('ran')\n")
        configure(folder, **entries)
        with pytest.raises(CatalogError) as caught:
            load(f"hf:{folder}")
        assert message in caught.value.message

    @pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, "\x00"])
    def test_damaged_configurations(self, folder: Path, content: str) -> None:
        (folder / "config.json").write_text(content)
        with pytest.raises(CatalogError):
            load(f"hf:{folder}")
        (folder / "config.json").write_text(json.dumps(CONFIG))
        (folder / "preprocessor_config.json").write_text(content)
        with pytest.raises(CatalogError):
            load(f"hf:{folder}")

    def test_damaged_weights_and_no_folder(self, folder: Path) -> None:
        data = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
        with pytest.raises(CheckpointError, match="cannot be loaded"):
            load(f"hf:{folder}")
        with pytest.raises(CatalogError, match=r"takes a folder with config\.json"):
            load(f"hf:{folder / 'none'}")


def test_offline_ends_where_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    with offline():
        assert os.environ["HF_HUB_OFFLINE"] == os.environ["TRANSFORMERS_OFFLINE"] == "1"
    assert os.environ["HF_HUB_OFFLINE"] == "0"
    assert "TRANSFORMERS_OFFLINE" not in os.environ


def test_a_digest_tells_weights_apart() -> None:
    module = nn.Linear(2, 2)
    before = digest_of(module)
    assert digest_of(module) == before
    with torch.no_grad():
        module.bias[1] += 1e-7
    assert digest_of(module) != before


def test_names_of_classes_are_distinct() -> None:
    assert distinct(["crane", "dog", "crane"]) == ("crane (0)", "dog", "crane (2)")
