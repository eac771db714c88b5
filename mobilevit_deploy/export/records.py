"""What the page and model cards read of reports on disk: exports and latencies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mobilevit_deploy.system.documents import Count, Document, Milliseconds, Name, Note, Number, Record, Sha256, Whole

Ops = Annotated[dict[Name, Count], Field(max_length=500)]
Settings = Annotated[dict[Name, Name | bool | Whole | Number | None], Field(max_length=100)]


class Weights(Record):
    """Where the weights are from."""

    trained: bool
    path: Note | None = None
    vouched: Note | None = None
    sha256: Sha256 | None = None
    key: Note | None = None
    library: Note | None = None
    not_loaded: Annotated[list[Note], Field(max_length=20_000)] = []
    not_read: Annotated[list[Note], Field(max_length=200)] = []
    notes: Annotated[list[Note], Field(max_length=200)] = []


class Spec(Record):
    """Name and shape of an input or an output; scale and zero point of one in int8."""

    name: Name = ""
    shape: Annotated[list[Count], Field(max_length=16)] = []
    scale: Number | None = None
    zero_point: Whole = 0


class Input(Spec):
    """The input; an image is normalised in the file, by mean and std of values in [0, 1]."""

    kind: Name = "array"
    color: Name | None = None
    mean: Annotated[list[Number], Field(max_length=4)] = []
    std: Annotated[list[Number], Field(max_length=4)] = []


class Origin(Record):
    """Of the architecture: paper, code, and the licence of that code."""

    title: Note
    paper: Name
    repository: Name | None = None
    licence: Name | None = None


class PictureRule(Record):
    """How pictures are prepared: mean and std of values in [0, 1], and what is resized and cropped."""

    color: Name
    mean: Annotated[list[Number], Field(max_length=4)]
    std: Annotated[list[Number], Field(max_length=4)]
    interpolation: Name
    description: Note = ""


class Refusal(Record):
    """One place where a rewrite was not applied, and why."""

    at: Note = ""
    reason: Note = ""


class Rewrite(Record):
    """One rewrite: how often it was applied, and its proof in float64."""

    name: Name
    applied: Count = 0
    refused: Annotated[list[Refusal], Field(max_length=2000)] = []
    max_rel_difference: Number | None = None


class IllConditioned(Record):
    """Where PyTorch's own float32 loses most."""

    module: Note = ""
    op: Note = ""
    line: Note = ""
    snr_before_db: Number | None = None
    snr_after_db: Number | None = None


class PrecisionLoss(Record):
    """What a precision costs beyond the tolerance, of a conversion that is exact."""

    accepted: Note | None = None
    precision: Name = "fp16"
    snr_db: Number | None = None
    own_snr_db: Number | None = None


class Tolerance(Record):
    """What a leg was allowed."""

    max_rel: Number | None = None
    snr_db: Number | None = None
    top1_agreement: Number | None = None


class Agreement(Record):
    """One output of whole numbers, where the reference is sure."""

    name: Name = ""
    agreement: Number = 0
    unsure: Number = 0


class Leg(Record):
    """One comparison with PyTorch."""

    subject: Name = "artifact"
    reference: Name = "PyTorch"
    runner: Name = ""
    settings: Settings = {}
    precision: Name = ""
    samples: Count | None = None
    max_rel: Number | None = None
    snr_db: Number | None = None
    top1_agreement: Number | None = None
    tolerance: Tolerance = Tolerance()
    passed: bool | None = None
    allowance: Name | None = None
    decisions: Annotated[list[Agreement], Field(max_length=100)] = []


class NotRun(Record):
    """A comparison that this machine could not make."""

    subject: Name = "artifact"
    runner: Name | None = None
    settings: Settings = {}
    reason: Note = ""


class Parity(Record):
    """All comparisons of one artifact."""

    status: Literal["passed", "failed", "not_measured"]
    reason: Note | None = None
    legs: Annotated[list[Leg], Field(max_length=200)] = []
    not_run: Annotated[list[NotRun], Field(max_length=200)] = []
    ill_conditioned: IllConditioned | None = None
    precision_loss: PrecisionLoss | None = None
    fixed: Annotated[list[Name], Field(max_length=100)] = []


class Shares(Record):
    """Of PyTorch and of the file, shares of 1."""

    reference: Number | None = None
    artifact: Number | None = None


class MaskAccuracy(Record):
    """What the user's own images say of the masks of instances."""

    ap: Shares | None = None


class OwnAccuracy(Record):
    """What the user's own images say; ``reference`` is PyTorch's, and both are shares of 1."""

    images: Annotated[int, Field(gt=0, le=2**53)]
    metric: Name = "top-1"
    reference: Number | None = None
    artifact: Number | None = None
    agreeing: Count | None = None
    masks: MaskAccuracy | None = None


class Thresholds(Record):
    """By which boxes are left."""

    score_threshold: Number | None = None
    iou_threshold: Number | None = None
    max_detections: Count | None = None


class Head(Record):
    """What a model with a head returns, and what its classes are called."""

    name: Name = ""
    output: Name = ""
    num_classes: Count | None = None
    classes: Annotated[list[Name], Field(max_length=10_000)] = []
    suppression: Thresholds | None = None


class ExportRecord(Document):
    """One artifact's report, ``<stem>.<target>.json``."""

    model: Name
    target: Name
    precision: Name
    path: Note
    sha256: Sha256
    bytes: Count
    task: Name | None = None
    reconstruction: bool = False
    weights: Weights | None = None
    origin: Origin | None = None
    input: Input = Input()
    preprocessing: PictureRule | None = None
    classes: Annotated[list[Name], Field(max_length=30_000)] = []
    outputs: Annotated[list[Spec], Field(max_length=100)] = []
    head: Head | None = None
    recipe: Name | None = None
    version: Settings = {}
    ops: Ops = {}
    ops_before: Ops = {}
    ops_rewritten: Ops = {}
    rewrites: Annotated[list[Rewrite], Field(max_length=200)] = []
    parity: Parity | None = None
    accuracy: OwnAccuracy | None = None
    warnings: Annotated[list[Note], Field(max_length=200)] = []
    seconds: Annotated[dict[Name, Number], Field(max_length=50)] = {}
    tool_versions: Settings = {}


class Environment(Record):
    """The machine and the session that a latency belongs to."""

    cpu: Name = "unknown CPU"
    os: Name | None = None
    cores_available: Count | None = None
    memory_total_mb: Count | None = None
    session_options: Settings = {}
    provider_options: Settings = {}
    variables: Settings = {}
    versions: Settings = {}


class LatencyRecord(Record):
    """One measurement, as ``mvd latency --json`` prints it."""

    artifact: Note
    sha256: Sha256
    backend: Name
    provider: Name | None = None
    threads: Count | None = None
    p50_ms: Milliseconds
    ci95_ms: tuple[Milliseconds, Milliseconds]
    p90_ms: Milliseconds | None = None
    p99_ms: Milliseconds | None = None
    load_ms: Number | None = None
    peak_rss_mb: Number | None = None
    throughput_per_s: Number | None = None
    processes: Count | None = None
    iterations: Count | None = None
    input_shape: Annotated[list[Count], Field(max_length=16)] = []
    stable: bool = False
    warnings: Annotated[list[Note], Field(max_length=50)] = []
    recommendations: Annotated[list[Note], Field(max_length=50)] = []
    environment: Environment = Environment()


class LatencyFile(Document):
    """A document of ``mvd latency --json``."""

    results: Annotated[list[LatencyRecord], Field(max_length=64)]
