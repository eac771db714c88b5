"""What pre-commit and GitHub are told: the same checks as ``make lint``, forms that can be filled in, a release."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import mobilevit_deploy
from tests.project.pages import blocks

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
FORMS = sorted(path.name for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
RELEASE = GITHUB / "workflows" / "release.yml"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def recipe_of(target: str) -> list[str]:
    """Returns the commands of a target of the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    variables = dict(re.findall(r"^(\w+) := (.*)$", makefile, re.MULTILINE))
    (block,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    lines = [line.strip() for line in block.splitlines()]
    return [re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], line) for line in lines]


def test_pre_commit_runs_what_make_lint_runs() -> None:
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    hooks = repository["hooks"]
    assert [hook["entry"] for hook in hooks] == recipe_of("lint")
    assert all((hook["language"], hook["pass_filenames"]) == ("system", False) for hook in hooks)
    assert len({hook["id"] for hook in hooks}) == len(hooks)


@pytest.mark.parametrize("name", FORMS)
def test_a_form_asks_for_what_is_needed(name: str) -> None:
    form = read(GITHUB / "ISSUE_TEMPLATE" / name)
    assert {"name", "description", "labels", "body"} == form.keys()
    for item in form["body"]:
        assert item.keys() <= {"type", "id", "attributes", "validations"}
        assert item["type"] == "textarea"
        assert item["attributes"]["label"]
        assert item["attributes"].keys() <= {"label", "description", "placeholder", "render"}
    identifiers = [item["id"] for item in form["body"]]
    assert len(set(identifiers)) == len(identifiers)
    required = {item["id"] for item in form["body"] if item.get("validations", {}).get("required")}
    needed = {"bug.yml": {"command", "doctor"}, "model-fails.yml": {"command", "doctor", "model"}}
    assert needed.get(name, {"example"}) <= required


def test_every_form_is_there() -> None:
    assert FORMS == ["bug.yml", "feature.yml", "model-fails.yml"]
    assert read(GITHUB / "ISSUE_TEMPLATE" / "config.yml") == {"blank_issues_enabled": False}


def test_a_release_is_published_without_a_token_and_says_that_it_was_never_run() -> None:
    assert "never been run" in RELEASE.read_text().splitlines()[0]
    workflow = read(RELEASE)
    assert workflow[True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 reads "on" as true
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
    assert workflow["permissions"] == {"contents": "read"}
    assert "permissions" not in build
    assert (publish["environment"], publish["permissions"]) == ("pypi", {"id-token": "write"})
    assert publish["needs"] == "build"
    assert [step.get("run") for step in publish["steps"]] == [None, None]
    assert publish["steps"][-1]["uses"].startswith("pypa/gh-action-pypi-publish@")
    assert "secrets" not in RELEASE.read_text()


@pytest.mark.parametrize(
    ("tag", "code"), [(f"v{mobilevit_deploy.__version__}", 0), ("v0.0.9", 1), (mobilevit_deploy.__version__, 1)]
)
def test_a_release_of_another_version_than_its_tag_stops(tag: str, code: int) -> None:
    (step,) = [item for item in read(RELEASE)["jobs"]["build"]["steps"] if item.get("name") == "the tag is the version"]
    environment = os.environ | {"GITHUB_REF_NAME": tag}
    assert subprocess.run(["bash", "-e", "-c", step["run"]], cwd=ROOT, env=environment).returncode == code


def examples(page: str) -> list[Any]:
    """Returns the blocks of a page that are YAML."""
    return [yaml.safe_load(block) for block in blocks((ROOT / "docs" / "how-to" / page).read_text(), "yaml")]


def test_the_examples_of_sweeps_make_every_part_and_the_page() -> None:
    cluster, github, gitlab = examples("sweep.md")
    assert cluster["kind"] == "DaskCluster"
    assert cluster["spec"]["worker"]["spec"]["containers"][0]["args"][-2:] == ["--nthreads", "1"]
    parts = github["jobs"]["part"]["strategy"]["matrix"]["shard"]
    steps = {name: [step.get("run", "") for step in job["steps"]] for name, job in github["jobs"].items()}
    (line,) = [line for line in steps["part"] if "mvd sweep" in line]
    assert f"--shard ${{{{ matrix.shard }}}}/{len(parts)}" in line
    assert parts == list(range(1, len(parts) + 1))
    for wanted in ("--collect", "mvd report sweep --matrix", "gh pr comment"):
        assert any(wanted in line for line in steps["page"])
    assert any("upload-sarif" in step.get("uses", "") for step in github["jobs"]["page"]["steps"])
    assert github["permissions"]["security-events"] == "write"
    assert gitlab["part"]["parallel"] > 1
    assert any("$CI_NODE_INDEX/$CI_NODE_TOTAL" in line for line in gitlab["part"]["script"])
    assert any("--collect" in line for line in gitlab["pages"]["script"])
    assert all(isinstance(line, str) for line in [*gitlab["part"]["script"], *gitlab["pages"]["script"]])


def test_the_example_of_checks_is_yaml() -> None:
    (github,) = examples("ci.md")
    assert any("mvd check" in step.get("run", "") for step in github["jobs"]["check"]["steps"])
