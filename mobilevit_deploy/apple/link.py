"""The link to coremltools' app on an iPhone, watched; import this where coremltools may be imported.

coremltools 9.0 asks 20 times, half a second apart, and then says that a file does not exist: the same for an app that
has ended, a locked iPhone, a pulled cable, and a model that takes long to load. The two classes here are its own, with
what it lacks: they notice that the app has ended, look at the iPhone while they wait, and wait as long as is right.
"""

import asyncio
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from coremltools.models.ml_program.experimental import remote_device

from mobilevit_deploy.apple.attached import AttachedDevice, list_devices, with_lock_state
from mobilevit_deploy.apple.place import end_processes
from mobilevit_deploy.apple.tools import error_lines
from mobilevit_deploy.errors import MeasurementError

FOLDER = "Documents/modelrunnerd"  # of the app, where requests and responses lie
PING = "MLModelService.Ping"  # the app knows no such method, and says so: any answer shows that it listens
LOAD = "MLModelService.Load"
POLL_S = 0.5  # between two looks for an answer, as coremltools has it
FEWEST_LOOKS = 3  # for an answer, before silence is called so: where devicectl itself is slow, seconds say little
LOOK_S = 5.0  # between two looks at the iPhone: they are two calls of devicectl, so not more often
MANY = 1_000_000  # attempts; time decides here, not their number


@dataclass(frozen=True)
class Patience:
    """How long the app may be silent.

    Attributes:
        answer_s: when it was just launched; less than coremltools' eleven seconds.
        call_s: for a prediction, a compute plan or an unload.
        load_s: for a load, which compiles a large model for the Neural Engine at first.
    """

    answer_s: float = 9.0
    call_s: float = 60.0
    load_s: float = 120.0

    def limit_s(self, method: str) -> float:
        """Returns the limit of one call."""
        return {PING: self.answer_s, LOAD: self.load_s}.get(method, self.call_s)


class RefusedError(MeasurementError):
    """The app answered that it cannot do what was asked."""


class WatchedSession(remote_device._AppSession):  # type: ignore[misc]  # coremltools has no types
    """The app as it runs, with the process that shows its console.

    Attributes:
        broken: why nothing came back once; nothing is asked after that.
        looks: how often an answer was looked for.
    """

    broken: MeasurementError | None = None
    looks = 0

    def __init__(self, session: Any, folder: Path, attached: AttachedDevice) -> None:
        """Takes over a session.

        Args:
            session: coremltools' own.
            folder: for the files of each request.
            attached: the iPhone.
        """
        super().__init__(session.device, session._process, session.installation_info, folder)
        self._attached = attached

    @property
    def is_alive(self) -> bool:
        """Tells whether the app runs. coremltools has a method here, and takes it for true without calling it."""
        return self._process.poll() is None

    def receive_file_from_app(self, destination_path: Path, source: str) -> Any:
        """Fetches a file of the app, as coremltools does, and counts."""
        self.looks += 1
        return super().receive_file_from_app(destination_path, source)

    def explain(self) -> MeasurementError | None:
        """Returns why nothing comes from the app; None where nothing is known to be wrong."""
        name = f"{self._attached.name} ({self._attached.model})"
        ended = not self.is_alive
        seen = next((item for item in list_devices() if item.identifier == self._attached.identifier), None)
        if seen is None or not seen.reachable:
            return MeasurementError(
                f"{name} went away while it was measured", "plug it in again, leave the cable alone, and repeat"
            )
        seen = with_lock_state(seen)
        for obstacle in seen.obstacles() if seen.locked else ():
            return MeasurementError(f"{name}: {obstacle.message}, since it was being measured", obstacle.hint)
        if ended:
            return MeasurementError(
                f"the app on {name} has ended: {self._last_words()}", "repeat; see docs/how-to/iphone.md"
            )
        return None

    def end(self) -> None:
        """Ends the app, and ``devicectl``: coremltools' ``stop`` ends no more than the shell that it runs in."""
        with suppress(psutil.NoSuchProcess):
            shell = psutil.Process(self._process.pid)
            end_processes([*shell.children(recursive=True), shell])
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            stream.close()

    def _last_words(self) -> str:
        text = b"".join(stream.read() for stream in (self._process.stdout, self._process.stderr))
        lines = error_lines(text.decode(errors="replace"))
        return lines[-1] if lines else f"its console closed with code {self._process.returncode}"


class WatchedService(remote_device._DeviceCtlRemoteService):  # type: ignore[misc]
    """Calls of the app."""

    def __init__(self, patience: Patience, socket: Any) -> None:
        super().__init__(socket, poll_time=POLL_S, max_attempts=MANY)
        self._patience = patience

    async def call_method(self, name: str, params: Any, resource: Path | None = None) -> Any:
        """Returns the app's answer; raises MeasurementError with the reason where there is none."""
        session = self.socket.device.session
        if session.broken:
            raise session.broken
        try:
            return await self._watch(name, super().call_method(name, params, resource))
        except RefusedError:
            raise
        except MeasurementError as error:
            session.broken = error
            raise

    async def _watch(self, name: str, answer: Coroutine[Any, Any, Any]) -> Any:
        """Waits for an answer, and looks at the iPhone meanwhile."""
        limit_s, session = self._patience.limit_s(name), self.socket.device.session
        begin = looked = time.monotonic()
        looks = session.looks + FEWEST_LOOKS
        call = asyncio.ensure_future(answer)
        try:
            while not (await asyncio.wait({call}, timeout=POLL_S))[0]:
                now = time.monotonic()
                late = now - begin > limit_s and session.looks >= looks
                if late or not session.is_alive or now - looked > LOOK_S:
                    looked = now
                    if error := await asyncio.to_thread(session.explain):
                        raise error
                if late:
                    raise self._silence(name, limit_s)
            return call.result()
        except remote_device._DeviceCtlError as error:
            raise await asyncio.to_thread(self._failure, name, error) from error
        finally:
            call.cancel()

    def fire_and_forget(self, name: str, params: Any, resource: Path | None = None) -> None:
        """Does nothing: coremltools makes a coroutine here that nobody awaits. We unload by ourselves."""

    def _failure(self, name: str, error: Any) -> MeasurementError:
        """Returns what a failed call is to a user: a negative code is the app's own answer, others are devicectl's."""
        text = error.message.decode(errors="replace") if isinstance(error.message, bytes) else str(error.message)
        what = name.rpartition(".")[2].lower()
        if isinstance(error.error_code, int) and error.error_code < 0:
            return RefusedError(f"the iPhone refuses the {what}: {text}", "mvd inspect tells what the package holds")
        said = (error_lines(text) or ["devicectl does not say why"])[-1]
        return self.socket.device.session.explain() or MeasurementError(f"the {what} failed: {said}", "repeat it")

    def _silence(self, name: str, limit_s: float) -> MeasurementError:
        if name == PING:
            return MeasurementError(
                f"the app was launched on {self.socket.device.name} and did not answer within {limit_s:.0f} s",
                "look at the iPhone: trust the developer in Settings > General > VPN & Device Management, "
                "close any alert, and repeat",
            )
        what = name.rpartition(".")[2].lower()
        more = "; a large model may need more: --load-limit SECONDS" if name == LOAD else ""
        return MeasurementError(
            f"the {what} on {self.socket.device.name} did not end within {limit_s:.0f} s",
            f"keep the iPhone unlocked and cool, and repeat{more}",
        )


@contextmanager
def watched_calls(patience: Patience) -> Iterator[None]:
    """Gives coremltools the watched service, the one thing of it that is replaced, while it lasts."""
    own = remote_device._DeviceCtlRemoteService
    remote_device._DeviceCtlRemoteService = partial(WatchedService, patience)
    try:
        yield
    finally:
        remote_device._DeviceCtlRemoteService = own


async def ping(device: Any) -> None:
    """Returns when the app has answered; raises MeasurementError when it does not."""
    service = remote_device._DeviceCtlRemoteService(socket=remote_device._DeviceCtlSocket(device, source=FOLDER))
    try:
        await service.call_method(name=PING, params={})
    except RefusedError:
        return
