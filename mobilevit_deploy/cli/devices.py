"""``mvd devices``."""

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.options import Json


def devices(json: Json = False) -> None:
    """Show device profiles, and the iPhones attached now with what stands in the way of each."""
    from mobilevit_deploy.apple.attached import AttachedDevice, list_devices, with_lock_state
    from mobilevit_deploy.apple.document import devices_document
    from mobilevit_deploy.apple.tools import require_tools
    from mobilevit_deploy.catalog import catalog
    from mobilevit_deploy.errors import MeasurementError
    from mobilevit_deploy.report.devices import devices_table

    profiles = list(catalog.devices().values())
    attached: list[AttachedDevice] = []
    problem: MeasurementError | None = None
    try:
        require_tools()
        attached = [with_lock_state(device) if device.reachable else device for device in list_devices()]
    except MeasurementError as error:  # profiles are shown everywhere
        problem = error
    if json:
        console.print_json(devices_document(profiles, attached, problem))
    else:
        console.print_result(devices_table(profiles, attached, problem))
