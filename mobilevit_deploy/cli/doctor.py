"""``mvd doctor``."""

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.options import Json


def doctor(json: Json = False) -> None:
    """Show versions, and what works on this machine and what does not, with the reason."""
    from mobilevit_deploy.report.doctor import diagnosis_table
    from mobilevit_deploy.targets.doctor import diagnose

    diagnosis = diagnose()
    if json:
        console.print_json({"schema": 1, **diagnosis.document()})
    else:
        console.print_result(diagnosis_table(diagnosis))
