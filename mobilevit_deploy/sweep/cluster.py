"""Cells on a Dask cluster: its scheduler says where each is made, by the resources that its workers offer.

A cell is made in a child process of the worker (``attempt``), as on one machine. What Dask does when a worker dies, it
gives the cell to another one, stands as it is; a cell that fails is given back, and begun again elsewhere.
"""

import queue
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from mobilevit_deploy.errors import MvdError, UsageError
from mobilevit_deploy.sweep.attempt import Host, Outcome, Task, attempt, failure
from mobilevit_deploy.sweep.engine import LOOK_S, Engine
from mobilevit_deploy.system.environment import pip_command

if TYPE_CHECKING:
    from distributed import Future, Worker

CONNECT_S = 10.0
AGAIN_S = 60.0  # as long a lost scheduler is waited for
CANCELLED = "cancelled"  # Dask's word, of a task that nobody waits for any more

# Dask lets its workers give memory back at once, and then every tensor is asked of the system anew: an export of
# lightvit_small to ONNX took 1.18 times the processor's time. A cell's process ends, and gives all of it back.
OF_CELLS = {"MALLOC_TRIM_THRESHOLD_": None}

_hosts = threading.local()  # of each thread of a worker: Linux ends a process with the thread that started it


class Cluster(Engine):
    """Workers of a Dask scheduler."""

    def __init__(self, address: str) -> None:
        """Connects.

        Raises:
            UsageError: this is no address.
            MvdError: ``distributed`` is not installed, or nobody answers.
        """
        try:
            from distributed import Client
        except ImportError as error:
            raise MvdError(
                "--scheduler needs Dask, not installed here", pip_command(["distributed"], "cluster")
            ) from error
        try:
            self._client = Client(address, timeout=CONNECT_S, set_as_default=False)
        except ValueError as error:
            raise UsageError(
                f"{address!r} is no address of a scheduler", "give one like tcp://10.0.0.5:8786"
            ) from error
        except OSError as error:
            raise MvdError(
                f"no Dask scheduler answers at {address}", "dask scheduler starts one, and says its address"
            ) from error
        self._address = address
        self._tasks: dict[str, tuple[Task, Future[Outcome]]] = {}  # by the key that Dask knows it by
        self._done: queue.SimpleQueue[str] = queue.SimpleQueue()

    def submit(self, task: Task, avoid: Collection[str] = ()) -> None:
        key = f"mvd-{task.digest[:16]}-{uuid4().hex}"
        elsewhere = self._others(task, avoid) if avoid else []
        given: dict[str, Any] = {"workers": elsewhere, "allow_other_workers": True} if elsewhere else {}
        try:
            future = self._client.submit(
                _attempt_here, task, key, key=key, pure=False, resources=dict(task.needs) or None, **given
            )
        except Exception as error:  # what a closed client raises is not one kind
            raise self._lost() from error
        self._tasks[key] = task, future
        future.add_done_callback(lambda done: self._done.put(done.key))

    def finished(self) -> Iterator[tuple[Task, Outcome] | None]:
        while self._tasks:
            try:
                key = self._done.get(timeout=LOOK_S)
            except queue.Empty:
                self._check()
                yield None
                continue
            task, future = self._tasks.pop(key)
            yield task, self._outcome(future)

    def running(self) -> Mapping[str, str]:
        try:
            processing: Mapping[str, Collection[str]] = self._client.processing()
            names = {address: name for address, name, _ in self._workers()}
        except Exception:  # between two connections
            return {}
        return {
            self._tasks[key][0].id: names.get(address, address)
            for address, keys in processing.items()
            for key in keys
            if key in self._tasks
        }

    def waits_for(self, tasks: Collection[Task]) -> str:
        offered = [set(resources) for _, _, resources in self._workers()]
        lacking = [task for task in tasks if task.needs and not any(task.needs.keys() <= have for have in offered)]
        if not lacking:
            return ""
        needs = " and ".join(f"{name}={amount:g}" for name, amount in lacking[0].needs.items())
        return f"{len(lacking)} cells wait for workers: no worker here offers {needs}"

    def close(self) -> None:
        with suppress(Exception):  # it may be gone
            self._client.cancel([future for _, future in self._tasks.values()])
        self._client.close()

    def _outcome(self, future: "Future[Outcome]") -> Outcome:
        if future.status == CANCELLED:  # by nobody but a scheduler that is gone
            self._check()
            return failure("the connection to the scheduler was lost", worker="")
        try:
            outcome: Outcome = future.result()
        except Exception as error:  # KilledWorker, and what a worker raises that is of another release
            last = getattr(error, "last_worker", None)
            return failure(f"the worker died: {error}"[:4000], worker=str(getattr(last, "name", "")))
        return outcome

    def _check(self) -> None:
        """Waits for a scheduler whose connection was lost; raises MvdError where it does not come back."""
        end = time.monotonic() + AGAIN_S
        while self._client.status == "connecting" and time.monotonic() < end:
            time.sleep(LOOK_S)
        if self._client.status != "running":
            raise self._lost()

    def _lost(self) -> MvdError:
        return MvdError(
            f"the scheduler at {self._address} was lost", "what is finished is kept; --resume goes on when it is back"
        )

    def _workers(self) -> list[tuple[str, str, Mapping[str, float]]]:
        """Returns address, name and resources of each worker."""
        known = self._client.scheduler_info()["workers"]
        return [(address, str(item["name"]), item.get("resources", {})) for address, item in known.items()]

    def _others(self, task: Task, avoid: Collection[str]) -> list[str]:
        return [
            address
            for address, name, resources in self._workers()
            if name not in avoid and task.needs.keys() <= resources.keys()
        ]


def _attempt_here(task: Task, key: str) -> Outcome:
    """Makes a cell on a worker."""
    from distributed import get_worker

    worker = get_worker()
    host: Host | None = getattr(_hosts, "host", None)
    if host is None or host.worker != tuple(task.worker) or not host.usable:
        if host:
            host.close()
        host = _hosts.host = Host(task.worker, OF_CELLS)
    with _stopped_with(worker, key, host):
        return attempt(task, host, str(worker.name))


@contextmanager
def _stopped_with(worker: "Worker", key: str, host: Host) -> Iterator[None]:
    """Ends a cell that nobody waits for: Dask cancels a task that runs by name alone."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_S):
            state = worker.state.tasks.get(key)
            if state is None or state.state == CANCELLED:
                host.stop()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
