"""From a MODEL argument to a module: names, options that the checkpoint decides, and every tensor accounted for."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mobilevit_deploy.errors import CatalogError, CheckpointError, ModelCodeError, UsageError
from mobilevit_deploy.loading.catalog_model import model_of_file
from mobilevit_deploy.loading.checkpoint import Selection
from mobilevit_deploy.loading.model import ModelRequest, load_model
from tests.conftest import RESEARCH

SIZE = (64, 64)


def weights_of(name: str = "cas_vit_xs", **options: Any) -> dict[str, Tensor]:
    return dict(load_model(ModelRequest(name, size=SIZE, **options)).module.state_dict())


def load(path: Path, content: Any, **options: Any) -> Any:
    torch.save(content, path / "c.pth")
    return load_model(ModelRequest("cas_vit_xs", checkpoint=path / "c.pth", size=SIZE, **options))


def test_the_checkpoint_decides_classes_and_heads(tmp_path: Path) -> None:
    weights = weights_of(num_classes=7)
    assert load(tmp_path, weights).module.dist_head is None
    two_heads = {**weights, "dist_head.weight": torch.ones(7, 220), "dist_head.bias": torch.ones(7)}
    model = load(tmp_path, {"model": two_heads})
    assert torch.equal(model.module.dist_head.weight, torch.ones(7, 220))
    assert model.module(torch.zeros(1, 3, *SIZE)).shape == (1, 7)


def test_prefixes_and_half_precision(tmp_path: Path) -> None:
    weights = weights_of(num_classes=7)
    stored = {f"module.model.{name}": value.half() if value.ndim > 1 else value for name, value in weights.items()}
    loaded = load(tmp_path, {"state_dict": stored}).module.state_dict()
    assert loaded["head.weight"].dtype == torch.float32
    assert torch.equal(loaded["head.weight"], weights["head.weight"].half().float())
    assert torch.equal(loaded["norm.running_var"], weights["norm.running_var"])


def test_a_detector_gives_its_backbone(tmp_path: Path) -> None:
    weights = weights_of(task="features")
    detector = {f"backbone.{name}": value for name, value in weights.items()}
    detector |= {"neck.conv.weight": torch.ones(1), "bbox_head.fc.bias": torch.ones(1)}
    model = load(tmp_path, {"state_dict": detector, "meta": {}}, task="features")
    assert model.weights.not_loaded == ("meta", "neck.conv.weight", "bbox_head.fc.bias")
    assert torch.equal(model.module.norm6.weight, weights["norm6.weight"])
    with pytest.raises(CheckpointError, match=r"unexpected: neck\.conv\.weight"):
        load(tmp_path, {"state_dict": {**weights, "neck.conv.weight": torch.ones(1)}}, task="features")


def test_nothing_is_filled_in(tmp_path: Path) -> None:
    weights = weights_of()
    weights["network.0.0.attn.dwc.wieght"] = weights.pop("network.0.0.attn.dwc.weight")
    with pytest.raises(CheckpointError) as caught:
        load(tmp_path, weights)
    message = caught.value.message
    assert "missing: network.0.0.attn.dwc.weight (nearest: network.0.0.attn.dwc.wieght)" in message
    assert "unexpected: network.0.0.attn.dwc.wieght (nearest: network.0.0.attn.dwc.weight)" in message


def test_other_shapes_are_told_beside_other_names(tmp_path: Path) -> None:
    weights = weights_of()
    weights["more"] = weights["norm.bias"]
    weights["norm.weight"] = torch.ones(3)
    with pytest.raises(CheckpointError, match="names fit") as caught:
        load(tmp_path, weights)
    assert "norm.weight: the model has (220,), the checkpoint (3,)" in caught.value.message


def test_a_counter_that_inference_does_not_use_may_be_absent(tmp_path: Path) -> None:
    weights = weights_of()
    del weights["norm.num_batches_tracked"]
    model = load(tmp_path, weights)
    assert model.weights.not_loaded == ("1 x num_batches_tracked (absent, and not used in inference)",)


def test_classes_of_the_head(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has 1000 classes in head\.weight, not the 999") as caught:
        load(tmp_path, weights_of(), num_classes=999)
    assert caught.value.hint == "give --num-classes 1000, or leave it out"


def test_another_variant_and_another_task_are_recognised(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"patch_embed\.0\.weight|of other shapes|names fit") as caught:
        load(tmp_path, weights_of("cas_vit_m"))
    assert caught.value.hint == "these weights fit cas_vit_m with --task classify"
    with pytest.raises(CheckpointError, match=r"missing: norm\.weight") as caught:
        load(tmp_path, weights_of(task="features"))
    assert caught.value.hint == "these weights fit cas_vit_xs with --task features"


def test_a_file_tells_which_model_it_is_of(tmp_path: Path) -> None:
    torch.save({"model": weights_of("cas_vit_m")}, tmp_path / "best.pth")
    assert model_of_file(tmp_path / "best.pth") == ("cas_vit_m", "classify")
    torch.save(nn.Conv2d(3, 8, 3).state_dict(), tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other\.pth fit none of mvd's models") as caught:
        model_of_file(tmp_path / "other.pth")
    assert "mvd export MODEL --checkpoint" in str(caught.value.hint)
    torch.export.save(torch.export.export(nn.Conv2d(3, 8, 3), (torch.zeros(1, 3, 8, 8),)), tmp_path / "other.pt2")
    with pytest.raises(CheckpointError, match=r"other\.pt2 fit none of mvd's models") as caught:
        model_of_file(tmp_path / "other.pt2")
    assert "a function that returns torch.export.load(...).module() is one too" in str(caught.value.hint)


def test_a_module_that_asks_for_the_version_of_its_form(tmp_path: Path) -> None:
    """As torchvision's MNASNet does."""
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Conv2d):\n"
        "    _version = 2\n"
        "    def _load_from_state_dict(self, state, prefix, own, *more):\n"
        "        if own.get('version') != 2:\n"
        "            raise ValueError('version should be set')\n"
        "        super()._load_from_state_dict(state, prefix, own, *more)\n"
        "def build():\n"
        "    return Net(3, 2, 1)\n"
    )
    weights = {"weight": torch.ones(2, 3, 1, 1), "bias": torch.ones(2)}
    torch.save(weights, tmp_path / "a.pth")
    request = ModelRequest(f"{tmp_path / 'net.py'}:build", size=(8, 8), checkpoint=tmp_path / "a.pth")
    assert load_model(request).module.state_dict()["bias"].tolist() == [1, 1]


def test_another_family(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"0 of 522 names fit\n  missing: patch_embed\.0\.weight"):
        load(tmp_path, nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8, 10)).state_dict())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_values(tmp_path: Path, value: float) -> None:
    weights = weights_of()
    weights["network.2.1.mlp.fc1.bias"][3] = value
    with pytest.raises(CheckpointError, match=r"NaN or infinite values in 1 tensors: network\.2\.1\.mlp\.fc1\.bias"):
        load(tmp_path, weights)


def test_wrong_kinds_of_tensors(tmp_path: Path) -> None:
    weights = weights_of()
    weights["head.bias"] = weights["head.bias"].to(torch.int8)
    with pytest.raises(CheckpointError, match=r"head\.bias is torch\.int8"):
        load(tmp_path, weights)


def test_two_models_in_one_file(tmp_path: Path) -> None:
    weights = weights_of()
    with pytest.raises(CheckpointError, match=r"both .* could be head\.bias"):
        load(tmp_path, {**weights, "module.head.bias": weights["head.bias"]})


def test_sizes_are_refused_before_anything_is_built() -> None:
    with pytest.raises(CatalogError, match="225x225 has 225") as caught:
        load_model(ModelRequest("cas_vit_xs", size=(225, 225)))
    assert caught.value.hint == "the nearest are --input-size 224 and --input-size 256"


def test_untrained_weights_are_seeded_and_refused_on_request() -> None:
    first, second = weights_of(), weights_of()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["norm.running_var"], torch.ones(220)), "norms must not be the identity"
    with pytest.raises(UsageError, match="--require-trained"):
        load_model(ModelRequest("cas_vit_xs", require_trained=True))


def test_unknown_model() -> None:
    with pytest.raises(CatalogError, match="no model named 'cas_vit_xl'") as caught:
        load_model(ModelRequest("cas_vit_xl"))
    assert "did you mean 'cas_vit_" in str(caught.value.hint)


def test_code_of_the_users_own(tmp_path: Path) -> None:
    model = load_model(ModelRequest(f"{RESEARCH / 'additive_net.py'}:build", size=SIZE))
    assert model.name == "additive_net_build"
    assert not model.module.training
    torch.save({"net": {f"module.{k}": v + 1 for k, v in model.module.state_dict().items()}}, tmp_path / "c.pth")
    trained = load_model(ModelRequest(f"{RESEARCH / 'additive_net.py'}:build", checkpoint=tmp_path / "c.pth"))
    assert trained.weights.key == "net"
    assert torch.equal(trained.module.state_dict()["head_a.bias"], model.module.state_dict()["head_a.bias"] + 1)


def test_a_module_on_the_python_path() -> None:
    assert load_model(ModelRequest("tests.research.additive_net:build", size=SIZE)).name == "additive_net_build"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nowhere/net.py:build", "there is no file nowhere/net.py"),
        ("no_such_package.net:build", "importing no_such_package.net failed: ModuleNotFoundError"),
        (f"{RESEARCH / 'additive_net.py'}:not_a_module", "returned a str"),
    ],
)
def test_code_that_does_not_work(reference: str, message: str) -> None:
    with pytest.raises(ModelCodeError, match=message):
        load_model(ModelRequest(reference))


def test_classes_are_for_code_that_takes_them() -> None:
    with pytest.raises(UsageError, match=r"--num-classes, but .*:build takes no num_classes"):
        load_model(ModelRequest(f"{RESEARCH / 'additive_net.py'}:build", num_classes=3))


def test_parts_beside_the_model_of_a_training_module(tmp_path: Path) -> None:
    weights = {f"model.{name}": value for name, value in weights_of().items()}
    trained = {"state_dict": {**weights, "loss.weight": torch.ones(3), "ema.decay": torch.ones(1)}, "epoch": 3}
    assert load(tmp_path, trained).weights.not_loaded == ("epoch", "loss.weight", "ema.decay")


def test_the_averaged_model_of_torch(tmp_path: Path) -> None:
    model = load_model(ModelRequest("cas_vit_xs", size=SIZE)).module
    averaged = torch.optim.swa_utils.AveragedModel(model)
    assert load(tmp_path, averaged.state_dict()).weights.trained


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise SystemExit(3)", "failed: SystemExit: 3"),
        ("with torch.device('meta'):\n        return torch.nn.Linear(2, 2)", "meta tensors"),
    ],
)
def test_code_that_ends_the_process_or_has_no_values(tmp_path: Path, body: str, message: str) -> None:
    (tmp_path / "odd_net.py").write_text(f"import torch\n\n\ndef build():\n    {body}\n")
    with pytest.raises(ModelCodeError, match=message):
        load_model(ModelRequest(f"{tmp_path / 'odd_net.py'}:build"))


def test_weights_cannot_be_chosen_without_a_checkpoint() -> None:
    with pytest.raises(UsageError, match="--weights ema, but no checkpoint"):
        load_model(ModelRequest("cas_vit_xs", selection=Selection("ema")))
