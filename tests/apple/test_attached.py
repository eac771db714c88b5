"""``mvd devices``: what is attached, in the JSON of both kinds of Xcode, and what stands in the way."""

import json

import pytest

from mobilevit_deploy.apple.attached import device_of, list_devices, read_device
from mobilevit_deploy.catalog import catalog
from tests.apple.conftest import IDENTIFIER, UDID, Mvd, StandIn
from tests.support.apple_tools import devicectl
from tests.support.apple_tools.state import State
from tests.support.schemas import check as check_document


@pytest.mark.parametrize("mode", ["xcode_26", "xcode_27"])
def test_the_attached_iphone(tools: StandIn, mvd: Mvd, mode: str) -> None:
    tools.set(mode)
    document = json.loads(mvd("devices", "--json").stdout)
    assert document["problem"] is None
    (device,) = document["attached"]  # Xcode 27 lists simulators too
    assert device == {
        "name": "Anna\u2019s iPhone",
        "model": "iPhone 13",
        "product_type": "iPhone14,5",
        "identifier": IDENTIFIER,
        "udid": UDID,
        "os_version": "18.5",
        "os_build": "22F76",
        "connection": "wired",
        "tunnel": "connected",
        "paired": True,
        "developer_mode": "enabled",
        "locked": False,
        "profile": "iphone_13",
        "ready": True,
        "obstacles": [],
    }
    assert tools.calls()[1][:4] == ["xcrun", "devicectl", "list", "devices"]


def test_xcode_27_with_the_deprecated_fields_beside(tools: StandIn) -> None:
    tools.set()
    state = State(tools.folder / "state")
    old = devicectl.devices(state)[0]
    both = {**old, **devicectl.as_xcode_27(old)}
    assert read_device(both) == read_device(old) == list_devices()[0]


def test_every_obstacle_is_shown_with_its_next_step(tools: StandIn, mvd: Mvd) -> None:
    tools.set("developer_mode_off", "locked")
    (device,) = check_document("devices", mvd("devices", "--json").stdout)["attached"]
    assert not device["ready"]
    assert [item["message"] for item in device["obstacles"]] == ["Developer Mode is off", "it is locked"]
    assert all(item["hint"] for item in device["obstacles"])
    shown = mvd("devices").stdout
    assert "Developer Mode is off: on the iPhone: Settings" in shown
    assert "it is locked: unlock it" in shown


def test_what_is_copied_is_not_broken_on_a_narrow_terminal(
    tools: StandIn, mvd: Mvd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    tools.set("two_of_one_name")
    shown = mvd("devices").stdout
    attached = json.loads(mvd("devices", "--json").stdout)["attached"]
    assert len(attached) == 2
    for device in attached:
        assert f"--device {device['udid']}" in shown  # the name is of both
    assert shown.index(UDID) < shown.index("iphone_12"), "what is attached stands before what may be"
    assert all(f"\n{name} " in shown for name in catalog.devices())
    assert max(map(len, shown.splitlines())) <= 80


def test_without_xcode_the_profiles_are_shown_all_the_same(
    tools: StandIn, mvd: Mvd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tools.folder))
    result = mvd("devices", "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert "there is no xcrun here" in document["problem"]["message"]
    assert document["attached"] == []
    assert [profile["name"] for profile in document["profiles"]] == list(catalog.devices())
    assert "no xcrun here" in mvd("devices").stdout


def test_the_profiles_know_every_iphone_from_12_to_17() -> None:
    iphones = [card for card in catalog.devices().values() if card.kind == "iphone"]
    identifiers = [name for card in iphones for name in card.identifiers]
    assert len(identifiers) == len(set(identifiers))
    # The numbers of Apple's product types: 13 is the iPhone 12, and 18 the iPhone 17; 14,6 is an SE.
    ranges = {13: range(1, 5), 14: (2, 3, 4, 5, 7, 8), 15: range(2, 6), 16: (1, 2), 17: range(1, 6), 18: range(1, 5)}
    assert set(identifiers) == {f"iPhone{major},{minor}" for major, minors in ranges.items() for minor in minors}
    assert catalog.devices()["host"].compute_units == iphones[0].compute_units
    assert device_of("iPhone14,6") is None
