"""The models of the catalog: built from their cards, with the classes and heads that a checkpoint has."""

import importlib
import importlib.util
from typing import cast

import torch
from torch import nn

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.model_card import ModelCard, Task
from mobilevit_deploy.errors import CatalogError, CheckpointError
from mobilevit_deploy.loading.checkpoint import Checkpoint
from mobilevit_deploy.loading.fit_weights import differs, lacks
from mobilevit_deploy.loading.user_code import SEED


def build_card(card: ModelCard, task: Task, num_classes: int | None, checkpoint: Checkpoint | None) -> nn.Module:
    """Returns a card's model with the classes and heads that a checkpoint has, or those that are asked for.

    Its weights are random, and seeded; ``fit_weights`` loads the checkpoint's.

    Raises:
        CatalogError: the card does not describe a model.
        CheckpointError: the checkpoint has another number of classes than was asked for.
    """
    classes = num_classes or card.family.num_classes
    options = {}
    if checkpoint:
        rule = card.family.checkpoint
        options = {option: True for option, key in rule.options.items() if checkpoint.holds(key)}
        classes = _check_classes(card, task, num_classes, checkpoint) or classes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        module = _build(card, task, classes, options)
        if checkpoint is None:
            _randomise_norms(module)
    return module


def lacks_of_card(card: ModelCard, task: Task, checkpoint: Checkpoint) -> int:
    """Returns how many tensors of a card's model a state dict lacks; nothing is built for it."""
    options = {option: True for option, key in card.family.checkpoint.options.items() if checkpoint.holds(key)}
    with torch.device("meta"):
        return lacks(_build(card, task, _count_classes(card, checkpoint) or 1, options), checkpoint)


def _build(card: ModelCard, task: Task, classes: int, options: dict[str, bool]) -> nn.Module:
    family = card.family.family
    name = f"mobilevit_deploy.architectures.{family}"
    if not family.isidentifier() or importlib.util.find_spec(name) is None:
        raise CatalogError(f"the card of {card.name} is of a family {family!r}, which has no architecture here")
    build = importlib.import_module(name).build
    try:
        return cast(nn.Module, build(task, classes, **card.variant.architecture, **options))
    except (TypeError, ValueError, LookupError, RuntimeError, ArithmeticError) as error:
        raise CatalogError(f"the card of {card.name} does not describe a {family}: {error}") from error


def _count_classes(card: ModelCard, checkpoint: Checkpoint) -> int | None:
    """Returns the classes of the checkpoint's head; None where it has none, or one that holds less than it claims.

    A model of that many classes is built before anything else is compared: a head whose other sizes are not the
    model's, or whose values are one value repeated, could ask for terabytes.
    """
    rule = card.family.checkpoint
    head = checkpoint.find(rule.class_count)
    if head is None or head.ndim == 0 or head.layout != torch.strided or not head.shape[0]:
        return None
    with torch.device("meta"):
        expected = _build(card, "classify", 1, {}).state_dict().get(rule.class_count)
    if expected is None:
        raise CatalogError(f"the card of {card.name} counts classes in {rule.class_count!r}, which the model lacks")
    held = head.untyped_storage().nbytes() >= head.numel() * head.element_size()
    return head.shape[0] if held and head.shape[1:] == expected.shape[1:] else None


def _check_classes(card: ModelCard, task: Task, num_classes: int | None, checkpoint: Checkpoint) -> int | None:
    """Returns the number of classes that the checkpoint has, where it has a head."""
    found = _count_classes(card, checkpoint) if task == "classify" else None
    if found is None:
        return None
    if num_classes not in (None, found):
        raise CheckpointError(
            f"{checkpoint.path.name} has {found} classes in {card.family.checkpoint.class_count}, "
            f"not the {num_classes} of --num-classes",
            f"give --num-classes {found}, or leave it out",
        )
    return found


def _randomise_norms(module: nn.Module) -> None:
    """Gives norms statistics and gains other than 0 and 1, so that folding them wrongly would show."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
            for name, low, high in (
                ("running_mean", -0.2, 0.2),
                ("running_var", 0.5, 1.5),
                ("weight", 0.5, 1.5),
                ("bias", -0.2, 0.2),
            ):
                tensor = getattr(norm, name, None)
                if tensor is not None:
                    nn.init.uniform_(tensor, low, high)


def recognise(checkpoint: Checkpoint) -> tuple[str, Task] | None:
    """Returns the first model and task of the catalog that a checkpoint's names and shapes fit."""
    for card in catalog.models().values():
        rule = card.family.checkpoint
        options = {option: True for option, key in rule.options.items() if checkpoint.holds(key)}
        classes = _count_classes(card, checkpoint) or 1
        for task in card.family.tasks:
            with torch.device("meta"):
                module = _build(card, task, classes, options)
            if not differs(module, checkpoint):
                return card.name, task
    return None
