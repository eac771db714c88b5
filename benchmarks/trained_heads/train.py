"""Trains Semantic FPN and RetinaNet on ``shapes``, and saves each as MMEngine's runner saves it.

The losses are those of MMSegmentation 1.2.2 and MMDetection 3.3.0: cross-entropy of the resized logits; focal loss and
L1 of the deltas, with anchors assigned by ``MaxIoUAssigner``'s rule (0.5, 0.4, and the best anchor of each box).
"""

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.trained_heads.shapes import COLORS, LABELS, NAMES, Scene, make_scene
from mobilevit_deploy.architectures.heads.retinanet import BOXES
from mobilevit_deploy.images.preparation import normalise
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.loading.model_head import HeadOptions

MODEL = "cas_vit_xs"
SIDE = 64  # pixels of a scene
BATCH = 16
STEPS = {"segment": 500, "detect": 300}
RATE, DECAY, WARM_UP = 2e-3, 0.05, 30
SIDES = (26.0, 50.0)  # of a shape, pixels; RetinaNet's smallest anchor has 32
MOST = 2  # shapes of a scene
ALPHA, GAMMA = 0.25, 2.0  # of the focal loss
POSITIVE, NEGATIVE = 0.5, 0.4  # overlap of an anchor with a box, from where on and up to where

Targets = Sequence[Scene]


def train(task: str, path: Path, begin: Path | None, seed: int = 0) -> None:
    """Trains one head and writes its checkpoint.

    Args:
        task: ``segment`` or ``detect``.
        path: of the checkpoint.
        begin: a checkpoint of the other head, whose backbone is the beginning; None to begin at random.
        seed: of weights and scenes.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    names = LABELS if task == "segment" else NAMES
    head = HeadOptions("labels" if task == "segment" else "raw")
    size = (SIDE, SIDE)
    loaded = load_model(ModelRequest(MODEL, task, num_classes=len(names), size=size, head=head))
    module, preparation = loaded.module.train(), loaded.preprocessing
    assert preparation is not None  # a head's card has one
    if begin:
        state = torch.load(begin, weights_only=False)["state_dict"]  # of this program's own
        own = {key: value for key, value in state.items() if key.startswith("backbone.")}
        module.load_state_dict(module.state_dict() | own)
    loss_of = segment_loss if task == "segment" else detect_loss
    optimizer = torch.optim.AdamW(module.parameters(), lr=RATE, weight_decay=DECAY)
    losses, start = [], time.process_time()
    for step in range(STEPS[task]):
        warm, rest = min(1.0, (step + 1) / WARM_UP), step / STEPS[task]
        optimizer.param_groups[0]["lr"] = RATE * warm * 0.5 * (1 + math.cos(math.pi * rest))
        scenes = [make_scene(rng, *size, SIDES, MOST) for _ in range(BATCH)]
        pixels = np.stack([scene.pixels for scene in scenes]).transpose(0, 3, 1, 2)
        loss = loss_of(module, torch.from_numpy(normalise(pixels, preparation)), scenes)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 5.0)
        optimizer.step()
        losses.append(float(loss.detach()))
        if step % 20 == 19:
            print(f"{task} {step + 1}: {np.mean(losses[-20:]):.3f}, {time.process_time() - start:.0f} s", flush=True)
    save(path, module, names, losses)


def segment_loss(module: nn.Module, images: Tensor, scenes: Targets) -> Tensor:
    """Returns the cross-entropy of every pixel."""
    labels = torch.from_numpy(np.stack([scene.labels for scene in scenes]).astype(np.int64))
    return F.cross_entropy(module(images)["logits"], labels)


def detect_loss(module: Any, images: Tensor, scenes: Targets) -> Tensor:
    """Returns the focal loss of all anchors and the L1 loss of those that have a box, per such anchor."""
    found: Mapping[str, Tensor] = module(images)
    levels = len(found) // 2
    maps = [found[f"bbox_pred{i}"] for i in range(levels)]
    centres, sides = module.decoder.cells(*images.shape[2:])
    deltas = _by_anchor(maps, 4)
    logits = _by_anchor([found[f"cls_score{i}"] for i in range(levels)], module.num_classes)
    total, positives = logits.new_zeros(()), 0
    for own, moved, scene in zip(logits, deltas, scenes, strict=True):
        boxes = torch.from_numpy(scene.boxes)
        place, state = assign(centres, sides, boxes)
        positive = state == 1
        wanted = torch.zeros_like(own)
        wanted[positive, torch.from_numpy(scene.classes)[place[positive]]] = 1
        total = total + focal_loss(own[state >= 0], wanted[state >= 0])
        target = encode(centres[positive], sides[positive], boxes[place[positive]])
        total = total + (moved[positive] - target).abs().sum()
        positives += int(positive.sum())
    return total / max(positives, 1)


def _by_anchor(maps: Sequence[Tensor], values: int) -> Tensor:
    return torch.cat([x.permute(0, 2, 3, 1).reshape(len(x), -1, values) for x in maps], dim=1)


def assign(centres: Tensor, sides: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Returns for each anchor the box that it overlaps most, and 1 for one that has it, 0 for none, -1 for neither."""
    corners = torch.cat((centres - sides / 2, centres + sides / 2), dim=1)
    shared = torch.minimum(corners[:, None, 2:], boxes[None, :, 2:]) - torch.maximum(corners[:, None, :2], boxes[:, :2])
    inside = shared.clamp(min=0).prod(dim=2)
    areas = sides.prod(dim=1)[:, None] + (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    overlap = inside / (areas - inside)
    best, place = overlap.max(dim=1)
    state = torch.where(best >= POSITIVE, 1, torch.where(best < NEGATIVE, 0, -1))
    for number in range(len(boxes)):
        nearest = overlap[:, number].argmax()
        state[nearest], place[nearest] = 1, number
    return place, state


def encode(centres: Tensor, sides: Tensor, boxes: Tensor) -> Tensor:
    """Returns the deltas that ``move_boxes`` makes boxes of."""
    whole = boxes[:, 2:] - boxes[:, :2]
    moved = ((boxes[:, 2:] + boxes[:, :2]) / 2 - centres) / sides
    return torch.cat((moved, (whole / sides).clamp(BOXES.smallest_scale, BOXES.largest_scale).log()), dim=1)


def focal_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Returns the sum over anchors and classes; Lin et al., arXiv 1708.02002, equation 5."""
    right = torch.where(wanted == 1, logits.sigmoid(), 1 - logits.sigmoid())
    weight = torch.where(wanted == 1, ALPHA, 1 - ALPHA) * (1 - right) ** GAMMA
    return (weight * F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")).sum()


def save(path: Path, module: nn.Module, names: Sequence[str], losses: Sequence[float]) -> None:
    """Writes what ``mmengine.runner.Runner.save_checkpoint`` writes."""
    steps, colors = len(losses), COLORS[-len(names) :]
    told = {"classes": tuple(names), "palette": [list(color) for color in colors]}
    history = {"train/loss": np.array(losses)}
    content = {
        "meta": {"cfg": "model = dict()", "dataset_meta": told, "iter": steps, "seed": 0},
        "state_dict": module.state_dict(),
        "message_hub": {"log_scalars": history, "runtime_info": {"iter": np.int64(steps)}, "resumed_keys": {}},
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.0}]},
        "param_schedulers": [{"last_step": steps}],
    }
    torch.save(content, path)


def main() -> None:
    """Trains what is named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=list(STEPS))
    parser.add_argument("path", type=Path, help="of the checkpoint that is written")
    parser.add_argument("--begin", type=Path, help="take the backbone of this checkpoint")
    given = parser.parse_args()
    train(given.task, given.path, given.begin)


if __name__ == "__main__":
    main()
