"""What to try where a checkpoint does not fit a model of the user's own, by where it differs."""

from collections.abc import Mapping

from torch import Tensor, nn

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.loading.checkpoint import Checkpoint
from mobilevit_deploy.loading.fit_weights import differences
from mobilevit_deploy.loading.names import COUNTER
from mobilevit_deploy.loading.source import parameters
from mobilevit_deploy.loading.user_code import ModelCode


def next_step(module: nn.Module, checkpoint: Checkpoint, code: ModelCode) -> str | None:
    """Returns the options that would build another model of the same function; None where nothing tells.

    Args:
        module: as it was built.
        checkpoint: that does not fit it.
        code: that built it.
    """
    try:
        found = differences(module, checkpoint)
    except CheckpointError:  # two models side by side, which the message is about
        return None
    taken = parameters(code.function)
    classes = None if found.lacking else _classes(module, found.shapes)
    if classes:
        return _for_classes(classes, code, taken)
    folder = checkpoint.path if checkpoint.path.is_dir() else checkpoint.path.parent
    if found.lacking and (folder / "config.json").is_file():
        # transformers 5 gives weights other names in its files than its modules have.
        return f"a folder of Hugging Face is a model itself: give hf:{folder} in place of {code.reference}"
    own = [name for name in module.state_dict() if not name.endswith(COUNTER)]
    if taken == [] or len(found.lacking) == len(own) or not (found.lacking or found.shapes):
        return None
    settings = "" if taken is None else f", of {', '.join(taken)}"
    name = "check the model's name; " if code.source else ""  # which is of one of several sizes
    return f"{name}if it was trained with other settings, give them: --model-arg KEY=VALUE{settings}"


def _classes(module: nn.Module, shapes: Mapping[str, tuple[Tensor, Tensor]]) -> int | None:
    """Returns how many outputs the last layer of a checkpoint has, where that alone differs.

    Any other width would differ in what reads the layer, too.
    """
    rows = {(own.shape[:1], other.shape[:1]) for own, other in shapes.values()}
    if len(rows) != 1 or len(shapes) == len(module.state_dict()):
        return None
    if any(own.ndim == 0 or own.shape[1:] != other.shape[1:] for own, other in shapes.values()):
        return None
    return next(iter(shapes.values()))[1].shape[0]


def _for_classes(classes: int, code: ModelCode, taken: list[str] | None) -> str:
    found = f"the checkpoint has {classes} classes"
    if taken is None or "num_classes" in taken:
        return f"{found}: --num-classes {classes}"
    alike = [name for name in taken if "class" in name.lower()]
    if alike:
        return f"{found}: --model-arg {alike[0]}={classes}"
    if taken:
        return f"{found}: --model-arg KEY={classes}, where KEY is their number among {', '.join(taken)}"
    return f"{found}: let {code.reference} take num_classes, and give --num-classes {classes}"
