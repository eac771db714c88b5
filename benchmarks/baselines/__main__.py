"""Times mvd's exports and what people would otherwise do, on ONNX Runtime and other runtimes, in one run.

Run: ``python -m benchmarks.baselines --models cas_vit_xs lightvit_tiny --results results.json --markdown table.md
--plot plot.svg``; all twelve models take an hour or two. What is not installed is left out: ``pip install onnxslim
openvino executorch ncnn pnnx MNN litert-torch``. A run adds its models to the results file, so that it can be taken up
again.
``--task segment`` and ``--task detect`` take whole models, up to their logits, or boxes and scores, for the ways whose
files ONNX Runtime runs.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.baselines import plot, results, table
from benchmarks.baselines.measure import ModelResults, measure_model
from benchmarks.baselines.way import Way, all_ways
from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.head_card import Output
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.loading.model_head import HeadOptions
from mobilevit_deploy.measurement.latency.process import ONNX_RUNTIME

OUTPUTS: dict[str, Output] = {"segment": "logits", "detect": "boxes"}  # what all ways can compute


def main() -> int:
    """Returns the exit code."""
    arguments = _parse()
    ways = _choose(arguments.ways)
    if arguments.task != "classify":
        ways = [way for way in ways if way.worker == ONNX_RUNTIME and way.name != "mvd_int8"]
    for name in arguments.models:
        size, head = arguments.size and (arguments.size, arguments.size), HeadOptions(OUTPUTS.get(arguments.task))
        model = load_model(ModelRequest(name, arguments.task, size=size, head=head))
        with tempfile.TemporaryDirectory(prefix="mvd-baselines-") as folder:
            found = measure_model(
                model,
                ways,
                Path(folder),
                threads=arguments.threads,
                core=0 if arguments.threads == 1 else None,
                seconds=arguments.seconds,
                progress=lambda line: print(line, file=sys.stderr, flush=True),
            )
        _show(found)
        results.add(arguments.results, found, ways)
    saved = json.loads(arguments.results.read_text())
    if arguments.markdown:
        arguments.markdown.write_text(table.markdown(saved, arguments.plot and arguments.plot.name))
    if arguments.plot:
        plot.draw(saved, arguments.plot)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="*", default=list(catalog.models()))
    parser.add_argument("--ways", nargs="*", help="names; the first is what the others are compared with")
    parser.add_argument("--task", choices=["classify", *OUTPUTS], default="classify")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", type=int, help="height and width in px; the model's own unless given")
    parser.add_argument("--seconds", type=float, default=90, help="of timing, for each model")
    parser.add_argument("--results", type=Path, default=Path("baselines.json"))
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--plot", type=Path)
    return parser.parse_args()


def _choose(names: list[str] | None) -> list[Way]:
    """Returns the ways that can be run here."""
    ways = {way.name: way for way in all_ways()}
    chosen = [ways[name] for name in names] if names else list(ways.values())
    for way in chosen:
        if way.versions() is None:
            print(f"{way.title} is left out: pip install {' '.join(way.needs)}", file=sys.stderr)
    return [way for way in chosen if way.versions() is not None]


def _show(found: ModelResults) -> None:
    """Prints one model's results."""
    row = results.row_name(found)
    for item in found.results:
        if item.ratio is None or item.ci95 is None:
            print(f"{row:15} {item.way:12} {item.failure}", flush=True)
            continue
        low, high = item.ci95
        print(
            f"{row:15} {item.way:12} {item.p50_ms:7.2f} ms {item.ratio:.3f} ({low:.3f} to {high:.3f}) "
            f"max_rel {item.max_rel:.0e} {results.verdict(item.way, row, item.ratio, found.results[0].way)}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
