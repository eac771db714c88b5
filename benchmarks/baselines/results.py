"""Results on disk: one JSON file, to which every run adds its models."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from benchmarks.baselines.measure import ModelResults
from benchmarks.baselines.way import Way
from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.formats import tool_versions
from mobilevit_deploy.catalog.model_card import Task
from mobilevit_deploy.system.environment import machine

BOUNDS = tomllib.loads(Path(__file__).with_name("bounds.toml").read_text())

Saved = dict[str, Any]


def add(path: Path, found: ModelResults, ways: list[Way]) -> Saved:
    """Adds a model's results, in place of earlier ones of it, and returns all."""
    saved: Saved = json.loads(path.read_text()) if path.exists() else {"models": {}}
    saved["machine"] = machine()
    saved["versions"] = dict(tool_versions())
    for way in ways:
        saved["versions"].update(way.versions() or {})
    saved["ways"] = {way.name: {"title": way.title, "about": way.about, "allowed": way.allowed} for way in ways}
    saved["models"][row_name(found)] = asdict(found)
    order = list(catalog.models())  # a run may take up what an earlier one left
    saved["models"] = dict(sorted(saved["models"].items(), key=lambda item: order.index(item[1]["model"])))
    path.write_text(json.dumps(saved, indent=1) + "\n")
    return saved


def row_name(found: ModelResults) -> str:
    """Returns the model's name, and what differs from one thread at the size that it is made for."""
    task = cast(Task, found.task)
    default = catalog.input_rule(catalog.model(found.model), task).default_size
    size = found.input_shape[-1]
    parts = [found.model, *([task] if task != "classify" else []), *([f"{size} px"] if size != default else [])]
    return ", ".join([*parts, *([f"{found.threads} threads"] if found.threads > 1 else [])])


def is_wrong(saved: Saved, result: Mapping[str, Any]) -> bool:
    """Tells whether a file computes something else than PyTorch."""
    return not result["max_rel"] <= saved["ways"][result["way"]]["allowed"]


def verdict(way: str, row: str, ratio: float, first: str) -> str:
    """Returns whether a bound is met; empty where there is none, as for other sizes and several threads.

    Args:
        way: a way's name.
        row: the row's name.
        ratio: the way's latency relative to that of ``first``; bounds are of the naive export.
        first: the way that the others are compared with.
    """
    bound = BOUNDS.get(way, {}).get(row)
    if bound is None or first != "naive":
        return ""
    return f"bound {bound:.2f} {'met' if ratio <= bound else 'MISSED'}"
