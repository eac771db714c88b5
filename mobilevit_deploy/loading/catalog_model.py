"""The models of the catalog: built from their cards, with the classes and heads that a checkpoint has.

For the tasks of a head (``models/heads/``) it is the family's backbone with that head's neck and head on its maps.
"""

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from mobilevit_deploy.architectures.heads.fpn import ChosenMaps
from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.head_card import HeadCard
from mobilevit_deploy.catalog.model_card import ModelCard, Task
from mobilevit_deploy.errors import CatalogError, CheckpointError
from mobilevit_deploy.loading.checkpoint import Checkpoint, Selection, read_checkpoint
from mobilevit_deploy.loading.fit_weights import differs, lacks
from mobilevit_deploy.loading.model_head import HeadOptions
from mobilevit_deploy.loading.names import COUNTER, name_forms
from mobilevit_deploy.loading.user_code import SEED

MAP_SIDE = 64  # of the image, in pixels, on which a backbone tells how many channels its maps have


def build_card(
    card: ModelCard,
    task: Task,
    num_classes: int | None,
    checkpoint: Checkpoint | None,
    options: HeadOptions | None = None,
) -> nn.Module:
    """Returns a card's model with the classes and heads that a checkpoint has, or those that are asked for.

    Its weights are random, and seeded; ``fit_weights`` loads the checkpoint's.

    Args:
        card: of the model.
        task: of the family, or of a head.
        num_classes: as asked for.
        checkpoint: whose weights follow.
        options: what is asked of a head.

    Raises:
        CatalogError: the card does not describe a model.
        CheckpointError: the checkpoint has another number of classes than was asked for.
    """
    head = catalog.heads().get(task)
    classes = num_classes or (head or card.family).num_classes
    parts = {}
    if checkpoint:
        parts = _options(card, checkpoint)
        classes = _check_classes(card, task, num_classes, checkpoint) or classes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        module = _build(card, task, classes, parts, options)
        if checkpoint is None:
            _randomise_norms(module)
            if head:
                _spread_outputs(module)
    return module


def lacks_of_card(card: ModelCard, task: Task, checkpoint: Checkpoint) -> int:
    """Returns how many tensors of a card's model a state dict lacks; nothing is built for it."""
    with torch.device("meta"):
        classes = _count_classes(card, task, checkpoint) or 1
        return lacks(_build(card, task, classes, _options(card, checkpoint)), checkpoint)


def _options(card: ModelCard, checkpoint: Checkpoint) -> dict[str, bool]:
    return {option: True for option, key in card.family.checkpoint.options.items() if checkpoint.holds(key)}


def _build(
    card: ModelCard, task: Task, classes: int, parts: dict[str, bool], options: HeadOptions | None = None
) -> nn.Module:
    head = catalog.heads().get(task)
    if head:
        return _add_head(head, card, _build(card, "features", 0, parts), classes, options or HeadOptions())
    family = card.family.family
    name = f"mobilevit_deploy.architectures.{family}"
    if not family.isidentifier() or importlib.util.find_spec(name) is None:
        raise CatalogError(f"the card of {card.name} is of a family {family!r}, which has no architecture here")
    build = importlib.import_module(name).build
    try:
        return cast(nn.Module, build(task, classes, **card.variant.architecture, **parts))
    except (TypeError, ValueError, LookupError, RuntimeError, ArithmeticError) as error:
        raise CatalogError(f"the card of {card.name} does not describe a {family}: {error}") from error


def _add_head(head: HeadCard, card: ModelCard, backbone: nn.Module, classes: int, options: HeadOptions) -> nn.Module:
    """Returns a backbone with a neck and a head on those of its maps that the head takes."""
    name = f"mobilevit_deploy.architectures.heads.{head.head}"
    if importlib.util.find_spec(name) is None:
        raise CatalogError(f"the card of {head.head!r} is of a head that has no architecture here")
    build = importlib.import_module(name).build
    with torch.no_grad():
        maps = backbone.eval()(torch.zeros(1, 3, MAP_SIDE, MAP_SIDE))
    if len(maps) != len(card.family.map_strides):
        raise CatalogError(
            f"the card of {card.name} tells the strides of other maps than the {len(maps)} that there are"
        )
    places = tuple(card.family.map_strides.index(stride) for stride in head.strides)
    chosen = ChosenMaps(places, tuple(maps[place].shape[1] for place in places), head.strides)
    try:
        inside = {"suppression": options.suppression_of(head)} if head.two_stages else {}
        output = options.output or head.outputs[0]
        return cast(nn.Module, build(backbone, chosen, classes, output, **inside, **head.architecture))
    except (TypeError, ValueError, LookupError, RuntimeError, ArithmeticError) as error:
        raise CatalogError(f"the card of {head.head} does not describe one: {error}") from error


def _count_classes(card: ModelCard, task: Task, checkpoint: Checkpoint) -> int | None:
    """Returns the classes of the checkpoint's head; None where it has none, or one that holds less than it claims.

    A model of that many classes is built before anything else is compared: a head whose other sizes are not the
    model's, or whose values are one value repeated, could ask for terabytes.
    """
    key, task = _counted_in(card, task)
    head = checkpoint.find(key)
    if head is None or head.ndim == 0 or head.layout != torch.strided or not head.shape[0]:
        return None
    with torch.device("meta"):
        expected = _build(card, task, 1, {}).state_dict().get(key)
    if expected is None:
        raise CatalogError(f"the card of {card.name} counts classes in {key!r}, which the model lacks")
    held = head.untyped_storage().nbytes() >= head.numel() * head.element_size()
    fits = head.shape[1:] == expected.shape[1:] and head.shape[0] % expected.shape[0] == 0
    return head.shape[0] // expected.shape[0] if held and fits else None


def _counted_in(card: ModelCard, task: Task) -> tuple[str, Task]:
    """Returns the name of the tensor that has the number of classes, and the task whose models have it."""
    head = catalog.heads().get(task)
    return (head.checkpoint.class_count, task) if head else (card.family.checkpoint.class_count, "classify")


def _check_classes(card: ModelCard, task: Task, num_classes: int | None, checkpoint: Checkpoint) -> int | None:
    """Returns the number of classes that the checkpoint has, where it has a head."""
    found = None if task == "features" else _count_classes(card, task, checkpoint)
    if found is None:
        return None
    if num_classes not in (None, found):
        raise CheckpointError(
            f"{checkpoint.path.name} has {found} classes in {_counted_in(card, task)[0]}, "
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


def _spread_outputs(module: nn.Module) -> None:
    """Gives a neck and a head weights that keep the spread of the values: PyTorch's own leave maps of one colour."""
    for name, part in module.named_modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and not name.startswith("backbone."):
            nn.init.kaiming_normal_(part.weight)


def model_of_file(path: Path, selection: Selection | None = None) -> tuple[str, Task]:
    """Returns the model and task of the catalog that the weights in a file fit.

    Args:
        path: of the checkpoint.
        selection: which of its weights; None for those that ``read_checkpoint`` takes by itself.

    Raises:
        CheckpointError: it cannot be read, or fits none.
    """
    found = recognise(read_checkpoint(path, selection))
    if found is None:
        own = "a function that returns torch.export.load(...).module() is one too; " if path.suffix == ".pt2" else ""
        raise CheckpointError(
            f"the weights in {path.name} fit none of mvd's models",
            f"name the model: mvd export MODEL --checkpoint {path}, where MODEL is path/to/file.py:function, "
            f"timm:NAME or another; {own}mvd list has those of mvd",
        )
    return found


def recognise(checkpoint: Checkpoint) -> tuple[str, Task] | None:
    """Returns the first model and task of the catalog that a checkpoint's names and shapes fit.

    Of a whole model its backbone is compared, and that it has the head's last layer.
    """
    whole = [task for task, head in catalog.heads().items() if checkpoint.holds(head.checkpoint.class_count)]
    forms = {name: tensor for key, tensor in checkpoint.tensors.items() for name in name_forms(key)} if whole else {}
    for card in catalog.models().values():
        options = _options(card, checkpoint)
        with torch.device("meta"):
            if whole and _holds_backbone(_build(card, "features", 0, options), forms):
                return card.name, whole[0]
            for task in () if whole else card.family.tasks:
                classes = _count_classes(card, task, checkpoint) or 1
                if not differs(_build(card, task, classes, options), checkpoint):
                    return card.name, task
    return None


def _holds_backbone(backbone: nn.Module, found: Mapping[str, Tensor]) -> bool:
    return all(
        name.endswith(COUNTER) or (f"backbone.{name}" in found and found[f"backbone.{name}"].shape == tensor.shape)
        for name, tensor in backbone.state_dict().items()
    )
