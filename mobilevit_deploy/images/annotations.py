"""What a user knows of the images that a model with a head is tried on."""

from dataclasses import dataclass
from pathlib import Path

from mobilevit_deploy.errors import UsageError


@dataclass(frozen=True)
class Annotations:
    """Where it stands.

    Attributes:
        masks: a folder of label maps, for ``segment``.
        boxes: a JSON file in COCO's format, for ``detect`` and ``instances``.
        reduce_zero_label: in label maps 0 is no class, and 1 is class 0.
    """

    masks: Path | None = None
    boxes: Path | None = None
    reduce_zero_label: bool = False

    def check(self, images: Path | None, task: str, output: str | None) -> None:
        """Raises UsageError for annotations of another task, or none where a task is measured by them.

        Args:
            images: the user's own.
            task: of the model.
            output: of a model with a head.
        """
        given = {"--masks": self.masks, "--boxes": self.boxes}
        needed = {"segment": "--masks", "detect": "--boxes", "instances": "--boxes"}.get(task)
        for option, path in given.items():
            if path and option != needed:
                outlines = "give --boxes FILE: masks are the segmentation of its annotations"
                raise UsageError(f"{option} with --task {task}", outlines if task == "instances" else "leave it out")
            if path and not images:
                raise UsageError(f"{option}, but no images were given", "add --images FOLDER")
        if self.reduce_zero_label and not self.masks:
            raise UsageError("--reduce-zero-label is for --masks", "leave it out")
        if images and needed and not given[needed]:
            raise UsageError(f"--images with --task {task}, and nothing to compare with", f"add {needed}")
        if images and output == "raw":
            raise UsageError(
                "--images with --output raw, which has no boxes", "leave --output out, or give one that has"
            )
