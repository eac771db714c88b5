"""Cards, recipes and devices: every file parses, and a wrong one says what is wrong."""

from pathlib import Path

import pytest

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.formats import default_targets, formats
from mobilevit_deploy.catalog.head_declaration import DetectorDeclaration
from mobilevit_deploy.catalog.target_names import TARGETS
from mobilevit_deploy.errors import CatalogError
from mobilevit_deploy.targets.registry import target
from tests.conftest import RESEARCH

ROOT = Path(__file__).parents[2]

INSTALLED = "mobilevit_deploy.catalog.formats.installed_targets"


def test_every_file_of_the_data_folders_is_an_entry() -> None:
    families = {path.stem for path in (ROOT / "models").glob("*") if path.name != "heads"}
    assert {card.family.family for card in catalog.models().values()} == families
    assert {card.head for card in catalog.heads().values()} == {p.stem for p in (ROOT / "models/heads").glob("*")}
    assert set(catalog.recipes()) == {path.stem for path in (ROOT / "export_recipes").glob("*")}
    assert set(catalog.devices()) == {path.stem for path in (ROOT / "devices").glob("*")}
    architectures = {path.stem for path in (ROOT / "mobilevit_deploy/architectures").glob("[!_]*.py")}
    assert architectures == families
    for card in catalog.heads().values():
        assert (ROOT / f"mobilevit_deploy/architectures/heads/{card.head}.py").is_file()
    assert catalog.DEFAULT_MODEL in catalog.models()


def test_every_target_has_a_file_and_a_recipe_of_its_name() -> None:
    assert list(formats()) == list(TARGETS)
    for name in TARGETS:
        assert catalog.recipe(name).target == name
        folder = ROOT / "mobilevit_deploy" / "targets" / name
        assert all((folder / f"{part}.py").is_file() for part in ("__init__", "convert", "runner"))
    with pytest.raises(CatalogError, match="no target 'tflite'"):
        target("tflite")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("version", "verzion"), "verzion: there is no such key; did you mean version?"),
        (('default_precision = "fp32"', "default_precision = 32"), "default_precision: must be 'fp32'"),
        (('default_precision = "fp32"', 'default_precision = "w8"'), "no tolerances for the default precision w8"),
        (("max_rel = 1e-5", 'max_rel = "small"'), "tolerances.fp32.max_rel"),
        (("[version]", "[version"), "is not TOML"),
    ],
)
def test_a_wrong_recipe_says_what_is_wrong(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text((ROOT / "export_recipes/onnx.toml").read_text().replace(*change))
    with pytest.raises(CatalogError, match=message.replace(".", r"\.")):
        catalog.recipe(str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('head = "retinanet"', 'head = "../retinanet"'), "head: String should match pattern"),
        (('task = "detect"', 'task = "classify"'), "task: must be 'segment'"),
        (('outputs = ["nms", "boxes", "raw"]', 'outputs = ["boxes"]'), "a head with the output nms, and no other"),
        (("outputs = [", "outputs = []\nothers = ["), "outputs: is empty"),
        (("iou_threshold = 0.5", "iou_threshold = 1.5"), "suppression.iou_threshold"),
        (("max_detections = 100", "max_detections = 1_000_000_000"), "suppression.max_detections"),
        (("strides = [8, 16, 32]", ""), "strides: is missing"),
    ],
)
def test_a_wrong_head_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], message: str
) -> None:
    text = (ROOT / "models/heads/retinanet.toml").read_text()
    assert change[0] in text
    (tmp_path / "heads").mkdir()
    (tmp_path / "heads" / "mine.toml").write_text(text.replace(*change))
    monkeypatch.setattr(catalog, "_folder", lambda _name: tmp_path)
    with pytest.raises(CatalogError, match=message.replace(".", r"\.")):
        catalog.heads.__wrapped__()


@pytest.mark.parametrize(
    ("card", "change", "message"),
    [
        ("pixel_8", ('abi = "arm64-v8a"', ""), "an Android phone's profile has chip, abi, delegates and identifiers"),
        ("pixel_8", ('"gpu"', '"tpu"'), "delegates\\[1\\]: must be 'cpu'"),
        ("iphone_15", ('chip = "A16 Bionic"', ""), "an iPhone's profile has chip, os_floor and identifiers"),
    ],
)
def test_a_wrong_device_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, card: str, change: tuple[str, str], message: str
) -> None:
    text = (ROOT / f"devices/{card}.toml").read_text()
    assert change[0] in text
    (tmp_path / f"{card}.toml").write_text(text.replace(*change))
    monkeypatch.setattr(catalog, "_folder", lambda _name: tmp_path)
    with pytest.raises(CatalogError, match=message):
        catalog.devices.__wrapped__()


def test_a_recipe_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text((ROOT / "export_recipes/onnx.toml").read_text().replace('name = "onnx"', 'name = "mine"', 1))
    assert catalog.recipe(str(path)).name == "mine"
    with pytest.raises(CatalogError, match="cannot read"):
        catalog.recipe(str(tmp_path / "none.toml"))


def test_unknown_names_come_with_the_nearest() -> None:
    with pytest.raises(CatalogError) as caught:
        catalog.recipe("onx")
    assert caught.value.hint == "did you mean 'onnx'?"
    with pytest.raises(CatalogError) as caught:
        catalog.device("toaster")
    assert "the devices are: " in str(caught.value.hint)


def test_what_an_export_writes_where_no_target_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(INSTALLED, lambda: ["coreai", "coreml", "onnx"])
    assert default_targets() == ["coreml", "onnx"]
    one_image = {
        name: known.model_copy(update={"takes_several_inputs": name == "onnx"}) for name, known in formats().items()
    }
    monkeypatch.setattr("mobilevit_deploy.catalog.formats.formats", lambda: one_image)
    assert default_targets(several_inputs=True) == ["onnx"]
    monkeypatch.setattr(INSTALLED, lambda: ["onnx"])
    assert default_targets() == ["onnx"]


def test_a_familys_rule_of_int8_holds_within_a_model_with_a_head() -> None:
    rule = catalog.models()["cas_vit_xs"].family.quantization
    assert rule is not None
    assert rule.keeps_float("patch_embed.0")
    assert not rule.keeps_float("")
    within = rule.within("backbone")
    assert within.keeps_float("backbone.patch_embed.0")
    assert not within.keeps_float("backbone.patch_embed.3")
    assert not within.keeps_float("bbox_head.retina_cls")
    assert within.keeps_float(""), "boxes are made in float32"


def test_keys_of_a_suppression_have_defaults_one_by_one(tmp_path: Path) -> None:
    text = (RESEARCH / "heads" / "fcos.toml").read_text().partition("[suppression]")[0]
    file = tmp_path / "head.toml"
    file.write_text(f"{text}\n[suppression]\nscore_threshold = 0.2\n")
    asked = catalog.head_declaration(file)
    file.write_text(text)
    silent = catalog.head_declaration(file)
    known = catalog.heads()["detect"].suppression
    assert isinstance(asked, DetectorDeclaration)
    assert isinstance(silent, DetectorDeclaration)
    assert known is not None
    assert asked.suppression.settings == (1000, 0.2, 0.5, 100, False), "candidates of each level"
    assert silent.suppression.settings == known.settings, "MMDetection's RetinaNet"
