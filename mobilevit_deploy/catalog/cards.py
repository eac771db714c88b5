"""What every card is, and the cards of devices and of published latencies; ``catalog`` reads them."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

ComputeUnits = Literal["all", "cpu", "cpu+gpu", "cpu+ne"]
Delegate = Literal["cpu", "gpu", "nnapi"]


class Card(BaseModel):
    """Base of everything that comes from TOML: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TargetFormat(Card):
    """What is known of a target without importing its converter.

    Attributes:
        title: what people call it.
        suffix: of its artifacts.
        packages: of Python, that convert, open and run it, beside torch.
        extra: of this package, that brings those; None for what is always installed.
        version: what ``ConversionRequest.version`` counts, such as ``opset``; None for a target without versions.
        version_option: that sets it.
        takes_several_inputs: whether a model may have more inputs than one image.
        suppresses_boxes: whether its files can hold non-maximum suppression.
        by_default: whether ``mvd export`` writes it where no target is named, and its packages are installed.
        pools_regions: whether its files can hold RoIAlign: boxes cut out of a map, sampled by their size.
        app_options: which of the options for apps are written: image input, labels, float32 modules, compression, ...
        image_arrays: whether an image is an array of bytes, (B, H, W, C), whose axes an app sees.
        backend: that runs its artifacts, for ``mvd latency``.
        runtime: the package whose version is the backend's; None for the one that has the backend's name.
        worker: module in the target's package that times them on this machine; None where nothing does.
        no_latency: why nothing does.
        settings: of that worker's runtime which a user may set.
        runtimes: that a file can be written for alone, see ``--for``; none where all files are for whatever reads them.
        language: of the code that ``mvd snippet`` writes where none is named; None where it writes none.
    """

    title: str
    suffix: str = Field(pattern=r"^\.[a-z]+$")
    packages: tuple[str, ...]
    extra: str | None = None
    version: str | None = None
    version_option: str | None = None
    by_default: bool = False
    app_options: tuple[str, ...] = ()
    image_arrays: bool = False
    takes_several_inputs: bool = False
    suppresses_boxes: bool = False
    pools_regions: bool = False
    backend: str
    runtime: str | None = None
    worker: str | None = None
    no_latency: str | None = None
    settings: tuple[Literal["provider", "option"], ...] = ()
    runtimes: tuple[str, ...] = ()
    language: str | None = None

    @model_validator(mode="after")
    def _has_worker_or_reason(self) -> "TargetFormat":
        if (self.worker is None) == (self.no_latency is None):
            raise ValueError("a format has a worker, or says in no_latency why there is none")
        return self

    def writes(self, options: Sequence[str]) -> bool:
        """Tells whether options for apps, as they are typed, can be written to the target's files."""
        return bool(self.app_options) and set(options) <= set(self.app_options)


class PublishedLatency(Card):
    """A latency that someone published.

    Attributes:
        device: that it was measured on.
        os: its system; left out where the source does not say.
        backend: what ran the model.
        input_size: of both sides, in pixels.
        batch: images per run.
        latency_ms: in milliseconds.
        source: where it stands.
    """

    device: str
    os: str | None = None
    backend: str
    input_size: int
    batch: int
    latency_ms: float = Field(gt=0)
    source: str


class Device(Card):
    """One file of ``devices/``: a machine that latency is measured on.

    Attributes:
        name: as ``--device`` takes it; also the file's.
        title: what people call it.
        kind: this machine, an iPhone, or an Android phone.
        targets: whose artifacts run on it.
        backends: that run them there.
        chip: of a phone.
        os_floor: the oldest iOS that runs on it.
        compute_units: what Core ML may be told to use.
        abi: what programs for an Android phone are compiled for.
        delegates: of LiteRT, that a model on an Android phone can be given to.
        identifiers: Apple's product types, or Android's ``ro.product.device``, that the profile is for.
    """

    name: str
    title: str
    kind: Literal["host", "iphone", "android"]
    targets: tuple[str, ...]
    backends: tuple[str, ...]
    chip: str | None = None
    os_floor: str | None = None
    compute_units: tuple[ComputeUnits, ...] = ()
    abi: str | None = None
    delegates: tuple[Delegate, ...] = ()
    identifiers: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _phone_is_described(self) -> "Device":
        if self.kind == "iphone" and not (self.chip and self.os_floor and self.identifiers):
            raise ValueError("an iPhone's profile has chip, os_floor and identifiers")
        if self.kind == "android" and not (self.chip and self.abi and self.delegates and self.identifiers):
            raise ValueError("an Android phone's profile has chip, abi, delegates and identifiers")
        return self
