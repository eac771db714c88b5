"""A wrong rewrite that the proof does not see ends the export: the leg of the rewritten graph fails, with exit 3."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from mobilevit_deploy.pipeline import rewriting
from mobilevit_deploy.rewrites import order, proof
from mobilevit_deploy.rewrites.rewrite import Rewrite
from tests.rewrites.sabotage import Sabotaged

Mvd = Callable[..., Result]
NET = """import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, x):
        y = {call}
        return self.head(self.norm(y.flatten(2).mean(-1)))

def build():
    return Net()
"""
# By rewrite: what makes it fire, in the recipe of which target.
CALLS = {
    "fold_batch_norm": ("self.stem(x)", "onnx"),
    "decompose_unsupported": ("torch.nn.functional.adaptive_max_pool2d(self.stem(x), 3)", "onnx"),
    "replace_complex": ("torch.fft.rfft2(self.stem(x)).abs()", "onnx"),
    "replace_max_unpool": (
        "torch.nn.functional.max_unpool2d(*torch.nn.functional.max_pool2d(self.stem(x), 2, return_indices=True), 2)",
        "coreml",
    ),
    "replace_rrelu": ("torch.nn.functional.rrelu(self.stem(x) - 1)", "coreml"),
    "decompose_tanh_gelu": ("torch.nn.functional.gelu(self.stem(x), approximate='tanh')", "coreml"),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_the_proof_does_not_see_ends_in_exit_3(
    name: str, mvd: Mvd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, target = CALLS[name]
    (tmp_path / "net.py").write_text(NET.format(call=call))
    spoiled: list[Sabotaged] = []
    chosen = order.chosen_rewrites

    def sabotage(*given: object) -> tuple[Rewrite, ...]:
        found = chosen(*given)  # type: ignore[arg-type]  # as it is called
        spoiled.extend(Sabotaged(rewrite) for rewrite in found if rewrite.name == name)
        return tuple(spoiled[-1] if rewrite.name == name else rewrite for rewrite in found)

    monkeypatch.setattr(rewriting, "chosen_rewrites", sabotage)
    monkeypatch.setattr(proof, "PROOF_LIMIT", float("inf"))
    command = ("export", f"{tmp_path / 'net.py'}:build", "--to", target, "--precision", "fp32", "--input-size", "16")
    result = mvd(*command, "--out", tmp_path / "out")
    assert spoiled[-1].spoiled, "the rewrite does not fire"
    assert result.exit_code == 3, result.stderr
    assert "rewritten graph" in result.stderr
    assert not (tmp_path / "out").exists()
