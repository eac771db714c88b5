"""What to export, and what it asks of each target."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.calibration import check_int8_options
from mobilevit_deploy.catalog.formats import format_of, formats
from mobilevit_deploy.errors import UsageError
from mobilevit_deploy.images.annotations import Annotations
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.given_images import ImagesRequest
from mobilevit_deploy.pipeline.plan import TargetRequest
from mobilevit_deploy.system.publish import DEFAULT_FOLDER
from mobilevit_deploy.targets.app_options import AppOptions

NOTED = ["--color", "--mean", "--std", "--labels"]  # options for apps that every file can say something of


@dataclass(frozen=True)
class ExportRequest:
    """What to export; ``None`` leaves the choice to the recipe.

    ``recipe`` names one recipe for all targets; without it each target takes the recipe of its own name. ``images`` are
    the user's own, at most ``largest_count`` of them, see ``read_images``, and ``annotations`` what is known of them
    where the model has a head. ``cache`` is the folder of kept exports, from which the same export is taken unless
    ``force`` is set; None neither takes nor keeps. ``calibrate`` are the images that int8 is calibrated on; with
    ``sensitivity`` the report says what each module costs.
    ``allow_precision_loss`` writes a file that half precision makes worse than the recipe allows, once its conversion
    is proved. ``file_name``, of one target's file, is that of the artifact in ``folder``; None for the usual one.
    ``jobs`` is how many targets are exported at once, each in a fork of this process; None for as many as cores and
    memory allow, which is for a program that has no threads of its own.
    """

    model: ModelRequest
    targets: tuple[str, ...]
    recipe: str | None = None
    precision: str | None = None
    opset: int | None = None
    min_ios: int | None = None
    rewrite: bool = True
    folder: Path = DEFAULT_FOLDER
    app: AppOptions = field(default_factory=AppOptions)
    images: Path | None = None
    largest_count: int | None = None
    annotations: Annotations = field(default_factory=Annotations)
    cache: Path | None = None
    force: bool = False
    calibrate: Path | None = None
    sensitivity: bool = False
    allow_precision_loss: bool = False
    file_name: str | None = None
    jobs: int | None = 1

    def target_requests(self) -> list[TargetRequest]:
        """Returns one request per target; a target that is named twice counts once."""
        versions = {"opset": self.opset, "iOS": self.min_ios}
        used = {format_of(name).version for name in self.targets}
        for name, option in (("opset", "--opset"), ("iOS", "--min-ios")):
            if versions[name] is not None and name not in used:
                raise UsageError(f"{option} is for another target than {' and '.join(self.targets)}", "leave it out")
        if self.model.inputs:
            self._check_inputs()
        if self.app.sizes and self.model.layout == "nhwc":
            raise UsageError("--sizes with --layout nhwc", "export each size by itself")
        check_int8_options(self.precision, calibrated=self.calibrate is not None, sensitivity=self.sensitivity)
        # How images are normalised, and what the classes are called, any file can say; int8 can leave modules alone.
        taken = [] if self.app.image_input else NOTED
        taken = [*taken, "--keep-fp32"] if self.precision == "int8" else taken
        given = [option for option in self.app.given() if option not in taken]
        takers = [name for name in self.targets if format_of(name).writes(given)]
        if self.app.keep_fp32:  # what is float32 by its own default has nothing to keep, and leaves it to the others
            takers = [name for name in takers if not self._is_float32(name)] or takers
        if given and not takers:
            options = " and ".join(given)
            able = [f"--to {name}" for name, known in formats().items() if known.writes(given)]
            hint = f"add {' or '.join(able)}" if able else "leave one of them out: no target takes all of it"
            raise UsageError(f"{options} cannot be written to {' and '.join(self.targets)}", hint)
        if self.app.runtime and not any(format_of(name).runtimes for name in self.targets):
            others = " or ".join(f"--to {name}" for name, known in formats().items() if known.runtimes)
            raise UsageError(
                f"--for {self.app.runtime} is for another target than {' and '.join(self.targets)}", f"add {others}"
            )
        return [
            TargetRequest(
                target=name,
                recipe=self.recipe,
                precision=self.precision,
                version=versions.get(format_of(name).version or ""),
                rewrite=self.rewrite,
                app=self._app_for(name, taken=name in takers),
                calibrated=self.calibrate is not None,
                sensitivity=self.sensitivity,
                allow_precision_loss=self.allow_precision_loss,
            )
            for name in dict.fromkeys(self.targets)
        ]

    def model_request(self) -> ModelRequest:
        """Returns what to load: a head returns what was asked, or the first of its outputs that every target has.

        Raises:
            UsageError: a target has no form of the output, what was asked is not there for a model with a head, or
                there are several sizes of the image, and one list of detections.
        """
        asked = self.model.head
        head = asked.rule_of(self.model.name, self.model.task)
        self.annotations.check(self.images, self.model.task, asked.output)
        if head is None:
            return self.model
        chosen = asked.for_targets(head, self.targets)
        if self.app.sizes and chosen.output == "nms":
            raise UsageError("--sizes with --output nms", "export each size by itself")
        return replace(self.model, head=chosen)

    def images_request(self, names: tuple[str, ...] | None) -> ImagesRequest | None:
        """Returns which of the user's images to read; None for none.

        Args:
            names: of a head's classes, from a file of the user's.
        """
        if self.images is None:
            return None
        return ImagesRequest(self.images, self.largest_count, self.annotations, names or ())

    def _check_inputs(self) -> None:
        """Raises UsageError for what is of one image, with a model that takes more."""
        given = {
            "--images": self.images,
            "--calibrate": self.calibrate,
            "--precision int8": self.precision == "int8",
            "--image-input": self.app.image_input,
            "--sizes": self.app.sizes,
        }
        option = next((name for name, value in given.items() if value), None)
        if option:
            raise UsageError(f"{option} with --input: it is for a model of one image", "leave one of them out")
        unable = [name for name in self.targets if not format_of(name).takes_several_inputs]
        if unable:
            able = [f"--to {name}" for name, known in formats().items() if known.takes_several_inputs]
            raise UsageError(
                f"--input, but {' and '.join(unable)} files are verified with one image only",
                f"give {' or '.join(able)}",
            )

    def _is_float32(self, target: str) -> bool:
        """Tells whether a target's file computes in float32 throughout."""
        return catalog.recipe(self.recipe or target).choose_precision(self.precision) == "fp32"

    def _app_for(self, target: str, *, taken: bool) -> AppOptions:
        """Returns what of an app's options concerns a target; of one that takes none, what its files only say."""
        app = self.app if format_of(target).runtimes else replace(self.app, runtime=None)
        if taken:
            return app
        return replace(
            app,
            image_input=False,
            keep_fp32=app.keep_fp32 if self.precision == "int8" else (),
            prune=None,
            sizes=(),
            int8_io=False,
        )
