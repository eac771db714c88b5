"""The documentation is whole and true as far as a program can tell: links, names, options, keys, paths."""

import inspect
import re
from collections.abc import Callable, Iterator

import pytest
from typer.testing import Result

import mobilevit_deploy
from mobilevit_deploy import errors
from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.checks.plan import Limits
from mobilevit_deploy.cli.app import BUG
from mobilevit_deploy.cli.interruption import INTERRUPTED
from mobilevit_deploy.rewrites.order import REWRITES
from mobilevit_deploy.targets.coreml.faults import FAULTS, PASSES
from mobilevit_deploy.targets.onnx import faults as onnx_faults
from tests.project.pages import ELSEWHERE, README, ROOT, anchors, blocks, commands, pages, without_code
from tools.docs import commands as reference
from tools.docs import keys, python_api, rewrite_lists
from tools.docs.markdown import attributes

PAGES = pages()


def links(text: str) -> Iterator[str]:
    yield from re.findall(r"\]\(([^)\s]+)\)", without_code(text))


@pytest.mark.parametrize("path", PAGES)
def test_every_link_leads_somewhere(path: str) -> None:
    for link in links(PAGES[path]):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        place = ((ROOT / path).parent / target).resolve() if target else ROOT / path
        there = place.relative_to(ROOT).as_posix()
        assert there in PAGES or place.exists(), link
        assert not anchor or anchor in anchors(PAGES[there]), link


def test_a_wrong_link_would_be_seen() -> None:
    assert list(links("[a](b.md#c), ![d](e.svg)\n\n```\n[f](g.md)\n```\n")) == ["b.md#c", "e.svg"]
    assert anchors("# A `b`: c's\n\n```\n# no\n```\n\n## D, e\n") == {"a-b-cs", "d-e"}


def test_every_page_is_in_the_navigation_once() -> None:
    _, _, navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")
    found = re.findall(r"[\w/-]+\.md", navigation)
    assert sorted(found) == sorted(path.removeprefix("docs/") for path in PAGES if path != README)


def test_the_readme_is_one_screen() -> None:
    text = PAGES[README]
    assert len(text.splitlines()) <= 120
    found = commands(text)
    assert {"make demo", "make test"} <= set(found)
    assert len(found) == 2 + 5, "the two commands of a new machine, and five lines of use"
    assert len(re.findall(r"^!\[", text, re.MULTILINE)) == 1


def test_the_readme_names_every_model() -> None:
    for card in catalog.models().values():
        variant = card.name.removeprefix(f"{card.family.family}_")
        assert re.search(rf"^\| [^|]*\b{variant}\b[^|]* \| classify", PAGES[README], re.MULTILINE), card.name


def test_make_has_the_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE) for command in ELSEWHERE)


@pytest.mark.parametrize("name", reference.commands())
def test_every_option_of_a_command_is_in_the_reference(
    name: str, mvd: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = mvd(name, "--help")
    assert shown.exit_code == 0
    text = PAGES[f"docs/reference/commands/{name}.md"]
    table = set(re.findall(r"^\| `(?:-h, )?(--[\w-]+)", text, re.MULTILINE))
    options = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", shown.stdout, re.MULTILINE))
    assert "--json" in options
    assert options == table
    assert " ".join(shown.stdout.split()).count("[default: artifacts]") == text.count("`artifacts`")
    assert f"# mvd {name}\n" in text


def test_every_key_has_a_meaning() -> None:
    for _, _, parts in keys.PAGES.values():
        for part in parts.values():
            meanings = attributes(inspect.cleandoc(part.__doc__ or ""))
            assert set(meanings) == set(part.model_fields), part.__name__


def test_every_key_of_the_data_is_in_the_reference() -> None:
    """What the recipes say stands in their page, whether at the top or in a table."""
    text = PAGES["docs/reference/recipes.md"]
    for path in (ROOT / "export_recipes").glob("*.toml"):
        for key in re.findall(r"^(\w+) = ", path.read_text(), re.MULTILINE):
            assert f"| `{key}` |" in text, f"{path.name}: {key}"


def test_every_gate_is_in_the_page_on_ci() -> None:
    assert {name for name in Limits.model_fields if f"`{name}" not in PAGES["docs/how-to/ci.md"]} == set()


def test_every_public_name_is_in_the_reference_of_python_once() -> None:
    found = sorted(name for names in python_api.SECTIONS.values() for name in names)
    assert found == sorted(set(mobilevit_deploy.__all__) - {"__version__"})
    text = PAGES["docs/reference/python.md"]
    assert all(re.search(rf"^::: mobilevit_deploy\.[\w.]+\.{name}$", text, re.MULTILINE) for name in found)


def test_every_schema_is_listed() -> None:
    text = PAGES["docs/reference/schemas.md"]
    assert all(f"(../schemas/{path.name})" in text for path in (ROOT / "docs" / "schemas").glob("*.json"))


def test_every_exit_code_has_its_line() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.MvdError)]
    codes = {0, BUG, INTERRUPTED, *(kind.exit_code for kind in kinds)}
    found = re.findall(r"^\| (\d+) \|", PAGES["docs/reference/exit-codes.md"], re.MULTILINE)
    assert sorted(map(int, found)) == sorted(codes)


def test_every_rewrite_is_on_the_page_of_its_family() -> None:
    folders = {path.parent.name for path in (ROOT / "mobilevit_deploy" / "rewrites").glob("*/__init__.py")}
    assert set(rewrite_lists.families()) == folders
    for family in folders:
        text = PAGES[f"docs/background/rewrites/{family}.md"]
        assert re.findall(r"^### (\w+)$", text, re.MULTILINE) == [item.name for item in rewrite_lists.members(family)]
        assert "(../../images/rewrites/" in text, "no picture"
        assert f"({family}.md)" in PAGES["docs/background/rewrites/index.md"]
    for rewrite in REWRITES:
        text = PAGES[f"docs/background/rewrites/{rewrite_lists.family_of(rewrite)}.md"]
        entry = text.partition(f"### {rewrite.name}\n")[2].partition("\n### ")[0]
        assert all(f"**{word}:**" in entry for word in ("Writes", "Source", "Proof")), rewrite.name
        assert "```text" in entry, f"{rewrite.name} does not say what it matches"
        assert "``" not in entry.replace("```", ""), f"{rewrite.name}: reStructuredText is left"


def test_every_fault_of_coremltools_is_on_its_page() -> None:
    text = PAGES["docs/background/faults.md"]
    assert [fault.message for fault in FAULTS if fault.message not in text] == []
    assert all(fault.remedy in text or " " in fault.remedy for fault in FAULTS)
    assert [name for name in PASSES if name not in text] == []
    for known in onnx_faults.FAULTS:
        assert f"**`{known.optimizer}`**, seen in {', '.join(known.seen_in)}, {known.message}" in " ".join(text.split())
    refused = [fault for fault in FAULTS if " " in fault.remedy]
    assert f"converts {len(FAULTS)} kinds of calls" in PAGES[README]
    assert f"rewrites {len(FAULTS) - len(refused)} of them exactly" in " ".join(PAGES[README].split())


# add-a-target.md names the files that its reader is to write; test_plugins.py writes them.
@pytest.mark.parametrize("path", [path for path in PAGES if path != "docs/add-a-target.md"])
def test_every_file_that_a_page_names_is_there(path: str) -> None:
    folders = "mobilevit_deploy|tests|tools|benchmarks|docs|devices|models|export_recipes"
    found = re.findall(rf"`((?:{folders})/[\w./-]+)`", PAGES[path])
    assert [name for name in found if not (ROOT / name).exists()] == []


def test_every_page_that_the_code_names_is_there() -> None:
    for folder in ("mobilevit_deploy", "benchmarks", "tests", "tools"):
        for path in (ROOT / folder).rglob("*.py"):
            for name in re.findall(r"(?<![\w/.])docs/[\w/-]+\.(?:md|svg|json)", path.read_text(encoding="utf-8")):
                assert name in PAGES or (ROOT / name).exists(), f"{path}: {name}"


def test_no_block_of_shell_has_what_only_a_mac_runs() -> None:
    for path, text in PAGES.items():
        shell = "\n".join(blocks(text, "sh"))
        assert not re.search(r"xcode|--backend coreml|--device|^sudo|^pip", shell, re.MULTILINE), path
