"""What a phone's figures depend on at the moment: heat, battery, screen and the clocks' governors."""

import re
from dataclasses import dataclass

from mobilevit_deploy.measurement.android.adb import script

# Source: AThermalStatus, https://developer.android.com/ndk/reference/group/thermal
THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
PART = "mvd-next-part"
# One call for all of it: each takes some hundred milliseconds of a phone's processor, and some of ours.
ASKED = (
    f"dumpsys thermalservice; echo {PART}; dumpsys battery; echo {PART}; dumpsys power; echo {PART}; "
    "cat /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
)


@dataclass(frozen=True)
class Conditions:
    """A phone at one moment; None for what it does not tell.

    Attributes:
        thermal_status: Android's word for how much it is throttled; ``none`` is best.
        battery_percent: of its charge.
        battery_celsius: of the battery.
        charging: whether a cable feeds it, the one of adb too.
        screen_on: whether it is awake; Android slows a phone that sleeps.
        governors: of its cores' clocks, each once.
    """

    thermal_status: str | None = None
    battery_percent: int | None = None
    battery_celsius: float | None = None
    charging: bool | None = None
    screen_on: bool | None = None
    governors: tuple[str, ...] = ()


def read_conditions(serial: str) -> Conditions:
    """Asks a phone; raises AdbError where it cannot be reached."""
    parts = script(serial, ASKED).out.split(PART)
    heat, battery, power, governors = [*parts, "", "", ""][:4]
    thermal, tenths = _number(heat, r"Thermal Status: (\d+)"), _number(battery, r"temperature: (\d+)")
    powered = re.findall(r"(?:AC|USB|Wireless|Dock) powered: (true|false)", battery)
    awake = re.search(r"mWakefulness=(\w+)", power)
    return Conditions(
        thermal_status=THERMAL[thermal] if thermal is not None and thermal < len(THERMAL) else None,
        battery_percent=_number(battery, r"level: (\d+)"),
        battery_celsius=None if tenths is None else tenths / 10,
        charging="true" in powered if powered else None,
        screen_on=awake[1] == "Awake" if awake else None,
        governors=tuple(dict.fromkeys(item for item in governors.split() if re.fullmatch(r"\w{1,30}", item))),
    )


def _number(text: str, pattern: str) -> int | None:
    found = re.search(pattern, text)
    return int(found[1][:6]) if found else None
