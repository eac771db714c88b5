"""What a graph consists of, and what a target or device will dislike about it."""

from mobilevit_deploy.inspection.inspect import Inspection, inspect_artifact, inspect_model
from mobilevit_deploy.targets.rules import Finding

__all__ = ["Finding", "Inspection", "inspect_artifact", "inspect_model"]
