"""What commands print, at three widths of a terminal; figures that differ between machines are given ones.

Run ``.venv/bin/python -m tests.report.make_screens`` to write the files of ``tests/report/screens`` anew.
"""

import tempfile
from collections.abc import Mapping
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import typer
from rich.console import Console, Group, RenderableType

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.quantization_rule import QuantizationRule
from mobilevit_deploy.checks import summary
from mobilevit_deploy.checks.run import Checked
from mobilevit_deploy.checks.verdict import Verdict
from mobilevit_deploy.cli.app import app
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.inspection import Inspection
from mobilevit_deploy.loading.class_names import ClassNames
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.measurement.comparison.compare import Compared, Comparison
from mobilevit_deploy.measurement.comparison.drift import Drift
from mobilevit_deploy.measurement.comparison.ratio import Ratio
from mobilevit_deploy.measurement.profiling import ProfileReport
from mobilevit_deploy.measurement.profiling.tree import NodeTime
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.report.cards import card_table, models_table
from mobilevit_deploy.report.comparison import comparison_table
from mobilevit_deploy.report.devices import devices_table
from mobilevit_deploy.report.doctor import diagnosis_table
from mobilevit_deploy.report.export import export_summary
from mobilevit_deploy.report.inspection import inspection_table
from mobilevit_deploy.report.latency import latency_table
from mobilevit_deploy.report.layout import parts
from mobilevit_deploy.report.matrix.changes import compare
from mobilevit_deploy.report.matrix.document import matrix_summary
from mobilevit_deploy.report.matrix.read import Matrix
from mobilevit_deploy.report.prediction import prediction_tables
from mobilevit_deploy.report.profiling import profile_table
from mobilevit_deploy.report.verify import verify_summary
from mobilevit_deploy.rewrites.rewrite import Refused, RewriteResult
from mobilevit_deploy.system.hardware import Machine
from mobilevit_deploy.targets.breaks import Break
from mobilevit_deploy.targets.contents import Integrity
from mobilevit_deploy.targets.doctor import Ability, Diagnosis
from mobilevit_deploy.targets.quantization import ModuleCost, QuantizationResult
from mobilevit_deploy.targets.rules import Finding
from mobilevit_deploy.verification.differences import OutputDifference
from mobilevit_deploy.verification.parity import NotRun, ParityReport
from mobilevit_deploy.verification.prediction.predict import Predicted, PredictReport
from mobilevit_deploy.verification.prediction.reading import Ranking
from mobilevit_deploy.verification.report import VerifyReport
from tests.report.matrix.sample import made_up

WIDTHS = (50, 80, 160)
FOLDER = Path(__file__).parent / "screens"
NET = f"{Path(__file__).parents[1] / 'research' / 'tiny_net.py'}:build"
MEGABYTES = 2**20
COREML = NotRun("artifact", "coreml", {"compute units": "ALL"}, "Core ML itself runs on macOS only")
REFUSED = tuple(Refused(f"blocks.{i}.act", "the sigmoid is not multiplied by its own argument") for i in range(40))
REWRITES = (
    RewriteResult("fuse_silu", (), REFUSED, None, None),
    RewriteResult("fuse_global_average", ("pool",) * 21, (), 0.0, 0.0),
    RewriteResult("fold_batch_norm", ("norm",) * 56, (), 1e-15, 4e-16),
)


def export() -> list[ExportReport]:
    """Exports a network to two targets, into ``artifacts`` here; with findings that are the same everywhere."""
    request = ExportRequest(ModelRequest(NET, size=(32, 32)), ("onnx", "coreml"))
    return [
        replace(
            report,
            artifact=replace(report.artifact, bytes=11 * MEGABYTES, ops={"Conv": 165, "Gemm": 1}),
            seconds={"convert": 11.5},
            rewrites=REWRITES,
            parity=_given(report.parity),
        )
        for report in export_model(request)
    ]


def _given(parity: ParityReport) -> ParityReport:
    """Returns what is compared on every system, with given figures."""
    legs, left_out = [], []
    for leg in parity.legs:
        largest, snr = (7e-4, 36.0) if leg.precision == "fp16" else (5e-7, 101.0)
        outputs = tuple(replace(item, max_rel=largest, snr_db=snr) for item in leg.outputs)
        legs += [replace(leg, outputs=outputs)] if leg.runner != "coreml" else []
        left_out += [COREML] if leg.runner == "mil" else []
    return replace(parity, legs=tuple(legs), not_run=tuple(left_out[:1]))


def screens(reports: list[ExportReport]) -> Mapping[str, RenderableType]:
    """Returns what the commands print, by a name."""
    cards = list(catalog.models().values())
    return {
        "list": models_table(cards, ["hf", "timm", "torchvision"]),
        "show": card_table(cards[0]),
        "devices": devices_table(list(catalog.devices().values()), ([], None), ([], None)),
        "export": export_summary(reports, published=True),
        "export-v": export_summary(reports, published=True, verbose=True),
        "verify": verify_summary(_verified(reports[1])),
        "inspect": Group(inspection_table(_inspected(), verbose=True)),
        "latency": latency_table(
            [measured_latency("cas_vit_xs-224x224-fp32.onnx"), measured_latency("saevit_0p8g-64x64-int8.onnx")]
        ),
        "profile": profile_table(_profiled(), depth=3),
        "quantize": export_summary([_quantized(reports[0])], published=True),
        "check": summary.summary(_checked()),
        "predict": prediction_tables(_predicted(), ["predictions/cat.net.png"]),
        "compare": comparison_table(_compared()),
        "doctor": diagnosis_table(_diagnosed()),
        "matrix": _swept(),
    }


def draw(screen: RenderableType, width: int) -> str:
    """Returns a screen as text, without the blanks at the ends of lines."""
    console = Console(width=width, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        for part in parts(screen):
            console.print(part, crop=False)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def help_of(command: str, width: int) -> str:
    """Returns the help of a command on a terminal of so many columns."""
    found: Any = typer.main.get_command(app)
    found = found.commands[command]
    columns = max(min(width, 80) - 2, 50)  # click's own rule
    names = ["-h", "--help"]
    context = found.context_class(found, info_name=f"mvd {command}", terminal_width=columns, help_option_names=names)
    return f"{found.get_help(context)}\n"


def _verified(report: ExportReport) -> VerifyReport:
    artifact = report.artifact
    return VerifyReport(
        artifact.path, artifact.target, artifact.sha256, artifact.bytes, report.model, report.weights,
        report.precision, report.parity, None, False, None, (), Integrity("intact", tensors=292), seconds=1.5,
    )  # fmt: skip


def _inspected() -> Inspection:
    source = "https://developer.apple.com/videos/play/wwdc2022/10027/"
    finding = Finding("rank-5", "blocks.0.attention.qkv", "permute", "a tensor of 5 axes: 1x64x3x4x32", source)
    ops = {"conv2d": 145, "batch_norm": 56}
    return Inspection("cas_vit_xs", "coreml", ops, {"conv2d": 165}, {"conv": 165}, (finding,) * 2, (finding,))


def measured_latency(name: str) -> Any:
    """Returns what the table reads of a latency."""
    versions = {"onnxruntime": "1.31.1"}
    machine = {
        "cpu": "AMD EPYC", "cores_available": 2, "session_options": {}, "provider_options": {}, "variables": {},
        "versions": versions,
    }  # fmt: skip
    return SimpleNamespace(
        artifact=Path(name), backend="onnxruntime", provider="CPUExecutionProvider", threads=1, batch=1,
        input_shape=(1, 3, 64, 64), load_ms=258.0, second_load_ms=206.0, peak_rss_mb=96.0, stable=True,
        throughput_per_s=80.1, environment=machine, recommendations=(),
        statistics=SimpleNamespace(p50_ms=12.49, ci95_ms=(12.45, 12.57), p90_ms=15.21, p99_ms=16.03),
    )  # fmt: skip


def _profiled() -> ProfileReport:
    blocks = [
        NodeTime(f"node_{i}", op, ms, macs, f"stages.{i}.attention", i > 0, ())
        for i, (op, ms, macs) in enumerate((("Conv", 2.5, 40_000_000), ("FusedMatMul", 1.25, 9_000_000)))
    ]
    nodes = (*blocks, NodeTime("reorder", "ReorderInput", 0.25, 0, None, False, ()))
    return ProfileReport(
        Path("cas_vit_xs-224x224-fp32.onnx"), "", "CPUExecutionProvider", 1, (1, 3, 224, 224), nodes, run_ms=3.9,
        fastest_run_ms=3.8, profiled_run_ms=4.0, runs=50, peak_macs_per_s=50e9, peak_shape=(196, 64, 256), trace=(),
        warnings=(), environment={},
    )  # fmt: skip


def _quantized(report: ExportReport) -> ExportReport:
    costs = (ModuleCost("stages.0.attention", 4, 31.0, 0.8), ModuleCost("", 2, 37.0, 0.2))
    rule = QuantizationRule(op_types=("Conv",), reason="fast")
    counts = ({"Conv": 145, "Gemm": 1}, {"Softmax": 4})
    result = QuantizationResult("birds.npz", 200, rule, *counts, 11 * MEGABYTES, costs)
    artifact = replace(report.artifact, bytes=4 * MEGABYTES, quantization=result)
    return replace(report, artifact=artifact, precision="int8")


def _checked() -> list[Checked]:
    slow = "the median moved by 12%, and the interval of the ratio lies above the limit"
    return [
        Checked("cas_vit_xs on onnx", (
            Verdict("parity", "passed", "5e-7", "1e-5"),
            Verdict("latency", "failed", "1.12 of the baseline", "at most 1.05", slow),
        )),
        Checked("my_net.py:build on coreml", (), "there is no file my_net.py"),
    ]  # fmt: skip


def _predicted() -> PredictReport:
    chances = np.array([0.034, 0.927, 0.021, 0.018])
    found, beside = Ranking((1, 0, 2), chances), Ranking((1, 0, 2), chances - [0.001, -0.001, 0, 0])
    names = ClassNames(("tabby cat", "Egyptian cat", "lynx, catamount", "tiger cat"))
    picture = Predicted(Path("photographs/of my own/cat.jpg"), found, beside)
    return PredictReport(
        Path("artifacts/my_net_build-224x224-fp32.onnx"), "onnx", "onnxruntime", True, names, (picture,), ()
    )


def _compared() -> Comparison:
    names, shape = ("cas_vit_xs-224x224-fp32", "cas_vit_xs-224x224-int8"), (1, 3, 224, 224)
    machine = {"cpu": "AMD EPYC", "versions": {"onnxruntime": "1.31.1"}}
    own = Drift((OutputDifference("logits", 0.1, 2e-2, 36.0, 0.97, 1.0),))
    ratios = (Ratio(1.0, (1.0, 1.0), 8, 400), Ratio(0.663, (0.659, 0.668), 8, 400))
    results = [
        Compared(Path(f"artifacts/{name}.onnx"), "onnx", "", size * MEGABYTES, shape, time, ratio, None, drift)
        for name, size, time, ratio, drift in zip(names, (11, 4), (7.51, 4.98), ratios, (Drift(), own), strict=True)
    ]
    return Comparison(tuple(results), 1, None, (), machine)


def _diagnosed() -> Diagnosis:
    gigabyte = 2**30
    machine = Machine(
        "Linux 6.1", "x86_64", "AMD EPYC", ("AVX2", "FMA"), 2, 24 * gigabyte, 20 * gigabyte, 70 * gigabyte, None
    )
    command = "pip install 'coreai-core==1.0.0b3' 'coreai-torch==0.4.3'"
    abilities = (
        Ability("export, verify and measure ONNX", True, "torch 2.13.0, onnx 1.23.2, onnxruntime 1.31.1"),
        Ability("export and verify Core AI", False, "not installed: coreai-torch, coreai-core", command),
    )
    found = "its libraries take 4.1 GB, and no GPU of NVIDIA's is here to run them"
    broken = Break("PyTorch for CUDA", found, "pip install --force-reinstall torch==2.13.0")
    return Diagnosis(machine, {"torch": "2.13.0", "coreai-torch": None}, abilities, (broken,))


def _swept() -> Group:
    sweep = made_up(44, seed=2)
    matrix = Matrix(Path("nightly"), sweep, [{}] * len(sweep.cells), ())
    return Group(*matrix_summary(matrix, compare(made_up(46, seed=1), sweep)))


def main() -> None:
    """Writes the files."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        made = screens(export())
        for width in WIDTHS:
            for name, screen in made.items():
                (FOLDER / f"{name}-{width}.txt").write_text(draw(screen, width), encoding="utf-8")
            (FOLDER / f"help-{width}.txt").write_text(help_of("latency", width), encoding="utf-8")


if __name__ == "__main__":
    main()
