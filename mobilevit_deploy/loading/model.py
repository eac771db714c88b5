"""From a MODEL argument to an ``nn.Module`` with weights that are accounted for.

A MODEL is a card of the catalog, a function of the user's own (``file.py:function``, ``package.module:function``), or a
name that a source of models knows (``timm:mobilevit_s``), see ``source``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.head_card import HeadCard
from mobilevit_deploy.catalog.model_card import Layout, LibraryCard, ModelCard, Preprocessing, Task
from mobilevit_deploy.catalog.tensor_input import TensorInput, first_image
from mobilevit_deploy.errors import ChoiceError, UsageError
from mobilevit_deploy.loading.catalog_model import build_card, lacks_of_card, recognise
from mobilevit_deploy.loading.checkpoint import Checkpoint, Selection, read_checkpoint
from mobilevit_deploy.loading.class_names import ClassNames
from mobilevit_deploy.loading.declared_head import add_declared_head, class_names
from mobilevit_deploy.loading.fit_weights import Fitted, choose, fit_weights, lacks
from mobilevit_deploy.loading.model_head import HeadOptions, ModelHead
from mobilevit_deploy.loading.next_step import next_step
from mobilevit_deploy.loading.plain_module import (
    TensorOutputs,
    give_shapes,
    is_channels_last,
    runs,
    take_by_name,
    take_channels_first,
    to_evaluation,
    unwrap,
)
from mobilevit_deploy.loading.source import FromLibrary, check_vouched, digest_of
from mobilevit_deploy.loading.user_code import ModelCode, find_code
from mobilevit_deploy.loading.weights_origin import WeightsOrigin

DEFAULT_SIZE = 224


@dataclass(frozen=True)
class ModelRequest:
    """What a user asked for; ``None`` leaves the choice to the card or the checkpoint.

    ``size`` is (height, width) or (channels, height, width), in pixels. ``arguments`` are those of the user's function,
    or of a library's model; ``pretrained`` takes the library's own weights, which may download them. ``layout`` is
    that of the images which the file takes; a model that is written for (N, C, H, W) is left so. ``inputs`` are those
    of a model that takes more than one image, in place of ``size`` and ``batch``. ``head`` is what is asked of the
    tasks that have a head. ``vouched`` is the user's word on where a model of their own code, that loads its weights by
    itself, has them from.
    """

    name: str
    task: Task = "classify"
    checkpoint: Path | None = None
    selection: Selection = field(default_factory=Selection)
    num_classes: int | None = None
    size: tuple[int, ...] | None = None
    batch: int = 1
    require_trained: bool = False
    pretrained: bool = False
    arguments: Mapping[str, object] = field(default_factory=dict)
    layout: Layout = "nchw"
    inputs: tuple[TensorInput, ...] = ()
    head: HeadOptions = field(default_factory=HeadOptions)
    vouched: str | None = None


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode, float32, on the CPU; ``input_shape`` is (B, C, H, W), also for ``layout`` nhwc.

    ``card`` is the catalog's, ``library`` what a library says of its own model, ``arguments`` what that was built with,
    and ``outputs`` leaves out what of the outputs is no tensor. ``layout_found`` tells that nobody gave the layout,
    ``size_found`` that the checkpoint gave the size.
    ``inputs`` are there where the user named them: one run takes one of each, so the batch of ``input_shape`` is 1, and
    its other sizes are the first image's. ``head`` is set for the tasks that have one.
    """

    name: str
    task: Task
    module: nn.Module
    input_shape: tuple[int, int, int, int]
    weights: WeightsOrigin
    card: ModelCard | None
    library: LibraryCard | None = None
    arguments: Mapping[str, object] = field(default_factory=dict)
    outputs: TensorOutputs | None = None
    layout: Layout = "nchw"
    layout_found: bool = False
    size_found: bool = False
    inputs: tuple[TensorInput, ...] = ()
    head: ModelHead | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Returns what of the model's outputs is left out, after it was run, and what was found out by running it."""
        left_out = self.outputs.left_out if self.outputs else ()
        notes = [f"left out of the outputs: {'; '.join(left_out)}"] if left_out else []
        if self.layout_found:
            notes.append("the model takes (N, H, W, C), as it was seen to: --layout nhwc says so")
        if self.size_found:
            _, _, height, width = self.input_shape
            notes.append(
                f"images are {height}x{width}, as the checkpoint says that it was trained; --input-size takes others"
            )
        return tuple(notes)

    @property
    def preprocessing(self) -> Preprocessing | None:
        """Returns the card's preprocessing; a model of the user's own has none that mvd knows."""
        if self.head:
            return self.head.preprocessing
        if self.card:
            return self.card.family.preprocessing
        return self.library.preprocessing if self.library else None


def load_model(request: ModelRequest) -> LoadedModel:
    """Builds a model, from the catalog, a library or the user's own code, and loads its checkpoint.

    Raises:
        ChoiceError: no such model or task, or a size that it cannot take.
        CheckpointError: see ``read_checkpoint`` and ``fit_weights``.
        ModelCodeError: the user's code, or a library's, failed.
        UsageError: options that do not go with this model, or --require-trained without a checkpoint.
    """
    card = None if catalog.is_own_code(request.name) else catalog.model(request.name)
    _check_options(request, card)
    if card:
        shape = _input_shape(request, card)  # what cannot be is refused before anything is read
    checkpoint = read_checkpoint(request.checkpoint, request.selection) if request.checkpoint else None
    if card and checkpoint:
        checkpoint = choose(checkpoint, partial(lacks_of_card, card, request.task))
    code, built = None, cast("nn.Module | FromLibrary | None", None)
    if card:
        built = build_card(card, request.task, request.num_classes, checkpoint, request.head)
    else:
        code = find_code(request.name)
        built = _from_code(code, request)
    library = built if isinstance(built, FromLibrary) else None
    module = to_evaluation(unwrap(library.module if library else cast(nn.Module, built)).float().cpu())
    shape = shape if card else _input_shape(request, library.card if library else None)
    give_shapes(module, shape)
    told = checkpoint.image_size if checkpoint and not (request.size or request.inputs) else None
    if told and card and not catalog.input_rule(card, request.task).allows(request.task, *told):
        told = None
    size_found = told not in (None, shape[2:])
    shape = (*shape[:2], *told) if told else shape
    if request.layout == "nhwc" and not card and is_channels_last(module, shape):
        take_channels_first(module)
    if request.inputs:
        take_by_name(module, [item.name for item in request.inputs])
    weights = WeightsOrigin(trained=False)
    if checkpoint:
        takes = (library and library.takes_checkpoint) or module
        if not card:
            checkpoint = choose(checkpoint, partial(lacks, takes))
        weights = _origin(checkpoint, _fit(takes, card, code, request, checkpoint), request.selection)
    elif library and library.weights:
        weights = WeightsOrigin(True, library.folder, digest_of(module), None, library.not_loaded, library.weights)
    elif request.vouched is not None:
        weights = WeightsOrigin(True, sha256=digest_of(module), vouched=request.vouched)
    if request.require_trained and not weights.trained:
        raise UsageError(
            "--require-trained, but no checkpoint was given",
            "add --checkpoint FILE" + ("" if card else ", or --trained 'where from' where the code loads its weights"),
        )
    outputs = None if card else TensorOutputs.of(module)
    rule = request.head.rule_of(request.name, request.task)
    if rule and not isinstance(rule, HeadCard):
        module = add_declared_head(module, rule, shape, request.head.output or rule.outputs[0])
    classes, notes = ClassNames(), tuple[str, ...]()
    if rule:
        meta, of_library = checkpoint.meta if checkpoint else {}, library.card.classes if library else ()
        classes, notes = class_names(rule, cast(Any, module).num_classes, meta, of_library)
    return LoadedModel(
        name=catalog.artifact_name(request.name),
        task=request.task,
        module=module,
        input_shape=shape,
        weights=replace(weights, notes=(*weights.notes, *notes)),
        card=card,
        library=library.card if library else None,
        arguments={} if card else _arguments(request),
        outputs=outputs,
        layout=request.layout,
        size_found=size_found,
        inputs=request.inputs,
        head=request.head.head_of(rule, module, classes, library.card.preprocessing if library else None)
        if rule
        else None,
    )


def try_channels_last(model: LoadedModel) -> LoadedModel | None:
    """Returns a model that does not take (N, C, H, W) as one that takes (N, H, W, C); None where it does neither."""
    scripted = isinstance(model.module, torch.jit.ScriptModule)
    if model.card or model.head or model.inputs or model.layout != "nchw" or scripted:
        return None
    batch, channels, height, width = model.input_shape
    if not runs(model.module, (batch, height, width, channels)):
        return None
    take_channels_first(model.module)
    return replace(model, layout="nhwc", layout_found=True)


def _check_options(request: ModelRequest, card: ModelCard | None) -> None:
    if request.checkpoint is None and request.selection != Selection():
        raise UsageError(f"{request.selection.option}, but no checkpoint was given", "add --checkpoint FILE")
    if request.pretrained and request.checkpoint:
        raise UsageError("--pretrained and --checkpoint are both weights", "leave one of them out")
    check_vouched(
        request.vouched, request.name, checkpoint=request.checkpoint is not None, pretrained=request.pretrained
    )
    if request.inputs:
        _check_inputs(request, card)
    if card:
        _check_task(request, card)
    request.head.check(request.name, request.task, request.batch)
    if card is None:
        return
    if request.pretrained:
        raise UsageError("--pretrained is for models by name from a library", "give --checkpoint FILE")
    if request.arguments:
        names = ", ".join(request.arguments)
        raise UsageError(f"--model-arg {names}, but {card.name} is described by its card", "leave it out")
    if request.require_trained and request.checkpoint is None:  # before anything is built
        raise UsageError("--require-trained, but no checkpoint was given", "add --checkpoint FILE")


def _check_task(request: ModelRequest, card: ModelCard) -> None:
    """Raises ChoiceError for a task that a model does not have, and says why."""
    tasks, head = catalog.tasks_of(card), catalog.heads().get(request.task)
    if request.task in tasks:
        return
    why = ""
    if head:
        have, takes = (", ".join(map(str, strides)) for strides in (card.family.map_strides, head.strides))
        why = f": its maps have the strides {have}, and {head.title} takes {takes}"
    raise ChoiceError(f"{card.name} has no task {request.task}{why}", f"it has {', '.join(tasks)}")


def _check_inputs(request: ModelRequest, card: ModelCard | None) -> None:
    """Raises UsageError for options beside --input that say the same of one image."""
    if card:
        raise UsageError(f"--input, but {card.name} takes one image", "leave it out, or give --input-size")
    given: dict[str, object] = {
        f"--task {request.task}": request.head.declaration,
        "--input-size": request.size,
        "--batch": request.batch != 1,
        f"--layout {request.layout}": request.layout != "nchw",
    }
    for option, is_given in given.items():
        if is_given:
            raise UsageError(f"{option} with --input, which gives every size", "leave one of them out")


def _from_code(code: ModelCode, request: ModelRequest) -> nn.Module | FromLibrary:
    pretrained = True if request.pretrained else False if request.checkpoint else None
    built = code.build(_arguments(request), pretrained=pretrained)
    if request.pretrained and isinstance(built, nn.Module):  # of a source that another package adds
        library, _, name = request.name.partition(":")
        return FromLibrary(built, LibraryCard(library=library), weights=f"{library}, {name}")
    return built


def _arguments(request: ModelRequest) -> dict[str, object]:
    classes = {} if request.num_classes is None else {"num_classes": request.num_classes}
    return {**request.arguments, **classes}


def _origin(checkpoint: Checkpoint, fitted: Fitted, selection: Selection) -> WeightsOrigin:
    return WeightsOrigin(
        trained=True,
        path=str(checkpoint.path),
        sha256=checkpoint.sha256,
        key=checkpoint.key,
        not_loaded=tuple(dict.fromkeys((*checkpoint.not_loaded, *fitted.not_loaded))),
        not_read=checkpoint.not_read,
        prefix=selection.prefix,
        ignore=selection.ignore,
        notes=fitted.notes,
    )


def _input_shape(request: ModelRequest, card: ModelCard | LibraryCard | None) -> tuple[int, int, int, int]:
    size: tuple[int, ...]
    if request.inputs:
        image = first_image(request.inputs)
        if image is None:
            raise UsageError("none of --input has the axes of an image", "give one as NAME=1xCxHxW")
        _, channels, height, width = image.shape
        return 1, channels, height, width
    if isinstance(card, ModelCard):
        rule = catalog.input_rule(card, request.task)
        default = (3, rule.default_size, rule.default_size)
    else:
        default = (card and card.input_size) or (3, DEFAULT_SIZE, DEFAULT_SIZE)
    size = request.size or default
    channels, height, width = size if len(size) == 3 else (default[0], *size)
    if isinstance(card, ModelCard):
        if channels != 3:
            raise ChoiceError(f"{card.name} takes images of 3 channels, not {channels}", "give --input-size N or HxW")
        rule.check(card.name, request.task, height, width)
    return request.batch, channels, height, width


def _fit(
    module: nn.Module, card: ModelCard | None, code: ModelCode | None, request: ModelRequest, checkpoint: Checkpoint
) -> Fitted:
    def advise() -> str | None:
        if code:
            return next_step(module, checkpoint, code)
        fitting = recognise(checkpoint)
        if not fitting or fitting == (request.name, request.task):
            return None
        return f"these weights fit {fitting[0]} with --task {fitting[1]}"

    head = catalog.heads().get(request.task) if card else None
    aside = head.checkpoint.left_aside if head else ()
    return fit_weights(module, checkpoint, left_aside=aside, next_step=advise)
