"""What a sweep's file comes to, and what in it is refused."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mobilevit_deploy.errors import CatalogError, MvdError, UsageError
from mobilevit_deploy.report.matrix.record import MOST_CELLS
from mobilevit_deploy.sweep.cells import PlannedCell, cells_of
from mobilevit_deploy.sweep.digest import digests_of, own_code
from mobilevit_deploy.sweep.plan import read_sweep
from mobilevit_deploy.sweep.run import SweepRequest, run_sweep

SMALL = """
[matrix]
models = ["cas_vit_xs"]
targets = ["onnx"]
"""
TOO_MANY = f"""
[matrix]
models = {[f"net.py:build{number}" for number in range(999)]}
targets = ["onnx"]
sizes = {list(range(1, 30))}
"""
Cells = Callable[[str], list[PlannedCell]]


@pytest.fixture
def cells(tmp_path: Path) -> Cells:
    """Returns the cells of a file of that text."""
    (tmp_path / "net.py").touch()

    def read(text: str) -> list[PlannedCell]:
        (tmp_path / "sweep.toml").write_text(text)
        return cells_of(read_sweep(tmp_path / "sweep.toml"), tmp_path)

    return read


def test_a_matrix_is_every_combination_in_order(cells: Cells, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "best.pth").touch()
    found = cells(
        """
        [matrix]
        models = ["cas_vit_xs", { model = "net.py:build", checkpoints = [], options = { num_classes = 4 } }]
        checkpoints = ["runs/*/best.pth"]
        targets = ["onnx", "coreml"]
        precisions = ["fp32"]
        sizes = [64, "96x64"]
        """
    )
    assert len(found) == 2 * 2 * 2 + 2 * 2
    assert found[0].id == "cas_vit_xs runs/one/best.pth onnx fp32 64"
    assert found[0].check.checkpoint == tmp_path / "runs" / "one" / "best.pth"
    assert found[1].check.input_size == (96, 64)
    assert found[-1].id == "net.py:build coreml fp32 96x64"
    assert (found[-1].check.num_classes, found[-1].check.checkpoint, found[-1].precision) == (4, None, "fp32")


def test_excludes_must_match_in_all_their_values(cells: Cells) -> None:
    text = """
        [matrix]
        models = ["cas_vit_xs", "lightvit_tiny", "lightvit_small"]
        targets = ["onnx", "coreml"]
        precisions = ["fp32", "fp16"]
        [[exclude]]
        target = "onnx"
        precision = "fp16"
        [[exclude]]
        model = "lightvit_*"
        target = ["coreml", "onnx"]
        precision = "fp32"
        """
    assert [cell.id for cell in cells(text)] == [
        "cas_vit_xs onnx fp32",
        "cas_vit_xs coreml fp32",
        "cas_vit_xs coreml fp16",
        "lightvit_tiny coreml fp16",
        "lightvit_small coreml fp16",
    ]


def test_adjustments_are_for_the_cells_that_match(cells: Cells) -> None:
    onnx, coreml = cells(
        """
        options = { batch = 2 }
        limits = { trained = true, max_bytes = 5 }
        [matrix]
        models = ["cas_vit_xs"]
        targets = ["onnx", "coreml"]
        [[adjust]]
        target = "onnx"
        limits = { max_bytes = 9, max_ops = { Conv = 3 } }
        options = { batch = 4 }
        needs = { GPU = 1 }
        """
    )
    assert (onnx.check.batch, onnx.check.limits.max_bytes, onnx.check.limits.trained) == (4, 9, True)
    assert (coreml.check.batch, coreml.check.limits.max_bytes, coreml.check.limits.max_ops) == (2, 5, {})
    assert (dict(onnx.needs), dict(coreml.needs)) == ({"GPU": 1.0}, {})


@pytest.mark.parametrize(
    ("more", "needs"),
    [
        ("", {}),
        ("[latency]", {"QUIET": 1}),
        ('limits = { latency = { baseline = "a.onnx" } }', {"QUIET": 1}),
        ("limits = { android = { max_ms = 3 } }", {"ANDROID": 1}),
        ("needs = { GPU = 2 }\n[latency]", {"GPU": 2, "QUIET": 1}),
    ],
)
def test_what_is_measured_says_what_a_worker_needs(cells: Cells, more: str, needs: dict[str, float]) -> None:
    assert [dict(cell.needs) for cell in cells(more + SMALL)] == [needs]


def test_devices_are_measured_on_and_needed(cells: Cells) -> None:
    found = cells(
        """
        [matrix]
        models = ["cas_vit_xs"]
        targets = ["coreml", "litert"]
        devices = ["host", "iphone_12", "pixel_8"]
        [[exclude]]
        target = "litert"
        device = "iphone_12"
        [[exclude]]
        target = "coreml"
        device = "pixel_8"
        """
    )
    assert [(cell.id.partition(" ")[2], dict(cell.needs)) for cell in found] == [
        ("coreml host", {"QUIET": 1}),
        ("coreml iphone_12", {"IPHONE": 1}),
        ("litert host", {"QUIET": 1}),
        ("litert pixel_8", {"ANDROID": 1}),
    ]
    assert all(cell.latency for cell in found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "matrix: is missing"),
        ("[matrix", "is not TOML"),
        ("a = " + "[" * 3000, "is not TOML"),
        (SMALL + "colour = 3", "colour: there is no such key"),
        (SMALL.replace("cas_vit_xs", "cas_vit_xxs"), "no model named 'cas_vit_xxs'"),
        (SMALL.replace("onnx", "onxx"), "no target 'onxx'"),
        (SMALL + "precisions = ['fp8']", "fp8"),
        (SMALL + "precisions = ['int8']", "int8 chooses its ranges by images"),
        (SMALL + "sizes = ['64y64']", "64y64"),
        (SMALL + "sizes = [10]", "10"),
        (SMALL + "sizes = [true]", "True"),
        (SMALL + "devices = ['nokia_3310']", "no device named"),
        (SMALL + "devices = ['iphone_12']", "iphone_12 does not run to = 'onnx'"),
        (SMALL + "checkpoints = ['none/*.pth']", "no checkpoint fits 'none/*.pth'"),
        ("limits.accuracy = { images = 'no.npz', max_drop = 0.1 }\n" + SMALL, "there is no "),
        (SMALL.replace("cas_vit_xs", "cas_vit_xs', 'cas_vit_xs").replace('"', "'"), "two cells are called"),
        (SMALL + "[[exclude]]\ntarget = 'coreml'", "exclude 1 fits no cell"),
        (SMALL + "[[adjust]]\ntarget = 'coreml'", "adjust 1 fits no cell"),
        (SMALL + "[[exclude]]", "every cell is excluded"),
        (SMALL.replace("cas_vit_xs", "nets/none.py:build"), "there is no file nets/none.py"),
        (SMALL + "[[exclude]]\ncolour = 1", "colour"),
        (SMALL + "[options]\nprecision = 'fp32'", "options: precision is no option"),
        (SMALL + "[options]\nbatches = 3", "batches"),
        (SMALL + "[options]\nbatch = 0", "batch"),
        ("retries = -1" + SMALL, "retries"),
        ("time_limit = nan" + SMALL, "time_limit"),
        ("name = '../other'" + SMALL, "name"),
        ("needs = { 'A B' = 1 }" + SMALL, "needs"),
        (SMALL + "[limits]\nmax_bites = 3", "max_bites"),
        (f"[matrix]\nmodels = {['cas_vit_xs'] * 200}\ntargets = {['onnx'] * 200}", "two cells are called"),
        (TOO_MANY, f"more than {MOST_CELLS}"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_a_reason(cells: Cells, text: str, words: str) -> None:
    with pytest.raises(CatalogError) as refused:
        cells(text)
    assert words in refused.value.message
    assert refused.value.exit_code == 1
    assert refused.value.hint


def test_hints_speak_of_the_file_and_not_of_options(cells: Cells) -> None:
    for more in ("precisions = ['fp8']", "sizes = [10]", "[options]\nopset = 3"):
        with pytest.raises(CatalogError) as refused:
            cells(SMALL + more)
        assert "--" not in f"{refused.value.message} {refused.value.hint}"
    with pytest.raises(CatalogError) as refused:
        cells(SMALL + "sizes = [10]")
    assert "the nearest are matrix.sizes 32" in str(refused.value.hint)


def test_files_that_are_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "zeros.toml").symlink_to("/dev/zero")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    for name in ("pipe", "zeros", "latin", "nothing"):
        with pytest.raises(CatalogError):
            read_sweep(tmp_path / f"{name}.toml")


@pytest.mark.parametrize("shard", [(0, 2), (3, 2)])
def test_a_part_that_there_is_not(tmp_path: Path, shard: tuple[int, int]) -> None:
    (tmp_path / "sweep.toml").write_text(SMALL)
    with pytest.raises(UsageError, match="no part"):
        run_sweep(SweepRequest(tmp_path / "sweep.toml", str(tmp_path / "out"), shard=shard))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("url", ["nothing://x/y", "s3://bucket/x"])
def test_a_url_that_nothing_opens(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    (tmp_path / "sweep.toml").write_text(SMALL)
    with pytest.raises(MvdError, match="nothing here opens"):
        run_sweep(SweepRequest(tmp_path / "sweep.toml", url))


def test_own_code_is_what_the_file_imports_beside_it(tmp_path: Path) -> None:
    texts = {
        "net.py": "import parts.blocks\nfrom common import a, b\nimport torch\nfrom timm import layers",
        "parts/__init__.py": "",
        "parts/blocks.py": "from . import norms\nfrom .deep.inner import c\nfrom ..outside import d",
        "parts/norms.py": "import broken",
        "parts/unused.py": "",
        "parts/deep/inner.py": "",
        "common.py": "import net",
        "broken.py": "def (",
        "other.py": "",
        "package/model.py": "import common",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    names = ["broken.py", "common.py", "net.py", "parts/__init__.py", "parts/blocks.py", "parts/deep/inner.py"]
    assert own_code("net.py:build", tmp_path) == [Path(name) for name in [*names, "parts/norms.py"]]
    assert own_code("package.model:build", tmp_path) == sorted(
        map(Path, [*names, "package/model.py", "parts/norms.py"])
    )
    assert own_code("cas_vit_xs", tmp_path) == own_code("timm:net", tmp_path) == own_code("none.py:x", tmp_path) == []


def test_a_digest_is_of_content_and_not_of_places(cells: Cells, tmp_path: Path) -> None:
    text = SMALL + "sizes = [64]\n[limits]\nlatency = { baseline = 'old.onnx' }"
    found = cells(text)
    (tmp_path / "old.onnx").write_bytes(b"1")
    first = digests_of(found, tmp_path)
    (tmp_path / "old.onnx").write_bytes(b"2")
    second = digests_of(found, tmp_path)
    assert first != second
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "old.onnx").write_bytes(b"2")
    (tmp_path / "moved" / "sweep.toml").write_text(text)
    moved = cells_of(read_sweep(tmp_path / "moved" / "sweep.toml"), tmp_path / "moved")
    assert digests_of(moved, tmp_path / "moved") == second
