"""Damaged weights: each ends in exit 3 with the tensor's name, whether or not the outputs show it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from typer.testing import Result

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.pipeline.provenance import parse
from mobilevit_deploy.targets.contents import EACH, GRAPH, TENSORS, Integrity, compare, note
from mobilevit_deploy.targets.registry import read_contents
from mobilevit_deploy.verification.integrity import report_change
from mobilevit_deploy.verification.report import VerifyFailedError, VerifyReport
from mobilevit_deploy.verification.verify import VerifyRequest, verify_artifact
from tests.support.damage.forget import forget
from tests.support.damage.kinds import KINDS
from tests.support.damage.make import caught, draw
from tests.support.damage.subjects import NET, SUBJECTS, Subject
from tests.support.schemas import check as check_document
from tests.targets.coreml.mil.conftest import body_of, edit_model

pytestmark = pytest.mark.filterwarnings("ignore")  # the converters' own warnings

Mvd = Callable[..., Result]

QUICK = [Subject("onnx", "fp32"), Subject("coreml", "w8")]


def verify(path: Path, **settings: Any) -> VerifyReport:
    return verify_artifact(VerifyRequest(path, **settings))


@pytest.fixture(scope="module", params=QUICK, ids=str)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = request.param.export(tmp_path_factory.mktemp("exported"))
    return path


def test_each_kind_of_damage_is_caught_and_named(exported: Path, tmp_path: Path) -> None:
    copy = tmp_path / exported.name
    assert [caught(damage, exported, copy) for damage in draw(exported, len(KINDS), seed=0)] == [None] * len(KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_a_hundred_damages_of_each_precision(subject: Subject, tmp_path: Path) -> None:
    path = subject.export(tmp_path / "exported")
    found = [caught(damage, path, tmp_path / path.name) for damage in draw(path, 100, seed=1)]
    assert [reason for reason in found if reason] == []


def test_what_nobody_changed_is_intact(exported: Path) -> None:
    report = verify(exported, model=NET)
    assert (report.integrity.status, report.integrity.changed, report.integrity.graph_changed) == ("intact", (), False)
    assert report.integrity.tensors >= 13
    assert {tensor.module for tensor in contents_of(exported).tensors} >= {"stem", "first.expand", "head"}
    assert all(tensor.module is not None for tensor in contents_of(exported).tensors)


def contents_of(path: Path) -> Any:
    contents = read_contents(path)
    assert contents is not None
    return contents


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float32 ONNX file of the small network."""
    return Subject("onnx", "fp32").export(tmp_path_factory.mktemp("plain"))


def edited(path: Path, copy: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(path)
    change(model)
    onnx.save(model, str(copy))
    return copy


def test_the_message_and_the_document_name_the_tensor(plain: Path, tmp_path: Path, mvd: Mvd) -> None:
    (damage,) = [
        item for item in draw(plain, 40, seed=0, kinds=["one sign flipped"]) if item.place.name == "stem.bias"
    ][:1]
    copy = damage.write(plain, tmp_path / plain.name)
    result = mvd("verify", copy, "--json")  # without the model, which is code of the user's own
    assert result.exit_code == 3
    assert "tensor stem.bias of module stem differs from what was exported: 1 of 13 tensors" in result.stderr
    document = check_document("verify", result.stdout)
    assert document["integrity"]["changed"] == [{"name": "stem.bias", "module": "stem"}]
    assert (document["parity"]["status"], document["parity"]["legs"]) == ("failed", [])
    result = mvd("inspect", copy)
    assert (result.exit_code, "stem.bias of module stem" in result.stdout) == (0, True)
    assert mvd("inspect", copy, "--strict").exit_code == 3
    assert mvd("inspect", plain, "--strict").exit_code == 0


@pytest.mark.parametrize(
    ("noted", "origin"),
    [
        ({"weights": "best.pth", "weights_sha256": "0" * 64, "weights_key": "ema"}, ("best.pth", None, "ema")),
        ({"weights": "timm 1.0, net", "pretrained": "true"}, (None, "timm 1.0, net", None)),
        ({"weights": "no checkpoint given", "trained": "false"}, (None, None, None)),
    ],
)
def test_the_weights_are_named_where_nobody_looks_for_them(
    plain: Path, noted: dict[str, str], origin: tuple[str | None, ...]
) -> None:
    """Of a copy without the report that knows the path."""
    entries = {"model": "net", "task": "classify", "trained": "true", "recipe": "onnx", "precision": "fp32", **noted}
    said = parse({f"mvd.{key}": value for key, value in entries.items()}, plain.name)
    assert said
    weights = report_change(plain, Integrity("changed"), said, 0.0).weights
    assert (weights.path, weights.library, weights.key) == origin
    assert weights.trained == (noted.get("trained") is None)


def test_sizes_in_another_file_are_called_that(plain: Path, tmp_path: Path) -> None:
    """ONNX Runtime needs them before it opens that file."""
    path = tmp_path / "a.onnx"
    onnx.save(onnx.load(plain), str(path), save_as_external_data=True, location="a.data", size_threshold=0)
    with pytest.raises(ArtifactError, match=r"sizes and axes .* stand in another file; .* size_threshold=1024"):
        verify(path, model=NET)
    onnx.save(onnx.load(path), str(path), save_as_external_data=True, location="b.data", size_threshold=1024)
    assert verify(path, model=NET).parity.status == "passed"


def test_located_damage_is_compared_as_well(plain: Path, tmp_path: Path) -> None:
    (damage,) = draw(plain, 1, seed=5, kinds=["4 KiB of zeros"])
    with pytest.raises(VerifyFailedError) as failure:
        verify(damage.write(plain, tmp_path / plain.name), model=NET, locate=True)
    report = failure.value.report
    assert report.integrity.changed[0].name == damage.place.name
    assert report.parity.legs
    assert report.divergence is not None
    assert report.divergence.module == report.integrity.changed[0].module


def test_a_changed_graph_is_caught_where_the_outputs_do_not_show_it(plain: Path, tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node[0].name = "another"

    path = edited(plain, tmp_path / "a.onnx", change)
    with pytest.raises(VerifyFailedError, match="graph differs from what was exported") as failure:
        verify(path)  # the model is not needed, nor its checkpoint
    report = failure.value.report
    assert (report.integrity.changed, report.integrity.graph_changed, report.parity.legs) == ((), True, ())
    with pytest.raises(VerifyFailedError, match="graph differs from what was exported") as failure:
        verify(path, model=NET, locate=True)
    report = failure.value.report
    assert all(leg.passed for leg in report.parity.legs)
    assert report.parity.legs


def test_two_tensors_in_each_others_place_are_both_named(plain: Path, tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        weights = {item.name: item for item in model.graph.initializer}
        one, other = weights["first.expand.weight"], weights["second.expand.weight"]
        one.raw_data, other.raw_data = other.raw_data, one.raw_data

    with pytest.raises(VerifyFailedError, match=r"first\.expand\.weight.*second\.expand\.weight.*2 of 13 tensors"):
        verify(edited(plain, tmp_path / "a.onnx", change))


def test_what_is_stored_otherwise_is_no_damage(plain: Path, tmp_path: Path) -> None:
    def add_notes(model: onnx.ModelProto) -> None:
        model.metadata_props.add(key="author", value="somebody")

    assert compare(contents_of(edited(plain, tmp_path / "a.onnx", add_notes))).status == "intact"
    onnx.save(onnx.load(plain), str(tmp_path / "b.onnx"), save_as_external_data=True, location="b.data")
    assert compare(contents_of(tmp_path / "b.onnx")).status == "intact"
    weights = tmp_path / "b.data"
    weights.write_bytes(bytes(100) + weights.read_bytes()[100:])
    assert compare(contents_of(tmp_path / "b.onnx")).changed != ()


def test_files_without_digests_are_said_to_have_none(plain: Path, tmp_path: Path) -> None:
    report = verify(edited(plain, tmp_path / plain.name, forget), model=NET)
    assert (report.parity.status, report.integrity.status, report.unseen) == ("passed", "not noted", 1e-5)
    assert "less than 1e-05 of the largest value may not be seen" in report.notes[0]


class TestPackage:
    @pytest.fixture(scope="class")
    def package(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return Subject("coreml", "fp32").export(tmp_path_factory.mktemp("package"))

    @pytest.fixture
    def copy(self, package: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(package, tmp_path / package.name))

    def test_what_xcode_edits_is_no_damage(self, copy: Path) -> None:
        notes = note(contents_of(copy))

        def describe(model: Any) -> None:
            model.description.metadata.author = "somebody"
            model.description.input[0].shortDescription = "an image"

        edit_model(copy, describe)
        assert note(contents_of(copy)) == notes

    def test_a_weight_whose_head_is_gone_is_named(self, copy: Path) -> None:
        weights = copy / "Data/com.apple.CoreML/weights/weight.bin"
        content = bytearray(weights.read_bytes())
        content[64:4160] = bytes(4096)  # behind the file's own head, that of the first weight
        weights.write_bytes(content)
        with pytest.raises(VerifyFailedError, match="of module stem"):
            verify(copy)

    @pytest.mark.parametrize(("left", "module"), [(0.999, "head"), (0.5, "head"), (0.0, "stem")])
    def test_what_a_weight_file_lacks_is_named(self, copy: Path, left: float, module: str) -> None:
        weights = copy / "Data/com.apple.CoreML/weights/weight.bin"
        content = weights.read_bytes()
        weights.write_bytes(content[: int(left * len(content))])
        with pytest.raises(VerifyFailedError, match=f"of module {module}"):
            verify(copy)

    def test_a_package_of_others_that_is_cut_short_cannot_be_read(self, copy: Path) -> None:
        edit_model(copy, lambda model: model.description.metadata.userDefined.clear())
        weights = copy / "Data/com.apple.CoreML/weights/weight.bin"
        weights.write_bytes(weights.read_bytes()[:-1000])
        with pytest.raises(ArtifactError, match="does not fit the model"):
            verify(copy, model=NET)

    def test_another_operation_is_another_graph(self, copy: Path) -> None:
        before = note(contents_of(copy))

        def change(model: Any) -> None:
            next(item for item in body_of(model).operations if item.type == "gelu").type = "relu"

        edit_model(copy, change)
        after = note(contents_of(copy))
        assert (after[TENSORS], after[EACH]) == (before[TENSORS], before[EACH])
        assert after[GRAPH] != before[GRAPH]
