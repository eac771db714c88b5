"""What ONNX Runtime dislikes."""

from mobilevit_deploy.targets.rules import FLOAT32_ISLAND, SHAPE_COMPUTATION, Rule

RULES: tuple[Rule, ...] = (SHAPE_COMPUTATION, FLOAT32_ISLAND)
