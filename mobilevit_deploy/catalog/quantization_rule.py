"""Which operations become int8, as a family or a recipe says it."""

import fnmatch

from pydantic import Field

from mobilevit_deploy.catalog.cards import Card


class QuantizationRule(Card):
    """Which operations of a graph become int8.

    Attributes:
        op_types: the operations, by ONNX's names, or by the target's own in its recipe.
        smallest_weight: the least number of values of a constant operand, of the operations that take one.
        keep_float: patterns of module paths whose nodes, and those of modules inside, stay in float32.
        float_results: operations of ``op_types`` whose results are not rounded, for what reads them is in float32.
        reason: what was measured.
    """

    op_types: tuple[str, ...]
    smallest_weight: int = Field(default=0, ge=0)
    keep_float: tuple[str, ...] = ()
    float_results: tuple[str, ...] = ()
    reason: str

    def keeps_float(self, path: str) -> bool:
        """Tells whether a module, by its path, or one that it lies in, matches a pattern."""
        parts = path.split(".")
        names = [".".join(parts[: i + 1]) for i in range(len(parts))]
        return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in self.keep_float)

    def within(self, part: str) -> "QuantizationRule":
        """Returns the rule of a model with a head, of which the model that this one is for is a part.

        What belongs to no module there makes boxes of numbers, in pixels, and stays in float32: of a detector
        trained as in docs/measured/trained-heads.md these nine operations had the largest share of the noise, 16 %.
        """
        return self.model_copy(update={"keep_float": (*(f"{part}.{pattern}" for pattern in self.keep_float), "")})
