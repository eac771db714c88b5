"""What may be set of ONNX Runtime."""

import platform

import onnxruntime
import pytest

from mobilevit_deploy.errors import MeasurementError, UsageError
from mobilevit_deploy.measurement.latency import settings
from mobilevit_deploy.measurement.latency.settings import CPU, read_settings, recommend


def test_options_go_where_their_prefix_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CoreMLExecutionProvider", CPU])
    found = read_settings(
        "coreml", ["session.intra_op.allow_spinning=0", "provider.MLComputeUnits=CPUOnly", "provider.x=a=b"]
    )
    assert found.provider == "CoreMLExecutionProvider"
    assert found.session_entries == {"session.intra_op.allow_spinning": "0"}
    assert found.provider_options == {"MLComputeUnits": "CPUOnly", "x": "a=b"}
    assert found.variables == {}


@pytest.mark.parametrize("name", ["cpu", "CPU", "CPUExecutionProvider", "cpuexecutionprovider"])
def test_names_of_a_provider(name: str) -> None:
    assert read_settings(name).provider == CPU


def test_an_unknown_provider_lists_what_there_is() -> None:
    with pytest.raises(MeasurementError, match="has no provider 'cuda' here") as caught:
        read_settings("cuda")
    assert caught.value.hint is not None
    assert all(name in caught.value.hint for name in onnxruntime.get_available_providers())


@pytest.mark.parametrize("text", ["", "session.disable_prepacking", "=1", "session.disable_prepacking="])
def test_an_option_without_key_or_value(text: str) -> None:
    with pytest.raises(UsageError, match="takes KEY=VALUE"):
        read_settings(options=[text])


def test_an_entry_that_onnx_runtime_would_ignore() -> None:
    # The premise: it takes any key.
    onnxruntime.SessionOptions().add_session_config_entry("session.intra_op.allow_spining", "0")
    with pytest.raises(
        UsageError, match=r"no session configuration entry 'session\.intra_op\.allow_spining'"
    ) as caught:
        read_settings(options=["session.intra_op.allow_spining=0"])
    assert "session.intra_op.allow_spinning" in str(caught.value.hint)
    with pytest.raises(UsageError, match="would ignore it") as caught:
        read_settings(options=["MLComputeUnits=CPUOnly"])
    assert "begin with provider." in str(caught.value.hint)
    for text in ("CPUExecutionProvider", "session.", "session.*"):  # in the library too, perhaps, but no entries
        with pytest.raises(UsageError):
            read_settings(options=[f"{text}=1"])


def test_the_cpu_takes_no_options() -> None:
    with pytest.raises(UsageError, match="takes no options: arena"):
        read_settings(options=["provider.arena=1"])


def test_huge_pages_are_added_to_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(settings, "_huge_page_mode", lambda: "always [madvise] never")
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    assert read_settings(huge_pages=True).variables == {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=1")
    assert read_settings(huge_pages=True).variables == {
        "GLIBC_TUNABLES": "glibc.malloc.arena_max=1:glibc.malloc.hugetlb=1"
    }


@pytest.mark.parametrize(
    ("libc", "mode", "message"),
    [
        (("glibc", "2.31"), "[madvise]", r"glibc 2\.35 or later, not glibc 2\.31"),
        (("", ""), "[madvise]", r"glibc 2\.35 or later, not "),
        (("glibc", "2.36"), "always madvise [never]", "switched off"),
        (("glibc", "2.36"), None, "switched off"),
    ],
)
def test_huge_pages_that_are_not_there(
    monkeypatch: pytest.MonkeyPatch, libc: tuple[str, str], mode: str | None, message: str
) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: libc)
    monkeypatch.setattr(settings, "_huge_page_mode", lambda: mode)
    with pytest.raises(MeasurementError, match=message):
        read_settings(huge_pages=True)


def test_huge_pages_are_recommended_where_they_work_and_were_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(settings, "_huge_page_mode", lambda: "always [madvise] never")
    (text,) = recommend(read_settings())
    assert text.startswith("--huge-pages")
    assert recommend(read_settings(huge_pages=True)) == ()
    monkeypatch.setattr(settings, "_huge_page_mode", lambda: "always madvise [never]")
    assert recommend(read_settings()) == ()
