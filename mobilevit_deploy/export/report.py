"""What is known about an exported artifact."""

from collections.abc import Mapping
from dataclasses import dataclass

from mobilevit_deploy.catalog.model_card import Preprocessing
from mobilevit_deploy.catalog.recipe import Precision
from mobilevit_deploy.catalog.tensor_input import TensorInput
from mobilevit_deploy.graph.capture import TensorSpec
from mobilevit_deploy.loading.model_head import ModelHead
from mobilevit_deploy.loading.weights_origin import WeightsOrigin
from mobilevit_deploy.rewrites.rewrite import RewriteResult
from mobilevit_deploy.targets.app_options import Compression
from mobilevit_deploy.targets.artifact import Artifact
from mobilevit_deploy.verification.accuracy.measure import Accuracy
from mobilevit_deploy.verification.parity import ParityReport


@dataclass(frozen=True)
class ExportReport:
    """Everything that is known about one exported artifact; the JSON report has the same content."""

    model: str
    task: str
    reconstruction: bool
    weights: WeightsOrigin
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    artifact: Artifact
    recipe: str
    precision: Precision
    compression: Compression | None
    version: Mapping[str, int]
    ops_before: Mapping[str, int]
    ops_rewritten: Mapping[str, int]
    rewrites: tuple[RewriteResult, ...]
    parity: ParityReport
    accuracy: Accuracy | None
    seconds: Mapping[str, float]
    tool_versions: Mapping[str, str | None]
    warnings: tuple[str, ...]
    cached: bool = False
    inputs: tuple[TensorInput, ...] = ()
    preprocessing: Preprocessing | None = None
    classes: tuple[str, ...] = ()
    head: ModelHead | None = None
