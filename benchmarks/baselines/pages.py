"""What is timed, and which pages show it: ``pages.toml``."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.cards import Card
from mobilevit_deploy.catalog.model_card import Task


@dataclass(frozen=True)
class Case:
    """What a row is of: a model as it is timed; ``size`` is of both sides of its image, in px."""

    model: str
    task: Task
    size: int
    threads: int

    def __str__(self) -> str:
        """Returns the model's name, and what differs from the classifier at its own size on one thread."""
        parts = [self.model, *([self.task] if self.task != "classify" else [])]
        parts += [f"{self.size} px"] if self.size != own_size(self.model, self.task) else []
        return ", ".join([*parts, *([f"{self.threads} threads"] if self.threads > 1 else [])])


class Rows(Card):
    """Every combination of its values; ``sizes`` are in px, and models have their own without any."""

    models: tuple[str, ...] = ("*",)
    tasks: tuple[Task, ...] = ("classify",)
    sizes: tuple[int, ...] = ()
    threads: tuple[int, ...] = (1,)

    def cases(self) -> Iterator[Case]:
        """Yields what is timed, in the catalog's order."""
        for model in catalog.models():
            if not matches(model, self.models):
                continue
            for task in self.tasks:
                for size, threads in product(self.sizes or (own_size(model, task),), self.threads):
                    yield Case(model, task, size, threads)


class Page(Card):
    """A page; see ``pages.toml`` for what its values mean."""

    title: str
    ways: tuple[str, ...]
    beside: tuple[tuple[str, str], ...] = ()
    rows: tuple[Rows, ...] = (Rows(),)
    plot: bool = False

    def cases(self) -> list[Case]:
        """Returns what it shows, those of one model together."""
        order = list(catalog.models())
        return sorted((case for rows in self.rows for case in rows.cases()), key=lambda case: order.index(case.model))


def own_size(model: str, task: Task) -> int:
    """Returns the size that a model is timed at where nothing else is said, in px."""
    return catalog.input_rule(catalog.model(model), task).default_size


def matches(model: str, patterns: Iterable[str]) -> bool:
    """Tells whether a model is one of those that patterns such as ``cas_vit_*`` name."""
    return any(fnmatchcase(model, pattern) for pattern in patterns)


def ways_by_case(pages: Iterable[Page]) -> dict[Case, tuple[str, ...]]:
    """Returns everything that pages show, each case once, with the ways of all of them."""
    found: dict[Case, dict[str, None]] = {}
    for page in pages:
        for case in page.cases():
            found.setdefault(case, {}).update(dict.fromkeys(page.ways))
    return {case: tuple(ways) for case, ways in found.items()}


PAGES: Mapping[str, Page] = {
    name: Page.model_validate(table)
    for name, table in tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")).items()
}
