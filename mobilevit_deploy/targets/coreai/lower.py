"""Converts a program in the child: decomposition, Apple's converter, the asset, and a trial of lowering it."""

import asyncio
import hashlib
import json
import random
from pathlib import Path

import torch
from coreai.authoring import AIModelAsset, func, graph_builder
from coreai.runtime import AIModelAssetMetadata
from coreai_torch import TorchConverter, get_decomp_table
from coreai_torch._aten_to_core import _aten_to_core_resolver
from torch.fx import Node

from mobilevit_deploy.graph.quiet import quiet_torch
from mobilevit_deploy.targets.coreai import nodes
from mobilevit_deploy.targets.own_outputs import give_outputs_own_values

METADATA = "metadata.json"
LOWERING = "lowering"  # the stage after the last node


class _Converter(TorchConverter):  # type: ignore[misc]
    """Apple's converter, which says which node it is at: after an abort that is all there is to know."""

    def __init__(self, stage: Path) -> None:
        # DEBUG notes each operation's node, and stack traces, which are taken off the nodes before.
        super().__init__(mode=TorchConverter.Mode.DEBUG)
        self._stage_file = stage

    def _get_operation(self, node: Node) -> None:
        self._stage_file.write_text(str(node.meta.get("custom", {}).get(nodes.MARK, node.name)), encoding="utf-8")
        super()._get_operation(node)


def lowerings() -> dict[str, list[str]]:
    """Returns the calls that the converter has a form for, and those that it takes apart before, by PyTorch's names."""
    calls = [f"aten.{name}" for name in _aten_to_core_resolver]
    return {"calls": calls, "apart": [str(op) for op in get_decomp_table()]}


def convert(program: str, path: str, input: str, outputs: list[str], metadata: dict[str, str], stage: Path) -> None:
    """Writes an asset and lowers it once; raises whatever Apple's packages raise.

    Args:
        program: file of ``torch.export.save``.
        path: of the asset.
        input: its input's name.
        outputs: the names of its outputs.
        metadata: texts by key.
        stage: file that says what is being done.
    """
    _name_functions_in_order()
    with quiet_torch():
        exported = torch.export.load(program).run_decompositions(get_decomp_table())
    give_outputs_own_values(exported)
    for node in exported.graph.nodes:
        node.meta.pop("stack_trace", None)  # holds paths of this machine
    converter = _Converter(stage).add_exported_program(exported, input_names=[input], output_names=outputs)
    converted = converter.to_coreai()
    notes = AIModelAssetMetadata()
    notes.model_description = metadata.get("mvd.description", "")
    for key, value in {**metadata, nodes.KEY: nodes.write_nodes(exported.graph.nodes)}.items():
        notes.set_custom(key, value)
    asset = converted.save_asset(Path(path), notes)
    _make_reproducible(Path(path))
    stage.write_text(LOWERING, encoding="utf-8")
    asyncio.run(_lower(asset))


async def _lower(asset: AIModelAsset) -> None:
    async with asset.executable():
        pass


def _name_functions_in_order() -> None:
    """Makes the names of a program's inner functions, which end in random letters, the same in every process."""
    graph_builder.choice = func.choice = random.Random(0).choice


def _make_reproducible(path: Path) -> None:
    """Takes the date out of a fresh asset, and puts the keys of its metadata in order, which is random otherwise."""
    file = path / METADATA
    content = json.loads(file.read_text(encoding="utf-8"))
    content.pop("creationDate", None)
    file.write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")
    (path / "main.hash").write_bytes(hashlib.sha256((path / "main.mlirb").read_bytes()).digest())
