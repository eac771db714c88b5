"""``mvd list``."""

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.options import Json


def list_models(json: Json = False) -> None:
    """List the models: parameters, MACs, published top-1; and the libraries that others are taken from."""
    from mobilevit_deploy.catalog import catalog
    from mobilevit_deploy.catalog.document import card_document
    from mobilevit_deploy.report.cards import models_table

    cards = list(catalog.models().values())
    if json:
        console.print_json(
            {"schema": 1, "models": [card_document(card) for card in cards], "sources": list(catalog.sources())}
        )
    else:
        console.print_result(models_table(cards, catalog.sources()))
