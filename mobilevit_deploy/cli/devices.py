"""``mvd devices``."""

from typing import TYPE_CHECKING

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.options import Json

if TYPE_CHECKING:
    from mobilevit_deploy.apple.attached import AttachedDevice
    from mobilevit_deploy.errors import MeasurementError
    from mobilevit_deploy.measurement.android.attached import AttachedPhone


def devices(json: Json = False) -> None:
    """Show device profiles, and the phones attached now with what stands in the way of each."""
    from mobilevit_deploy.apple.document import iphones_document
    from mobilevit_deploy.catalog import catalog
    from mobilevit_deploy.measurement.android.document import phones_document
    from mobilevit_deploy.report.devices import devices_table

    profiles = list(catalog.devices().values())
    iphones, phones = _iphones(), _phones()
    if json:
        document = {"schema": 1, "profiles": [profile.model_dump(mode="json") for profile in profiles]}
        console.print_json({**document, **iphones_document(*iphones), "android": phones_document(*phones)})
    else:
        console.print_result(devices_table(profiles, iphones, phones))


def _iphones() -> "tuple[list[AttachedDevice], MeasurementError | None]":
    """Returns the attached iPhones, or why they cannot be looked for: profiles are shown everywhere."""
    from mobilevit_deploy.apple.attached import list_devices, with_lock_state
    from mobilevit_deploy.apple.tools import require_tools
    from mobilevit_deploy.errors import MeasurementError

    try:
        require_tools()
        return [with_lock_state(device) if device.reachable else device for device in list_devices()], None
    except MeasurementError as error:
        return [], error


def _phones() -> "tuple[list[AttachedPhone], MeasurementError | None]":
    """Returns the attached Android phones, or why they cannot be looked for."""
    from mobilevit_deploy.errors import MeasurementError
    from mobilevit_deploy.measurement.android.attached import list_phones

    try:
        return list_phones(), None
    except MeasurementError as error:
        return [], error
