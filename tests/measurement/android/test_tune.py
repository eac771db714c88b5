"""mvd tune on an Android phone: files take turns there, and nothing stays; the stand-in for adb gives the times."""

import re
from pathlib import Path

from mobilevit_deploy.measurement.android.attached import open_phone
from mobilevit_deploy.measurement.comparison.alternate_android import alternate_android
from mobilevit_deploy.measurement.latency.android import AndroidRequest
from mobilevit_deploy.measurement.tuning.timing import OnPhone
from tests.measurement.android.conftest import AARCH64, Mvd, Phone, write_program
from tests.measurement.tuning.test_tune import NET
from tests.support.schemas import check


def test_files_take_turns(phone: Phone) -> None:
    other = phone.model.with_name("other.tflite")
    other.write_bytes(phone.model.read_bytes())
    request = AndroidRequest((), phone.binary, threads=2)
    times = alternate_android([phone.model, other], 0.1, request, open_phone(None))
    assert [len(column) for column in times] == [len(times[0])] * 2
    assert len(times[0]) >= 6
    assert {len(group) for column in times for group in column} == {1}
    graphs = [int(found[1]) for text in phone.shells() if (found := re.search(r"--graph=\S+/model(\d)\.tflite", text))]
    assert graphs[:8] == [0, 1, 1, 0, 0, 1, 1, 0]
    assert phone.leftovers() == []
    place = OnPhone(open_phone(None), request)
    assert (place.machine, place.backend, place.threads) == ("Google Pixel 8, Google Tensor G3", "android, cpu", 2)


def test_a_search_on_a_phone(phone: Phone, mvd: Mvd, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    tool = write_program(tmp_path / "onnxruntime_perf_test", AARCH64)
    given = ("tune", "net.py:build", "--to", "onnx", "--input-size", 8, "--device", "pixel_8")
    done = mvd(*given, "--benchmark-binary", tool, "--budget", "3s", "--json")
    assert done.exit_code == 0, done.stderr
    document = check("tune", done.stdout)
    assert (document["machine"], document["backend"]) == ("Google Pixel 8, Google Tensor G3", "android, cpu")
    assert (document["threads"], document["session"]) == (4, [])
    assert phone.leftovers() == []
    refused = mvd(*given, "--pin", "0")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--pin is for this machine" in refused.stderr
