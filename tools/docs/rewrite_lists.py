"""What each page of a family of rewrites lists: every rewrite, from its docstring, its source and the recipes."""

import inspect
import sys
from collections.abc import Sequence

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.rewrites.order import REWRITES
from mobilevit_deploy.rewrites.proof import PROOF_LIMIT
from mobilevit_deploy.rewrites.rewrite import Rewrite
from tools.docs.markdown import code, from_docstring, prose, table

MARK = "<!-- the rewrites of this family, from their docstrings: written when the site is built -->"
FOLDER = "background/rewrites"


def families() -> list[str]:
    """Returns the families, which are the packages of ``mobilevit_deploy/rewrites``."""
    return sorted({family_of(rewrite) for rewrite in REWRITES})


def family_of(rewrite: Rewrite) -> str:
    """Returns the package that a rewrite lies in."""
    return type(rewrite).__module__.split(".")[-2]


def members(family: str) -> list[Rewrite]:
    """Returns a family's rewrites in the order in which they run."""
    return [rewrite for rewrite in REWRITES if family_of(rewrite) == family]


def listing(family: str) -> str:
    """Returns a family's rewrites in Markdown."""
    found = members(family)
    head = table(("rewrite", "writes"), [(f"[`{item.name}`](#{item.name})", prose(_summary(item))) for item in found])
    return f"## The rewrites\n\nIn the order in which they run.\n\n{head}\n" + "\n".join(map(entry, found))


def _summary(rewrite: Rewrite) -> str:
    return " ".join((inspect.getdoc(type(rewrite)) or "").split("\n\n")[0].split())


def entry(rewrite: Rewrite) -> str:
    """Returns one rewrite: what it matches and writes, why, its source, its proof, and who wants it."""
    module = type(rewrite).__module__
    docstring = inspect.getdoc(sys.modules[module]) or ""
    path = module.replace(".", "/")
    test = f"tests/rewrites/{family_of(rewrite)}/test_{rewrite.name}.py"
    kind = "Equal in exact arithmetic" if rewrite.exact else "An approximation"
    proof = (
        f"{kind}. Every export runs the rewritten graph in float64 beside the original one, and takes the rewrite back "
        f"where they differ by more than {PROOF_LIMIT:.0e} of the largest output."
    )
    return "\n".join(
        [
            f"### {rewrite.name}\n",
            f"{from_docstring(docstring)}\n",
            f"- **Writes:** {prose(_summary(rewrite))}",
            f"- **Source:** {_linked(prose(rewrite.source))}",
            f"- **Proof:** {proof}",
            f"- **Code and test:** {code(f'{path}.py')}, {code(test)}\n",
            table(("recipe", "why it wants the rewrite"), _wanted(rewrite.name)),
        ]
    )


def _linked(text: str) -> str:
    """Returns a source with the papers that it names as links."""
    words: list[str] = []
    for word in text.split(" "):
        number = word.rstrip(":;,.")
        if words and words[-1] == "arXiv" and number.replace(".", "").isdigit():
            words[-1:] = [f"[arXiv {number}](https://arxiv.org/abs/{number}){word[len(number) :]}"]
        else:
            words.append(word)
    return " ".join(words)


def _wanted(name: str) -> Sequence[Sequence[str]]:
    return [
        (code(recipe.name), item.reason)
        for recipe in catalog.recipes().values()
        for item in recipe.rewrites
        if item.name == name
    ]


def complete(path: str, text: str) -> str:
    """Returns a page with its family's list in place of the mark, where it has one."""
    if MARK not in text:
        return text
    family = path.rpartition("/")[2].removesuffix(".md")
    return text.replace(MARK, listing(family))
