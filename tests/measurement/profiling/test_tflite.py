"""mvd profile of .tflite files: the tool's times by operator and module, on a phone and on this machine."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from mobilevit_deploy.measurement.android.adb import Answer
from mobilevit_deploy.measurement.benchmark_model.run import Here
from mobilevit_deploy.targets.litert.contents import note_contents
from tests.measurement.android.conftest import AARCH64, Mvd, Phone, write_program
from tests.measurement.android.conftest import cabled as cabled
from tests.measurement.android.conftest import phone as phone
from tests.support.android_tools import printed
from tests.support.schemas import check
from tests.targets.litert.tflite.test_program import CONTENT

CONV = "__main__.Net/torch.nn.modules.conv.Conv2d_conv;4"
ROWS: list[printed.Row] = [
    ("CONV_2D", 2.0, 1, f"[{CONV}]:2"),
    ("GELU", 0.5, 1, "[__main__.Net;3]:3"),
    ("TfLiteXNNPackDelegate", 1.5, 1, "[serving_default_output_0_output]:14"),
    ("Fully Connected (NC, QS8) GEMM", 1.0, 1, "Delegate/Fully Connected (NC, QS8) GEMM:0"),
]
NOTES = {"mvd.modules": json.dumps({"stem.conv": [CONV], "stem.act": ["__main__.Net;3"]})}


def test_on_a_phone(phone: Phone, mvd: Mvd) -> None:
    phone.set(profile=ROWS)
    phone.model.write_bytes(note_contents(CONTENT, NOTES, "a.tflite"))
    given = ("profile", phone.model, "--device", "pixel_8", "--benchmark-binary", phone.binary, "--threads", 2)
    done = mvd(*given, "--json")
    assert done.exit_code == 0, done.stderr
    found = check("profile-tflite", done.stdout)
    assert [(node["op"], node["ms"], node["macs"], node["path"]) for node in found["nodes"]] == [
        ("CONV_2D", 2.0, 64 * 27 * 8, "stem.conv"),
        ("GELU", 0.5, 0, "stem.act"),
        ("Fully Connected (NC, QS8) GEMM", 1.0, 0, None),
    ]
    assert found["module_known"] == pytest.approx(2.5 / 3.5)
    assert [(row["label"], row["ms"]) for row in found["ops"]][:2] == [
        ("CONV_2D", 2.0), ("Fully Connected (NC, QS8) GEMM", 1.0),
    ]  # fmt: skip
    assert (found["run_ms"], found["device"], found["threads"]) == (12.0115, "Google Pixel 8", 2)
    runs = [text for text in phone.shells() if "--graph" in text]
    assert ["--enable_op_profiling=true" in text for text in runs] == [False, True]
    assert phone.leftovers() == []
    shown = " ".join(mvd(*given).stdout.split())
    assert "stem" in shown
    assert "module known for 71.4% of the operators' time" in shown


def test_on_this_machine(tmp_path: Path, mvd: Mvd, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(_self: Here, *command: str, **_limit: float) -> Answer:
        asked.append(command)
        return Answer(0, printed.run(9_000) + printed.profile(ROWS), "")

    monkeypatch.setattr(Here, "run", run)
    monkeypatch.setattr("mobilevit_deploy.measurement.profiling.tflite.host_abis", lambda: ("arm64-v8a",))
    path = tmp_path / "-rf.tflite"
    path.write_bytes(CONTENT)
    tool = write_program(tmp_path / "tool", AARCH64)
    done = mvd("profile", path, "--benchmark-binary", tool, "--threads", 1, "--seconds", 2)
    assert done.exit_code == 0, done.stderr
    assert "measured on host" in " ".join(done.stdout.split())
    assert "stem" not in done.stdout
    assert [command[:5] for command in asked] == 2 * [
        (str(tool), f"--graph={path}", "--num_threads=1", "--warmup_min_secs=0.5", "--num_runs=3")
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="the tool is a program of this machine's Linux")
def test_a_program_that_is_another(tmp_path: Path, mvd: Mvd) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(CONTENT)
    done = mvd("profile", path, "--benchmark-binary", shutil.which("true"))
    assert done.exit_code == 1
    assert "benchmark_model printed no times that mvd knows" in done.stderr
    done = mvd("profile", path, "--benchmark-binary", shutil.which("false"))
    assert "benchmark_model does not run net.tflite (exit 1): it said nothing" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("net.tflite", ("--trace", "t.json"), "--trace is for an .onnx file"),
        ("net.tflite", ("--require-ne", "0.5"), "--require-ne is for an .mlpackage"),
        ("net.tflite", ("--delegate", "npu"), "there is no delegate 'npu'"),
        ("net.onnx", ("--delegate", "gpu"), "--delegate is for a .tflite file"),
        ("net.onnx", ("--device", "pixel_8"), "--device is for an .mlpackage"),
    ],
)
def test_options_that_would_do_nothing(
    tmp_path: Path, mvd: Mvd, name: str, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / name).write_bytes(CONTENT)
    done = mvd("profile", name, *arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())
