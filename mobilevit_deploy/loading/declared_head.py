"""A model with a head of its own, and the file that declares it: whether they fit, and the two as one module."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mobilevit_deploy.architectures.heads.anchors import by_box, default_layout
from mobilevit_deploy.architectures.heads.declared import Path, below, build, paths_of
from mobilevit_deploy.catalog.head_card import HeadCard, Output
from mobilevit_deploy.catalog.head_declaration import DetectorDeclaration, Levels, Logits, Numbers, SegmenterDeclaration
from mobilevit_deploy.errors import CatalogError, DoesNotRunError, MvdError
from mobilevit_deploy.loading.class_names import ClassNames, find_class_names
from mobilevit_deploy.loading.model_head import HeadRule

AXES = {"B": "images", "N": "boxes", "C": "values", "H": "rows", "W": "columns"}
SHOWN = 20  # outputs in a message

Declared = DetectorDeclaration | SegmenterDeclaration
Outputs = Mapping[Path, Tensor]


def add_declared_head(
    module: nn.Module, declaration: Declared, shape: tuple[int, int, int, int], output: Output
) -> nn.Module:
    """Returns a model whose outputs have the form of a head of the catalog.

    Args:
        module: as the user's code or a library built it, in evaluation mode.
        declaration: of its head.
        shape: of its input, (B, C, H, W).
        output: that is asked for.

    Raises:
        CatalogError: the declaration does not fit what the model returns; with the key, the output and its shape.
        DoesNotRunError: the model does not run on such an input.
    """
    outputs = _run(module, shape)
    if isinstance(declaration, SegmenterDeclaration):
        count = _classes_of_map(outputs, declaration.logits, shape)
    else:
        count = _classes_of_boxes(outputs, declaration, shape)
    if declaration.classes and len(declaration.classes) != count:
        raise _misfit("classes", f"{len(declaration.classes)} names are declared", f"{count}, one for each class")
    return build(module, declaration, count, output)


def class_names(
    rule: HeadRule, count: int, meta: Mapping[str, Any], of_library: tuple[str, ...]
) -> tuple[ClassNames, tuple[str, ...]]:
    """Returns what the classes of a head are called, and notes on what was left aside.

    Args:
        rule: its card, or its declaration, which says it first.
        count: of the classes.
        meta: of the checkpoint.
        of_library: that a library has for its model, perhaps with a background.
    """
    if not isinstance(rule, HeadCard) and rule.classes:
        return ClassNames(rule.classes), ()
    found, notes = find_class_names(meta, count)
    if isinstance(rule, DetectorDeclaration) and len(of_library) == count + 1:
        of_library = rule.scores.without_background(of_library)
    if not found.names and len(of_library) == count:
        found = ClassNames(of_library)
    return found, notes


def _run(module: nn.Module, shape: Sequence[int]) -> Outputs:
    try:
        with torch.no_grad():
            returned = module(torch.zeros(*shape))
    except MvdError:
        raise
    except Exception as error:  # of the user's code
        lines = str(error).strip().splitlines()
        raise DoesNotRunError(
            f"the model does not run on an input of shape {tuple(shape)}: "
            f"{type(error).__name__}: {lines[0] if lines else 'no message'}",
            "a declared head is for models of one image tensor; --input-size and --layout say which",
        ) from error
    return paths_of(returned)


def _classes_of_map(outputs: Outputs, part: Logits, shape: Sequence[int]) -> int:
    """Returns the number of classes of a segmenter."""
    found = _found(outputs, "logits", part, shape[0])
    if len(found) > 1 or next(iter(found.values())).ndim != 4:
        raise _misfit("logits.output", _list(found), "one map, as BCHW or BHWC")
    (path, tensor), = found.items()  # fmt: skip
    values = tensor.shape[3 if part.layout == "BHWC" else 1]
    return _width_of_columns("logits", part, path, tensor, values)


def _classes_of_boxes(outputs: Outputs, declared: DetectorDeclaration, shape: Sequence[int]) -> int:
    """Returns the number of classes of a detector."""
    background = declared.scores.background != "none"
    least = {"scores": 2 if background else 1, "boxes": 4, "objectness": 1}
    counts, widths = {}, {}
    for name, part in declared.parts.items():
        found = _found(outputs, name, part, shape[0])
        if declared.levels:
            _check_maps(name, part, found, declared.levels, shape)
        boxes, width = 0, 0
        for path, tensor in found.items():
            own, width = _size(name, part, path, tensor, declared.anchor_count)
            boxes += own
            width = _width_of_columns(name, part, path, tensor, width)
            if width < least[name] or (name != "scores" and width != least[name]):
                wanted = {"scores": "a class and a background", "boxes": "4", "objectness": "1"}[name]
                raise _misfit(
                    name, f"{_show(path, tensor)} has {width} values for a box", f"{wanted}; columns takes a part"
                )
        counts[name], widths[name] = boxes, width
    _check_counts(counts, declared, shape)
    return widths["scores"] - background


def _check_counts(counts: Mapping[str, int], declared: DetectorDeclaration, shape: Sequence[int]) -> None:
    expected, why = counts["scores"], "scores have"
    if declared.levels:
        maps = declared.levels.maps(*shape[2:])
        expected = declared.anchor_count * sum(rows * columns for rows, columns in maps)
        cells = " + ".join(f"{rows}x{columns}" for rows, columns in maps)
        why = f"{declared.anchor_count} in each cell of {cells} (levels.strides, an image of {_times(shape[2:])}) are"
    for name, count in counts.items():
        if count != expected:
            raise _misfit(name, f"{count:,} boxes come from its outputs", f"{why} {expected:,}")


def _check_maps(name: str, part: Numbers, found: Outputs, levels: Levels, shape: Sequence[int]) -> None:
    """Raises CatalogError for maps of other sizes than those of the levels."""
    maps = [(path, tensor) for path, tensor in found.items() if tensor.ndim == 4]
    expected = levels.maps(*shape[2:])
    if maps and len(maps) != len(expected):
        raise _misfit(
            f"{name}.output", f"there are {len(maps)} maps", f"{len(expected)}, one for each of levels.strides"
        )
    for (path, tensor), sides, stride in zip(maps, expected, levels.strides, strict=False):
        own = tuple(tensor.shape[1:3] if part.layout == "BHWC" else tensor.shape[2:])
        if own != sides:
            raise _misfit(name, _show(path, tensor), f"a map of {_times(sides)}, at a stride of {stride}")


def _found(outputs: Outputs, name: str, part: Numbers, batch: int) -> Outputs:
    """Returns the outputs of a part; raises CatalogError where one is missing, or has other axes."""
    for path in part.paths:
        if not below(outputs, [path]):
            raise _misfit(f"{name}.output", f"no output is called {'.'.join(path)[:80]!r}", f"one of {_list(outputs)}")
    found = below(outputs, part.paths)
    for path, tensor in found.items():
        layouts = (part.layout,) if part.layout else ("BNC", "BCHW")
        if tensor.ndim not in map(len, layouts) or tensor.shape[0] != batch or not tensor.is_floating_point():
            axes = " or ".join(layouts)
            meant = ", ".join(f"{axis} {AXES[axis]}" for axis in dict.fromkeys("".join(layouts)))
            raise _misfit(name, _show(path, tensor), f"{axes} of floating-point numbers ({meant}; B is {batch})")
    return found


def _size(name: str, part: Numbers, path: Path, tensor: Tensor, anchors: int) -> tuple[int, int]:
    """Returns how many boxes an output tells of, and how many values of each; nothing is computed for it."""
    layout = part.layout or default_layout(tensor)
    channels = tensor.shape[{"BNC": 2, "BCN": 1, "BCHW": 1, "BHWC": 3}[layout]]
    if tensor.ndim == 4 and channels % anchors:
        raise _misfit(name, _show(path, tensor), f"a multiple of {anchors} channels, for as many anchors in a cell")
    _, boxes, values = by_box([tensor.to("meta")], layout, anchors).shape
    return boxes, values


def _width_of_columns(name: str, part: Numbers, path: Path, tensor: Tensor, values: int) -> int:
    if part.columns is None:
        return values
    begin, end = part.columns
    if end > values:
        raise _misfit(
            f"{name}.columns", f"{_show(path, tensor)} has {values} values", f"at least the {end} of {[begin, end]}"
        )
    return end - begin


def _misfit(key: str, found: str, expected: str) -> CatalogError:
    return CatalogError(
        f"the declared head does not fit the model: {key}: {found}; expected {expected}",
        "mvd export --task features lists a model's outputs; change the file of --head",
    )


def _list(outputs: Outputs) -> str:
    shown = [_show(path, tensor) for path, tensor in list(outputs.items())[:SHOWN]]
    return ", ".join(shown) + (", ..." if len(outputs) > SHOWN else "") if outputs else "no tensors"


def _show(path: Path, tensor: Tensor) -> str:
    return f"{'.'.join(path)} ({_times(tensor.shape)})"


def _times(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))
