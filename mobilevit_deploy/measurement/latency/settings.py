"""What a user may set of ONNX Runtime: provider, options, huge pages; a wrong name is an error, never ignored."""

import mmap
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from mobilevit_deploy.errors import MeasurementError, UsageError

CPU = "CPUExecutionProvider"
PROVIDER_PREFIX = "provider."
_SUFFIX = "ExecutionProvider"
_TUNABLES = "GLIBC_TUNABLES"
_HUGE_PAGES = "glibc.malloc.hugetlb=1"  # madvise(MADV_HUGEPAGE) for what malloc takes from the system
_MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_LIBRARIES = {".so", ".dylib", ".pyd", ".dll"}
_HUGE_PAGES_SINCE = (2, 35)  # glibc's release notes


@dataclass(frozen=True)
class RuntimeSettings:
    """Checked settings of a session.

    Attributes:
        provider: ONNX Runtime's name of it.
        session_entries: session configuration entries by key.
        provider_options: by key.
        variables: environment variables that the process is given.
    """

    provider: str = CPU
    session_entries: Mapping[str, str] = field(default_factory=dict)
    provider_options: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)


def read_settings(provider: str = CPU, options: Sequence[str] = (), huge_pages: bool = False) -> RuntimeSettings:
    """Checks what was asked for against the ONNX Runtime that is installed.

    Args:
        provider: its name, with or without ``ExecutionProvider``, in any case.
        options: ``KEY=VALUE``; keys that begin with ``provider.`` are the provider's, all others session configuration
            entries.
        huge_pages: give memory of malloc as huge pages.

    Raises:
        MeasurementError: a provider that is not installed; huge pages that the system does not have.
        UsageError: an option without a value, or that ONNX Runtime does not know.
    """
    chosen = _find_provider(provider)
    entries: dict[str, str] = {}
    provider_options: dict[str, str] = {}
    for text in options:
        key, equals, value = text.partition("=")
        if not equals or not key or not value:
            raise UsageError(f"--option takes KEY=VALUE, not {text!r}", "such as session.intra_op.allow_spinning=0")
        if key.startswith(PROVIDER_PREFIX):
            provider_options[key.removeprefix(PROVIDER_PREFIX)] = value
        else:
            check_entry(key)
            entries[key] = value
    if provider_options and chosen == CPU:
        raise UsageError(
            f"{CPU} takes no options: {', '.join(provider_options)}",
            "a session's own entries go without the prefix provider.",
        )
    return RuntimeSettings(chosen, entries, provider_options, _huge_page_variables() if huge_pages else {})


def recommend(settings: RuntimeSettings, noted: Sequence[str] = ()) -> tuple[str, ...]:
    """Returns what was measured to help, works on this machine and was not asked for.

    The figures are in ``docs/background/latency.md``.

    Args:
        settings: that were asked for.
        noted: entries that a file notes of itself, ``KEY=VALUE``.
    """
    if settings.provider != CPU:
        return ()
    lacking = [entry for entry in noted if entry.partition("=")[0] not in settings.session_entries]
    found = [f"--option {entry}: mvd tune found that it helps this file" for entry in lacking]
    if not settings.variables and has_huge_pages():
        found.append("--huge-pages: 1.5 to 4.5 % faster on six of the models that mvd was tried with")
    return tuple(found)


def has_huge_pages() -> bool:
    """Tells whether malloc can ask for huge pages here."""
    try:
        _huge_page_variables()
    except MeasurementError:
        return False
    return True


def _find_provider(name: str) -> str:
    import onnxruntime

    available: list[str] = onnxruntime.get_available_providers()
    for provider in available:
        if name.lower() in (provider.lower(), provider.removesuffix(_SUFFIX).lower()):
            return provider
    raise MeasurementError(
        f"onnxruntime {onnxruntime.__version__} has no provider {name!r} here", f"it has {', '.join(sorted(available))}"
    )


def check_entry(key: str) -> None:
    """Raises UsageError for a key of no session configuration entry.

    ONNX Runtime takes any key and ignores those that it does not know. What it does know stands as text in its library.
    """
    import onnxruntime

    folder = Path(onnxruntime.__file__).parent / "capi"
    libraries = sorted(file for file in folder.iterdir() if _LIBRARIES & set(file.suffixes))
    if not libraries or not key.isascii():
        raise UsageError(f"no session configuration entry is called {key!r}")
    known: set[str] = set()
    for library in libraries:
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if re.fullmatch(r"[a-z]+\.[\w.]*\w", key) and content.find(b"\0" + key.encode() + b"\0") >= 0:
                return
            found = re.findall(rb"\0((?:session|optimization|memory|mlas|ep)\.[a-z0-9_.]*[a-z0-9])(?=\0)", content)
            known |= {item.decode() for item in found}
    close = get_close_matches(key, known, n=3)
    raise UsageError(
        f"onnxruntime {onnxruntime.__version__} has no session configuration entry {key!r}, and would ignore it",
        f"did you mean {' or '.join(close)}?"
        if close
        else f"options of a provider begin with {PROVIDER_PREFIX}; see onnxruntime_session_options_config_keys.h",
    )


def _huge_page_variables() -> dict[str, str]:
    """Returns what makes glibc ask for huge pages, beside the tunables that are set already."""
    name, version = platform.libc_ver()
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if name != "glibc" or numbers < _HUGE_PAGES_SINCE:
        raise MeasurementError(
            f"--huge-pages needs Linux with glibc 2.35 or later, not {name or platform.system()} {version}",
            "leave it out",
        )
    mode = _huge_page_mode()
    if mode is None or "[never]" in mode:
        raise MeasurementError("--huge-pages: this system has transparent huge pages switched off", f"see {_MODE}")
    return {_TUNABLES: ":".join(filter(None, (os.environ.get(_TUNABLES), _HUGE_PAGES)))}


def _huge_page_mode() -> str | None:
    """Returns what Linux says of its huge pages, the choice in brackets."""
    try:
        return _MODE.read_text()
    except OSError:
        return None
