"""What benchmark_model prints is read, of the newest release and of older ones, and nothing else is taken for it."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.measurement.benchmark_model.output import (
    OperatorTime,
    RunTimes,
    last_words,
    read_profile,
    read_run,
)
from tests.support.android_tools import printed

# As people have shown it: https://github.com/tensorflow/tensorflow/issues/42507
OF_2020 = """\
STARTING!
Duplicate flags: num_threads
Log parameter values verbosely: [0]
Num threads: [4]
Loaded model /data/local/tmp/espcn_harmonic_2x_slim_w_cl.tflite
The input model file size (MB): 0.004448
Initialized session in 0.855ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=15 first=49060 curr=33682 min=32825 max=49060 avg=34825.1 std=3930

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=50 first=32891 curr=33978 min=32641 max=34005 avg=33209.4 std=450

Inference timings in us: Init: 855, First inference: 49060, Warmup (avg): 34825.1, Inference (avg): 33209.4
Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual memory.
Peak memory footprint (MB): init=0 overall=12.8672
"""
# The README's own example, tflite/tools/benchmark/README.md, with a column for the start, and names without numbers.
OLD_PROFILE = """\
Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Run Order ==============================
\t             [node type]\t  [start]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]
\t                 CONV_2D\t    0.000\t    4.269\t    4.269\t  0.107%\t  0.107%\t     0.000\t        0\t[Mobile/Relu6]
\t                 SOFTMAX\t   79.443\t    0.029\t    0.029\t  0.001%\t  1.993%\t     0.000\t        0\t[Mobile/Soft]

============================== Top by Computation Time ==============================
"""
ROWS: list[printed.Row] = [
    ("TRANSPOSE", 0.010, 1, "[net;1]:0"),
    ("TfLiteXNNPackDelegate", 3.000, 1, "[net;2, net;3]:14"),
    ("Convolution (NHWC, F32) IGEMM", 2.000, 1, "Delegate/Convolution (NHWC, F32) IGEMM:0"),
    ("Add (ND, F32)", 0.250, 2, "Delegate/Add (ND, F32):1"),
    ("GELU", 0.500, 1, "[a:b]:3"),
]


def test_the_newest_release() -> None:
    found = read_run(printed.run(12_000))
    assert found.runs == RunTimes(80, 12.09, 12.0015, 11.991, 12.09, 12.0, 12.06)
    assert (found.warmup.count, found.init_ms, found.memory_mb) == (40, 17.851, 12.8672)
    assert (found.taken, found.parts) == (None, 0)


def test_a_release_of_2020() -> None:
    found = read_run(OF_2020)
    assert found.runs == RunTimes(50, 32.891, 33.2094, 32.641, 34.005, None, None)
    assert (found.warmup.count, found.init_ms, found.memory_mb) == (15, 0.855, 12.8672)


def test_runs_that_all_took_the_same() -> None:
    text = OF_2020.replace("count=50 first=32891 curr=33978 min=32641 max=34005 avg=33209.4 std=450", "{}")
    for same in ("count=50 curr=100(all same)", "count=50 curr=100(all same) p5=100 median=100 p95=100"):
        runs = read_run(text.replace("{}", same)).runs
        assert (runs.count, runs.mean_ms, runs.min_ms) == (50, 0.1, 0.1)
    assert read_run(text.replace("{}", "count=1 curr=5")).runs.count == 1


@pytest.mark.parametrize(("parts", "taken"), [(None, ("all", 1)), (7, ("part", 7)), (0, ("nothing", 0))])
def test_what_a_delegate_took(parts: int | None, taken: tuple[str, int]) -> None:
    found = read_run(printed.run(9000, delegate=printed.applied("GPU", parts)))
    assert (found.taken, found.parts) == taken


def test_a_profile() -> None:
    found = read_profile(printed.run(12_000) + printed.profile(ROWS))
    assert found == [
        OperatorTime("TRANSPOSE", ("net;1",), 0, 0.01),
        OperatorTime("Convolution (NHWC, F32) IGEMM", (), None, 2.0),
        OperatorTime("Add (ND, F32)", (), None, 0.5),
        OperatorTime("GELU", ("a:b",), 3, 0.5),
    ]


def test_a_profile_in_which_the_delegate_tells_nothing_of_its_inside() -> None:
    found = read_profile(printed.profile(ROWS[:2]))
    assert [(item.kind, item.node, item.outputs) for item in found] == [
        ("TRANSPOSE", 0, ("net;1",)),
        ("TfLiteXNNPackDelegate", 14, ("net;2", "net;3")),
    ]


def test_a_profile_of_an_older_release() -> None:
    assert read_profile(OLD_PROFILE) == [
        OperatorTime("CONV_2D", ("Mobile/Relu6",), None, 4.269),
        OperatorTime("SOFTMAX", ("Mobile/Soft",), None, 0.029),
    ]


@pytest.mark.parametrize(
    "text", ["", "usage: benchmark_model", printed.run(9000).replace("Init:", "In"), "count=3 curr=1"]
)
def test_no_times(text: str) -> None:
    with pytest.raises(MeasurementError, match="printed no times that mvd knows"):
        read_run(text)


@pytest.mark.parametrize("text", ["", printed.run(9000), printed.profile([]), OLD_PROFILE.replace("[avg ms]", "[ms]")])
def test_no_profile(text: str) -> None:
    with pytest.raises(MeasurementError, match="printed no profile that mvd knows"):
        read_profile(text)


def test_the_last_words() -> None:
    assert last_words("INFO: a\nERROR: Failed to apply GPU delegate.\nINFO: b\n") == "Failed to apply GPU delegate."
    assert last_words("a\n\nKilled\n") == "Killed"
    assert last_words("\n") == "it said nothing"


@settings(max_examples=50)
@given(st.text("count=12 fstcur.(all)e+-[]:\tnINFO\nRun Order", max_size=300), st.integers(0, 2000))
def test_any_text(text: str, place: int) -> None:
    whole = printed.run(12_000) + printed.profile(ROWS)
    for given_text in (text, whole[:place] + text + whole[place:]):
        with suppress(MeasurementError):
            read_run(given_text)
        with suppress(MeasurementError):
            read_profile(given_text)
