"""``mvd show``."""

from typing import Annotated

import typer

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.options import Json


def show(
    model: Annotated[str, typer.Argument(help="A name from `mvd list`.")],
    json: Json = False,
) -> None:
    """Show one model's card, whole."""
    from mobilevit_deploy.catalog import catalog
    from mobilevit_deploy.catalog.document import card_document
    from mobilevit_deploy.report.cards import card_table

    card = catalog.model(model)
    if json:
        console.print_json({"schema": 1, **card_document(card), "card": card.model_dump(mode="json")})
    else:
        console.print_result(card_table(card))
