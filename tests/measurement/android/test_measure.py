"""mvd latency on an Android phone: what is asked of it, what is made of its answers, and that nothing stays there."""

import json
from pathlib import Path
from typing import Any

import pytest

from mobilevit_deploy.export.records import LatencyRecord
from mobilevit_deploy.measurement.android.attached import open_phone
from mobilevit_deploy.measurement.benchmark_model.run import check_file
from mobilevit_deploy.measurement.latency.android import AndroidRequest, measure_android
from tests.measurement.android.conftest import AARCH64, X86_64, Mvd, Phone, write_program
from tests.measurement.comparison.models import save_classifier
from tests.support.android_tools.adb import SERIAL
from tests.support.schemas import check, read


def measure(mvd: Mvd, phone: Phone, *more: object) -> Any:
    given = ("--backend", "android", "--benchmark-binary", phone.binary, "--seconds", 0.1, *more)
    return mvd("latency", phone.model, *given)


def test_a_phone_is_measured(phone: Phone, mvd: Mvd) -> None:
    done = measure(mvd, phone, "--device", "pixel_8", "--threads", 2, "--json")
    assert done.exit_code == 0, done.stderr
    (found,) = check("latency", done.stdout)["results"]
    assert (found["backend"], found["delegate"], found["threads"]) == ("android", "cpu", 2)
    assert found["p50_ms"] == 12.0
    assert found["processes"] == len(found["samples_ms"]) >= 6
    assert found["iterations"] == 80 * found["processes"]
    assert (found["p90_ms"], found["p95_ms"], found["load_ms"], found["memory_mb"]) == (None, 12.06, 17.851, 12.8672)
    assert found["environment"]["cpu"] == "Google Tensor G3"
    assert found["environment"]["profile"] == "pixel_8"
    assert [found["phone"][when]["thermal_status"] for when in ("before", "after")] == ["none", "none"]
    assert found["stable"] is True
    assert phone.leftovers() == []


def test_what_the_phone_is_asked(cabled: Phone, mvd: Mvd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's file names stay here: on the phone everything has names of ours, in a folder that goes."""
    phone = cabled
    monkeypatch.setattr("mobilevit_deploy.measurement.latency.android.collect", lambda take, _seconds: 6 * [take()])
    assert measure(mvd, phone, "--delegate", "gpu").exit_code == 0
    pushes = [call[3:] for call in phone.calls() if call[2:3] == ["push"]]
    assert [Path(source) for source, _ in pushes] == [phone.binary, phone.model]
    folder = pushes[0][1].rpartition("/")[0]
    assert folder.startswith("/data/local/tmp/mvd-")
    assert pushes[1][1] == f"{folder}/model.tflite"
    runs = {text for text in phone.shells() if "--graph" in text}
    assert runs == {
        f"{folder}/benchmark_model --graph={folder}/model.tflite --num_threads=4 --warmup_min_secs=0.5 --num_runs=3 "
        "--min_secs=0.00833333 --use_gpu=true"
    }
    assert phone.shells()[-1] == f"rm -rf {folder}"
    assert not any("HOME" in text for text in phone.shells())


def test_the_table(phone: Phone, mvd: Mvd) -> None:
    done = measure(mvd, phone, "--delegate", "gpu")
    shown = " ".join(done.stdout.split())
    assert "12.00" in shown
    assert "measured on Google Pixel 8: Google Tensor G3, Android 15 (AP4A.250105.002), 4 threads" in shown
    assert "the GPU delegate computes in half precision" in shown
    assert "thermal status: none before, none after" in shown


@pytest.mark.parametrize(
    ("modes", "more", "warning"),
    [
        ("hot", (), "the thermal status was moderate"),
        ("asleep", (), "the screen was off"),
        ("emulator", (), "this is an emulator"),
        ("gpu_part", ("--delegate", "gpu"), "the gpu delegate took a part of the graph only, in 7 pieces"),
        ("gpu_nothing", ("--delegate", "gpu"), "the gpu delegate took nothing of the graph"),
        ("silent_tool", ("--delegate", "gpu"), "the gpu delegate may have taken the graph or not"),
    ],
)
def test_what_speaks_against_the_figures(
    phone: Phone, mvd: Mvd, modes: str, more: tuple[str, ...], warning: str
) -> None:
    phone.set(modes)
    done = measure(mvd, phone, "--json", *more)
    assert done.exit_code == 0, done.stderr
    (found,) = json.loads(done.stdout)["results"]
    assert found["stable"] is False
    assert any(warning in item for item in found["warnings"])
    assert "figures that are not stable are not to be cited" in done.stderr


def test_times_that_drift(phone: Phone, mvd: Mvd) -> None:
    # More than any machine takes within --seconds: the stand-in begins again behind the last, and the drift is gone.
    phone.set(times=[12_000 + 900 * i for i in range(10_000)])
    (found,) = json.loads(measure(mvd, phone, "--json").stdout)["results"]
    assert found["stable"] is False
    assert any("the phone is busy or throttling" in item for item in found["warnings"])


def test_an_older_tool_prints_means_only(phone: Phone, mvd: Mvd) -> None:
    phone.set("old_tool")
    (found,) = read("latency", measure(mvd, phone, "--json").stdout)["results"]
    assert (found["p50_ms"], found["p95_ms"], found["samples_are_medians"]) == (12.0015, None, False)
    assert any("its mean, for this release of the tool prints no median" in item for item in found["notes"])


@pytest.mark.parametrize(
    ("modes", "message"),
    [
        ("tool_fails", "benchmark_model does not run {} (exit 1): Op builtin_code out of range: 209"),
        ("killed", "benchmark_model does not run {} (signal 9): Killed"),
        ("other_tool", "this benchmark_model does not know --use_nnapi=true, and would measure something else"),
        ("silent", "benchmark_model printed no times that mvd knows"),
        ("unplugged", "the phone 0A041FDD4000AB cannot be reached: device '0A041FDD4000AB' not found"),
        ("pulled", "the phone 0A041FDD4000AB cannot be reached: device '0A041FDD4000AB' not found"),
        ("full", "adb push: failed to copy"),
        ("no_folder", "the phone makes no folder in /data/local/tmp"),
        ("no_phone", "no Android phone is attached"),
        ("unauthorized", "it does not trust this computer"),
        ("two_phones", "2 Android phones are attached"),
    ],
)
def test_what_goes_wrong(phone: Phone, mvd: Mvd, modes: str, message: str) -> None:
    phone.set(modes)
    done = measure(mvd, phone, "--json")
    assert done.exit_code == 1
    assert done.stdout == ""
    said = " ".join(done.stderr.split())
    assert message.format(phone.model.name) in said
    assert modes in ("unplugged", "pulled") or phone.leftovers() == []


def test_an_interrupted_measurement_leaves_nothing(phone: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mobilevit_deploy.measurement.latency.android.collect", interrupt)
    with pytest.raises(KeyboardInterrupt):
        measure_android(AndroidRequest([phone.model], phone.binary), open_phone(SERIAL))
    assert phone.shells()[-1].startswith("rm -rf /data/local/tmp/mvd-")
    assert phone.leftovers() == []


def test_a_tool_for_another_processor_is_told_before_anything_is_sent(phone: Phone, mvd: Mvd) -> None:
    write_program(phone.binary, X86_64)
    done = measure(mvd, phone)
    assert done.exit_code == 1
    assert "is for x86_64, and the device runs arm64-v8a" in " ".join(done.stderr.split())
    assert not any("push" in call for call in phone.calls())


def test_files_are_looked_at_before_the_phone_is(phone: Phone, mvd: Mvd, tmp_path: Path) -> None:
    (tmp_path / "damaged.tflite").write_bytes(phone.model.read_bytes()[:900])
    (tmp_path / "net.onnx").write_bytes(b"")
    for name, code, message in [
        ("damaged.tflite", 1, "damaged.tflite is damaged"),
        ("none.tflite", 1, "there is no file"),
        ("net.onnx", 1, "net.onnx is no ONNX file"),
        ("net.mlpackage", 1, "nothing runs"),
    ]:
        done = mvd("latency", tmp_path / name, "--backend", "android")
        assert done.exit_code == code
        assert message in " ".join(done.stderr.split())
    assert mvd("latency", "--backend", "android").exit_code == 2
    assert phone.calls() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--backend", "android", "--delegate", "npu"), "there is no delegate 'npu'"),
        (("--backend", "android", "--pin", "0"), "--pin is for another backend, and android would ignore it"),
        (("--backend", "android", "--compute-units", "all"), "--compute-units is for another backend"),
        (("--backend", "android", "--batch", "1"), "--batch is for another backend"),
        (("--delegate", "gpu"), "--delegate is for another backend, and litert would ignore it"),
        (("--backend", "coreml", "--benchmark-binary", "x"), "--benchmark-binary is for another backend"),
    ],
)
def test_options_that_would_do_nothing(phone: Phone, mvd: Mvd, arguments: tuple[str, ...], message: str) -> None:
    done = mvd("latency", phone.model, *arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())
    assert phone.calls() == []


def test_no_tool_was_given(phone: Phone, mvd: Mvd) -> None:
    done = mvd("latency", phone.model, "--backend", "android")
    assert done.exit_code == 1
    assert "was not given" in done.stderr
    assert "MVD_ANDROID_TOOLS" in done.stderr


def test_the_shape_of_a_file(phone: Phone) -> None:
    assert check_file(phone.model) == (1, 3, 16, 16)


OTHER = {".onnx": "onnxruntime_perf_test", ".pte": "executor_runner"}


@pytest.fixture
def other(phone: Phone, request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """A file of another runtime, and a tool for it."""
    path = tmp_path / f"a; rm -rf $HOME{request.param}"
    if request.param == ".onnx":
        save_classifier(path)
    else:
        path.write_bytes(request.getfixturevalue("program").read_bytes())
    phone.set()
    return path, write_program(tmp_path / OTHER[request.param], AARCH64)


@pytest.mark.parametrize("other", OTHER, indirect=True)
def test_files_of_other_runtimes(other: tuple[Path, Path], phone: Phone, mvd: Mvd, monkeypatch: Any) -> None:
    """The phone's name says that it is one: by its serial or its profile; and the folder of the tools is enough."""
    path, tool = other
    monkeypatch.setenv("MVD_ANDROID_TOOLS", str(tool.parent))
    done = mvd("latency", path, "--device", SERIAL, "--threads", 2, "--seconds", 0.1, "--json")
    assert done.exit_code == 0, done.stderr
    (found,) = check("latency", done.stdout)["results"]
    assert (found["backend"], found["tool"], found["delegate"]) == ("android", tool.name, "cpu")
    assert (found["p50_ms"], found["load_ms"], found["input_shape"]) == (12.01, 17.851, [1, 3, 32, 32])
    assert found["samples_are_medians"] is True
    assert any(f"by {tool.name} itself" in note for note in found["notes"])
    assert phone.leftovers() == []
    runs = [text for text in phone.shells() if tool.name in text and "chmod" not in text]
    folder = runs[0].rpartition("/")[0].split(" ")[0].rpartition("/")[0]
    if path.suffix == ".onnx":
        assert set(runs) == {f"{folder}/{tool.name} -e cpu -m duration -t 1 -x 2 -o 99 -I -s {folder}/model.onnx"}
    else:
        assert runs[0] == f"{folder}/{tool.name} --model_path={folder}/model.pte --num_executions=13 --cpu_threads=2"
        assert {found["warmup"], found["iterations"]} == {3 * len(runs), 10 * len(runs)}
    assert not any("HOME" in text for text in phone.shells())


@pytest.mark.parametrize("other", OTHER, indirect=True)
def test_other_runtimes_that_say_less(other: tuple[Path, Path], phone: Phone, mvd: Mvd) -> None:
    path, tool = other
    options = ("--device", "pixel_8", "--benchmark-binary", tool, "--seconds", 0.1, "--json")
    phone.set("old_tool")
    (found,) = read("latency", mvd("latency", path, *options).stdout)["results"]
    assert (found["p95_ms"], found["samples_are_medians"]) == (None, False)
    phone.set("tool_fails")
    done = mvd("latency", path, *options)
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"{tool.name} does not run" in done.stderr
    for more, message in (
        (("--delegate", "gpu"), f"--delegate gpu, which {tool.name} cannot be told to use"),
        ((phone.model,), "--benchmark-binary is one tool"),
    ):
        done = mvd("latency", path, "--backend", "android", *options, *more)
        assert done.exit_code == 2
        assert message in " ".join(done.stderr.split())


def test_sizes_that_an_onnx_file_leaves_free(phone: Phone, mvd: Mvd, tmp_path: Path) -> None:
    path = save_classifier(tmp_path / "free.onnx", ("batch", 3, 32, 32))
    done = mvd("latency", path, "--device", "pixel_8")
    assert done.exit_code == 1
    assert "leaves sizes free" in " ".join(done.stderr.split())
    assert phone.calls() == []


def test_the_page_of_a_folder_reads_it(phone: Phone, mvd: Mvd) -> None:
    (found,) = json.loads(measure(mvd, phone, "--json").stdout)["results"]
    record = LatencyRecord.model_validate(found)
    assert (record.backend, record.p50_ms, record.p90_ms, record.environment.cpu) == (
        "android", 12.0, None, "Google Tensor G3",
    )  # fmt: skip
