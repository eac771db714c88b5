"""What runs the cells of a sweep: one interface, and what is behind it runs them where it can."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from types import TracebackType

from mobilevit_deploy.sweep.attempt import Outcome, Task

LOOK_S = 0.5  # how often what runs where is looked at


class Engine(ABC):
    """Makes cells, in any order; at the end of a ``with`` block nothing of it runs any more."""

    @abstractmethod
    def submit(self, task: Task, avoid: Collection[str] = ()) -> None:
        """Takes a cell, to make when there is room.

        Args:
            task: the cell.
            avoid: places that it failed in; it is made elsewhere where there is another one.
        """

    @abstractmethod
    def finished(self) -> Iterator[tuple[Task, Outcome] | None]:
        """Yields what is finished, as it comes, and None from time to time; ends when nothing is left.

        More may be submitted meanwhile.

        Raises:
            MvdError: no more can be made; what is finished has its files in place.
        """

    @abstractmethod
    def running(self) -> Mapping[str, str]:
        """Returns where each cell is made at present, by its id."""

    @abstractmethod
    def close(self) -> None:
        """Ends everything, also what is being made."""

    def waits_for(self, _tasks: Collection[Task]) -> str:
        """Returns what some cells need and no worker has, so that they wait for one that does; empty for nothing."""
        return ""

    def __enter__(self) -> "Engine":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()
