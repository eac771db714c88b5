"""The page: what is on it, that it loads nothing, and that no report can write HTML into it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.report.page.folder import read_folder
from mobilevit_deploy.report.page.html import page_document, render
from mobilevit_deploy.report.table import milliseconds
from tests.report.sample import Page, Sample
from tests.support.schemas import check as check_document

Mvd = Callable[..., Result]
CLASSIFIER = {"task": "classify", "outputs": [{"name": "logits", "shape": [1, 1000]}]}
AT_224: dict[str, Any] = {"input": {"name": "input", "shape": [1, 3, 224, 224]}, **CLASSIFIER}
LARGEST_PAGE = 2 * 2**20


def catalog_model(sample: Sample, name: str, p50_ms: float, *, trained: bool = True, **changes: Any) -> str:
    """Writes an artifact of a model of the catalog, with a stable measurement; returns its stem."""
    stem = f"{name}-224x224-fp32{'' if trained else '.untrained'}"
    sample.export(stem, model=name, weights={"trained": trained}, **AT_224, **changes)
    sample.latency(stem, {"p50_ms": p50_ms, "ci95_ms": [p50_ms * 0.98, p50_ms * 1.02], "stable": True, "warnings": []})
    return stem


def page_of(sample: Sample) -> Page:
    return Page(render(read_folder(sample.folder)))


def words(page: Page) -> str:
    return re.sub(r"\s+", " ", page.text)


def test_export_latency_and_report_belong_together(mvd: Mvd, real_folder: Path) -> None:
    (artifact,) = real_folder.glob("*.onnx")
    measured = mvd("latency", artifact, "--threads", 1, "--seconds", 0.1, "--json")
    (latency,) = check_document("latency", measured.stdout)["results"]
    result = mvd("report", real_folder, "--out", "page.html", "--json")
    assert result.exit_code == 0, result.stderr
    document = check_document("report", result.stdout)
    (found,) = document["artifacts"]
    assert (found["name"], found["state"], found["trained"]) == (artifact.name, "present", False)
    assert [item["p50_ms"] for item in found["latencies"]] == [latency["p50_ms"]]
    assert document["problems"] == []
    report = json.loads(artifact.with_name(f"{artifact.stem}.onnx.json").read_text())
    assert found["report"]["ops"] == report["ops"]
    text = words(Page(Path("page.html").read_text()))
    low, high = latency["ci95_ms"]
    times = [milliseconds(latency["p50_ms"]), f"{milliseconds(low)} to {milliseconds(high)}"]
    expected = [artifact.name, "UNTRAINED", *times, "1x3x32x32"]
    expected += [latency["environment"]["cpu"], report["sha256"], report["tool_versions"]["torch"], "passed"]
    expected += [rewrite["name"] for rewrite in report["rewrites"] if rewrite["applied"]]
    assert [item for item in expected if item not in text] == []
    for leg in report["parity"]["legs"]:
        assert f"{leg['max_rel']:.0e}" in text


def test_ops_before_and_after(sample: Sample) -> None:
    sample.export("a", ops_before={"conv2d": 3, "batch_norm": 2}, ops_rewritten={"conv2d": 3})
    text = words(page_of(sample))
    assert "conv2d 3 3 batch_norm 2 0 -2 all 5 3 -2" in text


def test_published_accuracy_is_said_not_to_be_of_these_files(sample: Sample) -> None:
    catalog_model(sample, "cas_vit_xs", 9.0, trained=False)
    catalog_model(sample, "saevit_0p8g", 8.0, reconstruction=True)
    page = page_of(sample)
    assert "78.3 % for the authors' checkpoint" in words(page)
    assert "It was not measured on these files" in words(page)
    assert "triangle: UNTRAINED or unknown weights, drawn at the published accuracy" in words(page)
    assert "a reconstruction: no published accuracy" in words(page)
    assert "1 of 2 measurements have no published accuracy" in words(page)


def test_what_a_head_returns_and_what_it_is_worth(sample: Sample) -> None:
    rule = {"score_threshold": 0.05, "iou_threshold": 0.5, "max_detections": 100, "candidates": 1000}
    head = {"name": "retinanet", "output": "nms", "num_classes": 2, "classes": ["cat", "dog"], "suppression": rule}
    common = {"images": 60, "reference": 0.412, "artifact": 0.398}
    sample.export("a", task="detect", head=head, accuracy={**common, "metric": "AP50:95", "classes": []})
    sample.export("b", task="segment", head={"name": "semantic_fpn"}, accuracy={**common, "metric": "mIoU"})
    sample.export("c", accuracy={**common, "metric": "top-1", "agreeing": 59, "reference_correct": 24})
    text = words(page_of(sample))
    assert "retinanet, nms; 2 classes: cat, dog; score above 0.05, overlap up to 0.5, detections 100" in text
    assert "60; AP50:95: PyTorch 41.2%, this file 39.8%" in text
    assert "60; mIoU: PyTorch 41.2%, this file 39.8%" in text
    assert "60; the same class as PyTorch for 59; top-1: PyTorch 41.2%, this file 39.8%" in text


HOSTILE = "<script>alert(1)</script>\"'><img src=//evil onerror=alert(2)> $x_1$ {{ 77777*1001 }} &lt;b&gt;"


def test_no_report_can_write_html(sample: Sample) -> None:
    sample.export(
        "<img src=x onerror=1>",
        model=HOSTILE, precision=HOSTILE, task=HOSTILE, recipe=HOSTILE, version={HOSTILE: HOSTILE},
        weights={"trained": True, "path": HOSTILE},
        head={"name": HOSTILE, "output": HOSTILE, "num_classes": 1, "classes": [HOSTILE]},
        accuracy={"images": 1, "metric": HOSTILE, "reference": 0.5, "artifact": 0.5},
        input={"name": HOSTILE, "shape": [1, 3]}, outputs=[{"name": HOSTILE, "shape": [1]}],
        ops={HOSTILE: 1}, ops_before={HOSTILE: 1}, ops_rewritten={HOSTILE: 2}, warnings=[HOSTILE],
        tool_versions={HOSTILE: HOSTILE}, seconds={HOSTILE: 1.0},
        rewrites=[{"name": HOSTILE, "applied": 1, "refused": [{"at": HOSTILE, "reason": HOSTILE}]}],
        parity={
            "status": "failed", "reason": HOSTILE,
            "legs": [{"subject": HOSTILE, "reference": HOSTILE, "runner": HOSTILE, "settings": {HOSTILE: HOSTILE}}],
            "not_run": [{"subject": HOSTILE, "runner": HOSTILE, "reason": HOSTILE}],
        },
    )  # fmt: skip
    machine = {"cpu": HOSTILE, "os": HOSTILE, "session_options": {HOSTILE: HOSTILE}, "versions": {HOSTILE: HOSTILE}}
    latency = {"environment": machine, "backend": HOSTILE, "warnings": [HOSTILE], "stable": False}
    sample.latency("<img src=x onerror=1>", latency, {**latency, "sha256": "0" * 64})
    (sample.folder / "<script>.onnx.json").write_text('{"<script>alert(3)</script>": ')
    page = page_of(sample)
    assert page.loads() == []
    assert page.text.count(HOSTILE) >= 25, "shown as text in every place"
    assert str(77777 * 1001) not in page.text, "no report's text is a template"
    assert "<script>.onnx.json" in page.text


def test_a_name_in_the_plot_is_text(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only models of the catalog are plotted; were there one with such a name, it still would be text."""
    cards = {"<script>$a_b$": catalog.model("cas_vit_xs")}
    monkeypatch.setattr("mobilevit_deploy.report.page.folder.models", lambda: cards)
    sample.export("a", model="<script>$a_b$", **AT_224)
    sample.latency("a")
    page = page_of(sample)
    assert page.loads() == []
    assert page.of("svg")
    assert "1 <script>$a_b$" in page.text


def test_the_page_loads_nothing(sample: Sample) -> None:
    catalog_model(sample, "cas_vit_xs", 9.0)
    html = render(read_folder(sample.folder))
    page = Page(html)
    assert page.loads() == []
    assert page.of("svg")
    assert "http:" not in html
    assert "https:" not in html
    policy = next(meta for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"
    for bad in ('<img src="x.png">', '<a href="https://x">', "<style>a{b:url(x)}</style>", "<p onclick=1>"):
        assert Page(html + bad).loads() != [], "the check itself sees it"


def test_every_id_is_one_elements_and_every_reference_has_one(sample: Sample) -> None:
    for name in ("cas_vit_xs", "cloformer_xxs"):
        stem = catalog_model(sample, name, 9.0)
        sample.latency(stem, {"threads": 1}, {"threads": 2})
    html = render(read_folder(sample.folder))
    page = Page(html)
    assert len(page.of("svg")) == 4, "for each number of threads a wide one and one for a phone"
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {name for pair in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', html) for name in pair if name} <= set(ids)


def test_it_can_be_read_without_seeing_it(sample: Sample) -> None:
    catalog_model(sample, "cas_vit_xs", 9.0)
    page = page_of(sample)
    tables = len(page.of("table"))
    assert tables >= 6
    assert len(page.of("caption")) == tables
    assert all(cell.get("scope") in ("col", "row") for cell in page.of("th"))
    assert all(cell["data-label"] for cell in page.of("td")), "the column's name stands in each cell on a phone"
    plots = [attributes for _, attributes in page.elements if attributes.get("role") == "img"]
    assert len(plots) == len(page.of("svg")) == 2
    assert all("Plot of published top-1 against measured latency" in plot["aria-label"] for plot in plots)
    assert page.of("html") == [{"lang": "en"}]


def luminance(colour: str) -> float:
    """Returns the relative luminance of #rrggbb. Source: WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_in_light_and_dark(sample: Sample) -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    catalog_model(sample, "cas_vit_xs", 9.0)
    page = page_of(sample)
    schemes = [
        dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", page.style, re.S)
    ]
    assert len(schemes) == 2, "light and dark"
    for scheme in schemes:
        for ink in ("ink", "quiet", "accent", "good", "bad", "doubt"):
            for paper in ("paper", "card"):
                assert contrast(scheme[ink], scheme[paper]) >= 4.5, (ink, paper)  # WCAG AA for text
    used = set(re.findall(r"#[0-9a-f]{6}", "".join(attributes.get("style", "") for _, attributes in page.elements)))
    assert used == set(), "the plots take the page's colours, which know light and dark"


def test_twenty_artifacts_are_below_two_megabytes(sample: Sample) -> None:
    names = ("cas_vit_xs", "cas_vit_s", "cas_vit_m", "cas_vit_t", "cloformer_xxs", "cloformer_xs", "cloformer_s")
    operations = {f"operation_{i}": i for i in range(40)}
    leg = {"subject": "artifact", "runner": "onnxruntime", "precision": "fp32", "samples": 8, "max_rel": 1e-7}
    refused = [{"at": f"blocks.{i}.attention.qkv", "reason": f"its result is used {i} times"} for i in range(60)]
    for i in range(20):
        stem = f"{names[i % 7]}-224x224-fp32.{i}"
        sample.export(
            stem, model=names[i % 7], ops_before=operations, ops_rewritten=operations, ops=operations, **AT_224,
            parity={"status": "passed", "legs": [leg] * 8},
            rewrites=[{"name": f"rewrite_{k}", "applied": k, "refused": refused} for k in range(20)],
        )  # fmt: skip
        sample.latency(stem, {"threads": 1, "p50_ms": 5.0 + i}, {"threads": 2, "p50_ms": 4.0 + i})
    html = render(read_folder(sample.folder))
    assert len(read_folder(sample.folder).artifacts) == 20
    assert len(html.encode()) < LARGEST_PAGE


def test_what_of_a_checkpoint_was_not_taken(sample: Sample) -> None:
    weights = {
        "trained": True,
        "path": "best.pth",
        "key": "state_dict",
        "not_loaded": [f"entry{i}" for i in range(10)],
        "not_read": ["3 objects of mmengine.logging.history_buffer.HistoryBuffer"],
        "notes": ["the prefix 'det.' was taken off all names"],
    }
    sample.export("a", weights=weights)
    text = words(page_of(sample))
    assert "best.pth, state_dict" in text
    assert "entry7 and 2 more" in text
    assert "3 objects of mmengine.logging.history_buffer.HistoryBuffer" in text
    assert "the prefix 'det.' was taken off all names" in text


def test_the_document_says_what_the_page_says(sample: Sample) -> None:
    catalog_model(sample, "cas_vit_xs", 9.0)
    catalog_model(sample, "cloformer_xxs", 10.0)
    document = page_document(read_folder(sample.folder), "report.html")
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    (plot,) = document["plots"]
    assert [(point["published_top1_percent"], point["best"]) for point in plot["points"]] == [
        (78.3, True),
        (77.0, False),
    ]


def test_names_that_are_no_text_can_be_written(mvd: Mvd, sample: Sample) -> None:
    sample.export("a")
    name = b"not-utf8-\xff".decode("utf-8", "surrogateescape")
    (sample.folder / f"{name}.onnx.json").write_text("{")
    folder = sample.folder.rename(sample.folder.with_name(name))
    assert mvd("report", folder).exit_code == 0
    assert "not-utf8-?.onnx.json" in (folder / "report.html").read_text()


def test_nothing_to_show_is_a_message(mvd: Mvd) -> None:
    Path("empty").mkdir()
    for arguments, message in (((), "there is no folder artifacts"), (("empty",), "there is no report in empty")):
        result = mvd("report", *arguments)
        assert result.exit_code == 1
        assert message in result.stderr
        assert "mvd export" in result.stderr
    assert list(Path("empty").iterdir()) == []


def test_where_the_page_goes(mvd: Mvd, sample: Sample) -> None:
    sample.export("a")
    before = {path.name for path in sample.folder.iterdir()}
    result = mvd("report", sample.folder)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"wrote {sample.folder}/report.html: artifacts 1, measurements 0\n"
    assert "Nothing was measured" in words(Page((sample.folder / "report.html").read_text()))
    assert {path.name for path in sample.folder.iterdir()} == {*before, "report.html"}, "and nothing unfinished"
    Path("folder").mkdir()
    (Path("folder") / "precious").touch()
    refused = mvd("report", sample.folder, "--out", "folder")
    assert refused.exit_code == 1
    assert "folder is a folder" in refused.stderr
    assert (Path("folder") / "precious").exists()
    Path("model.onnx").write_text("not a page")
    assert mvd("report", sample.folder, "--out", "model.onnx").exit_code == 2
    assert Path("model.onnx").read_text() == "not a page"
