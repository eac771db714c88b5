"""The reference of the Python API: what ``mobilevit_deploy.__all__`` names, by what it is for."""

import importlib
from collections.abc import Mapping

import mobilevit_deploy

PATH = "reference/python.md"

# Every public name once, under the heading where it is looked for.
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Export": (
        "ModelRequest",
        "HeadOptions",
        "ExportRequest",
        "Annotations",
        "AppOptions",
        "export_model",
        "ExportReport",
    ),
    "Load": ("load_model", "LoadedModel"),
    "Verify": ("VerifyRequest", "verify_artifact", "VerifyReport"),
    "Measure": ("LatencyRequest", "measure_latency", "LatencyReport"),
    "Compare": ("ComparisonRequest", "compare_artifacts", "Comparison"),
    "Tune": ("TuneRequest", "this_machine", "tune_model", "TuneReport"),
    "Predict": ("PredictRequest", "predict", "PredictReport"),
    "Code for apps": ("SnippetRequest", "write_snippet", "Snippet"),
    "Profile": ("ProfileRequest", "profile_artifact", "ProfileReport"),
    "Inspect": ("inspect_model", "inspect_artifact", "Inspection"),
    "Check": ("GatesRequest", "run_checks", "Checked"),
    "Sweep": ("SweepRequest", "run_sweep", "Sweep"),
    "Errors": ("MvdError", "CheckFailedError", "ParityFailedError", "VerifyFailedError"),
}
INTRODUCTION = """# Python API

`from mobilevit_deploy import ...` gives these names, and no others are promised; `__version__` is the package's
version. [The page with examples](../how-to/python.md) shows each in use.
"""


def page() -> str:
    """Returns the page: a heading and mkdocstrings' directive for each name."""
    text = INTRODUCTION
    for section, names in SECTIONS.items():
        text += f"\n## {section}\n"
        for name in names:
            text += f"\n::: {home(name)}.{name}\n"
    return text


def home(name: str) -> str:
    """Returns the module that defines a public name."""
    found = getattr(mobilevit_deploy, name)
    module: str = found.__module__
    assert getattr(importlib.import_module(module), name) is found
    return module


def pages() -> dict[str, str]:
    """Returns the page by its path in the documentation."""
    return {PATH: page()}
