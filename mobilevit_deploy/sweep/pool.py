"""Cells on this machine: a few processes, each of which makes one at a time."""

import os
import queue
import threading
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from mobilevit_deploy.sweep.attempt import Host, Outcome, Task, attempt, failure
from mobilevit_deploy.sweep.engine import LOOK_S, Engine
from mobilevit_deploy.system.environment import available_cores


class Pool(Engine):
    """Processes of this machine; a cell that needs a phone or a quiet machine is made when no other is."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._threads = ThreadPoolExecutor(jobs, thread_name_prefix="mvd-sweep")
        self._hosts: dict[str, Host] = {}  # of each thread: Linux ends a process with the thread that started it
        self._waiting: deque[Task] = deque()
        self._alone: deque[Task] = deque()
        self._running: dict[str, Task] = {}
        self._done: queue.SimpleQueue[tuple[Task, Future[Outcome]]] = queue.SimpleQueue()
        self._closed = False

    def submit(self, task: Task, avoid: Collection[str] = ()) -> None:
        del avoid  # there is but one machine
        (self._alone if task.needs else self._waiting).append(task)

    def finished(self) -> Iterator[tuple[Task, Outcome] | None]:
        while self._waiting or self._alone or self._running:
            self._start()
            try:
                task, future = self._done.get(timeout=LOOK_S)
            except queue.Empty:
                yield None
                continue
            del self._running[task.id]
            yield task, _outcome(future)

    def running(self) -> Mapping[str, str]:
        return dict.fromkeys(self._running, "this machine")

    def close(self) -> None:
        self._closed = True
        for host in list(self._hosts.values()):
            host.stop()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for host in self._hosts.values():
            host.close()

    def _start(self) -> None:
        """Starts what there is room for."""
        if any(task.needs for task in self._running.values()):
            return
        while self._waiting and len(self._running) < self._jobs:
            self._run(self._waiting.popleft())
        if self._alone and not self._running:
            self._run(self._alone.popleft())

    def _run(self, task: Task) -> None:
        self._running[task.id] = task
        future = self._threads.submit(self._attempt, task)
        future.add_done_callback(lambda done: self._done.put((task, done)))

    def _attempt(self, task: Task) -> Outcome:
        name = threading.current_thread().name
        host = self._hosts.get(name)
        if host is None or not host.usable or host.worker != tuple(task.worker):
            if host:
                host.close()
            threads = os.environ.get("OMP_NUM_THREADS", str(max(1, available_cores() // self._jobs)))
            host = self._hosts[name] = Host(task.worker, {"OMP_NUM_THREADS": threads})
        if self._closed:
            return failure("interrupted")
        return attempt(task, host, "this machine")


def _outcome(future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except OSError as error:  # no process could be started, or has a folder
        return failure(f"the system refused: {error.strerror}")
