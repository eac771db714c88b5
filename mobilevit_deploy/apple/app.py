"""coremltools' app on an iPhone: built once for a team and kept, installed, launched, watched, and ended."""

from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from mobilevit_deploy.apple.attached import OLDEST_IOS, OLDEST_IOS_FOR_FUNCTIONS, parse_version
from mobilevit_deploy.apple.place import Place
from mobilevit_deploy.apple.preflight import Ready
from mobilevit_deploy.apple.signing import bundle_identifier
from mobilevit_deploy.apple.tools import check_shell_safe, error_lines, on_path
from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.system.cache_folder import cache_folder
from mobilevit_deploy.targets.coreml.quiet import quiet_coreml

Progress = Callable[[str], None]
LOG = "xcodebuild.log"
ACCOUNTS = "add your Apple account in Xcode > Settings > Accounts, check the team's ID, and repeat"
IOS_BY_SPECIFICATION = {9: (18, 0)}  # older ones run wherever the app does
SIGNING = ("development team", "provisioning", "signing", "No Account", "No profiles", "bundle identifier")


class RunnerApp(Place):
    """The app on one iPhone, as a context manager; ``device`` is what coremltools' benchmarks take."""

    def __init__(
        self, ready: Ready, load_limit_s: float | None = None, progress: Progress = lambda _stage: None
    ) -> None:
        """Prepares nothing yet.

        Args:
            ready: the iPhone and the team, checked.
            load_limit_s: how long a load may take; None for two minutes.
            progress: is told each stage.
        """
        super().__init__()
        self._ready, self._load_limit_s, self._progress = ready, load_limit_s, progress

    def check(self, name: str, model: Any) -> None:
        """Raises MeasurementError when the iPhone's iOS is older than the package, or than its functions need."""
        needed = IOS_BY_SPECIFICATION.get(model.specificationVersion, OLDEST_IOS)
        if model.description.functions:
            needed = max(needed, OLDEST_IOS_FOR_FUNCTIONS)
        version = parse_version(self._ready.device.os_version)
        if version and version < needed:
            raise MeasurementError(
                f"{name} needs iOS {needed[0]}, and {self._ready.device.name} has {self._ready.device.os_version}",
                "export it with a lower --min-ios, or without --sizes; or update the iPhone",
            )

    def facts(self) -> Mapping[str, Any]:
        """Returns the iPhone with its chip, iOS and build, and the tools that measured it."""
        device = self._ready.device
        chip = device.profile.chip if device.profile else None
        return {
            "cpu": f"{device.model} ({chip})" if chip else device.model,
            "os": device.os,
            "device": device.name,
            "product_type": device.product_type,
            "connection": device.connection,
            "xcode": self._ready.xcode,
        }

    def thermal_state(self) -> str | None:
        """Returns None: neither ``devicectl`` nor coremltools' app tells it."""
        return None

    def _open(self) -> None:
        with quiet_coreml():
            # Here, for it imports coremltools, which is kept quiet.
            from mobilevit_deploy.apple.link import Patience, WatchedSession, ping, watched_calls
        patience = Patience() if self._load_limit_s is None else Patience(load_s=self._load_limit_s)
        check_shell_safe(self.folder, "the folder for temporary files", "set TMPDIR to another one")
        self._stack.enter_context(on_path(self._ready.devicectl))
        self._stack.enter_context(watched_calls(patience))
        prepared = self._prepare()
        session = WatchedSession(prepared.session, self.folder, self._ready.device)
        self._stack.callback(session.end)
        self.device = _with_session(prepared, session)
        self.run(ping(self.device))

    def _prepare(self) -> Any:
        """Returns coremltools' device with the app running; builds it where it is not kept, or no longer installs."""
        kept = _kept_folder(self._ready.team)
        mark = kept / f"{self._ready.device.udid}.built"  # without it a build was not finished
        if mark.exists():
            self._progress(f"starting the app on {self._ready.device.name}")
            try:
                return self._build_and_launch(kept, clean=False)
            except InstallError:  # such as a free account's signature, which holds for seven days
                mark.unlink()
        self._progress(f"building the app for {self._ready.device.name}, once: this takes a minute or more")
        prepared = self._build_and_launch(kept, clean=True)
        mark.touch()
        return prepared

    def _build_and_launch(self, kept: Path, clean: bool) -> Any:
        from coremltools.models.ml_program.experimental import remote_device

        check_shell_safe(
            remote_device._ModelRunnerAppBuilder._get_project_path(),
            "coremltools is installed where its app's project",
            "use an environment in another folder",
        )
        credentials = remote_device.AppSigningCredentials(
            development_team=self._ready.team, bundle_identifier=bundle_identifier(self._ready.team)
        )
        try:
            return self.run(
                _describe(self._ready).prepare_for_model_debugging(
                    credentials=credentials, working_directory=kept, clean=clean
                )
            )
        except remote_device._AppBuilder.Error as error:
            raise _build_failure(error, kept) from error
        except remote_device._DeviceCtlError as error:
            raise InstallError(
                f"the app cannot be installed on {self._ready.device.name}: {_said(error.message)}",
                "unlock the iPhone, check that it has room, and repeat; "
                "docs/how-to/iphone.md has what Apple's messages mean",
            ) from error
        except (ValueError, AttributeError, OSError) as error:  # as coremltools raises them, for a missing project too
            raise MeasurementError(
                f"coremltools cannot prepare the iPhone: {error}", "mvd doctor; MVD_DEBUG=1"
            ) from error


class InstallError(MeasurementError):
    """The app was built and does not install."""


def _kept_folder(team: str) -> Path:
    """Returns the folder of the built app: another coremltools or another team builds another one."""
    kept = cache_folder() / "modelrunner" / f"{metadata.version('coremltools')}-{team}"
    check_shell_safe(kept, "the folder for the built app", "set MVD_CACHE to another one")
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MeasurementError(f"cannot make {kept}: {error.strerror}", "set MVD_CACHE to another folder") from error
    return kept


def _describe(ready: Ready) -> Any:
    """Returns coremltools' description of the iPhone, made here, for its own reader finds none in Xcode 27's JSON."""
    from coremltools.models.ml_program.experimental import remote_device

    device = ready.device
    return remote_device.Device(
        name=device.name,
        type=remote_device.DeviceType.IPHONE,
        identifier=device.identifier,
        udid=device.udid,
        os_version=device.os_version,
        os_build_number=device.os_build,
        developer_mode_state=device.developer_mode,
        state=remote_device.DeviceState.CONNECTED,
        session=None,
    )


def _with_session(device: Any, session: Any) -> Any:
    from dataclasses import replace

    return replace(device, session=session)


def _build_failure(error: Exception, kept: Path) -> MeasurementError:
    """Returns why Xcode did not build; coremltools drops its output, which the error below its own still has."""
    below = error.__context__
    output = getattr(below, "stdout", None) or b""
    text = output.decode(errors="replace")
    log = kept / LOG
    log.write_text(text, encoding="utf-8")
    lines = [line for line in error_lines(text) if "BUILD FAILED" not in line]
    said = lines[0] if lines else f"it ended with code {getattr(below, 'returncode', 'unknown')} and said nothing"
    signing = any(word.lower() in text.lower() for word in SIGNING)
    return MeasurementError(
        f"Xcode does not build the app: {said}",
        f"{ACCOUNTS if signing else 'open Xcode once, so that it installs what it needs for iOS'}; all it said: {log}",
    )


def _said(message: Any) -> str:
    text = message.decode(errors="replace") if isinstance(message, bytes) else str(message)
    return (error_lines(text) or ["devicectl does not say why"])[-1]
