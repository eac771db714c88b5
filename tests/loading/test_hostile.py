"""Hostile and broken checkpoints, given to an export."""

import argparse
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import save as save_safetensors

from tests.loading.hostile_cases import ARCHIVES, CONTENTS, LIES, PLACES, TENSORS, saved, scripted, state
from tests.loading.pickles import fragment, gadgets, old_format, tensor, vectors, weights, whole, zipped
from tests.support.attacks import MANY, NET, Place, attack, flip, half, rotated, tenths
from tests.support.forks import Forks
from tests.support.hostile import Refuse

ACCEPTED = "is no folder of images and no array file"  # the step after the checkpoint was loaded
PROOF = Path("/proof")
WRAPPERS: dict[str, Callable[[bytes], bytes]] = {"zip": zipped, "old": old_format, "bare": lambda content: content}


def export(path: Path) -> tuple[object, ...]:
    """Returns a command that loads a checkpoint, and is refused after that."""
    return ("export", NET, "--to", "onnx", "--input-size", "8", "--checkpoint", path, "--images", "none")


def check(refuse: Refuse, path: Path) -> None:
    """Runs the export; a checkpoint that is accepted is a failure here."""
    done = refuse(*export(path))
    assert ACCEPTED not in done.errors, "the checkpoint was loaded"


def test_a_good_checkpoint_is_accepted(forks: Forks, place: Place) -> None:
    """What all tests here rest on: without the damage, the same files load."""
    files = {"a.pth": saved(state()), "b.pt": saved(state(), zipped=False), "c.safetensors": save_safetensors(state())}
    files["d.pt"] = scripted()
    for file, content in files.items():
        assert ACCEPTED in attack(forks, place, export(place.write(file, content))).errors


@pytest.mark.parametrize(("gadget", "wrapper"), rotated(gadgets(PROOF), [*WRAPPERS]))
def test_a_call_is_not_made(refuse: Refuse, place: Place, gadget: str, wrapper: str) -> None:
    content = WRAPPERS[wrapper](whole(gadgets(place.proof)[gadget]))
    done = refuse(*export(place.write("c.pth", content)))
    assert "not read: 1 of " in done.errors or "damaged" in done.errors


@pytest.mark.parametrize(("vector", "wrapper"), rotated(vectors(PROOF), ["zip", "old"]))
def test_no_way_to_a_global(refuse: Refuse, place: Place, vector: str, wrapper: str) -> None:
    check(refuse, place.write("c.pth", WRAPPERS[wrapper](whole(vectors(place.proof)[vector]))))


@pytest.mark.parametrize("suffix", [".pt", ".ckpt", ".tar", ".bin"])
def test_whatever_its_name(refuse: Refuse, place: Place, suffix: str) -> None:
    check(refuse, place.write(f"c{suffix}", zipped(whole(gadgets(place.proof)["os.system"]))))


@pytest.mark.parametrize("tenth", half(range(10)))
@pytest.mark.parametrize("kind", ["zip", "old", "training", "safetensors"])
def test_truncated(refuse: Refuse, place: Place, kind: str, tenth: int) -> None:
    training = {"model": state(), "optimizer": {"state": {}}, "args": argparse.Namespace(lr=0.1), "epoch": 3}
    contents = {
        "zip": lambda: saved(state()),
        "old": lambda: saved(state(), zipped=False),
        "training": lambda: saved(training),
        "safetensors": lambda: save_safetensors(state()),
    }
    suffix = "safetensors" if kind == "safetensors" else "pth"
    check(refuse, place.write(f"c.{suffix}", list(tenths(contents[kind]()))[tenth]))


@pytest.mark.parametrize("case", TENSORS)
def test_a_tensor_that_lies(refuse: Refuse, place: Place, case: str) -> None:
    check(refuse, place.write("c.pth", zipped(weights(tensor(**TENSORS[case])), {"data/0": bytes(16)})))


@pytest.mark.parametrize("case", TENSORS)
def test_a_tensor_that_lies_in_the_old_format(refuse: Refuse, place: Place, case: str) -> None:
    check(
        refuse,
        place.write(
            "c.pth", old_format(weights(tensor(**TENSORS[case], viewed=True)), ("0",), struct.pack("<q", 4) + bytes(16))
        ),
    )


@pytest.mark.parametrize("size", [(10**9, 8), (10**12, 0), (10**12,), (0, 8), (), (2**62, 1)])
def test_a_head_that_claims_classes(refuse: Refuse, place: Place, size: tuple[int, ...]) -> None:
    """The number of classes is read from the checkpoint: a model of that size must not be built first."""
    content = b"\x80\x02}" + fragment("head.weight") + tensor(size, (0,) * len(size)) + b"s."
    path = place.write("c.pth", zipped(content, {"data/0": bytes(16)}))
    done = refuse("export", "cas_vit_xs", "--to", "onnx", "--input-size", "64", "--checkpoint", path)
    assert "claims a tensor" in done.errors or "names fit" in done.errors


@pytest.mark.parametrize("case", CONTENTS)
def test_broken_contents(refuse: Refuse, place: Place, case: str) -> None:
    check(refuse, place.write("c.pth", CONTENTS[case]))


@pytest.mark.parametrize("case", ARCHIVES)
def test_archives(refuse: Refuse, place: Place, case: str) -> None:
    check(refuse, place.write("c.tar" if "first format" in case else "c.pth", ARCHIVES[case]()))


@pytest.mark.parametrize(("case", "suffix"), rotated(PLACES, ["pth", "safetensors"]))
def test_what_is_no_file(refuse: Refuse, place: Place, case: str, suffix: str) -> None:
    PLACES[case](place.given / f"c.{suffix}")
    check(refuse, place.given / f"c.{suffix}")


@pytest.mark.parametrize("file", ["c.pth", "a" * 300 + ".pth", "a/" * 3000 + "c.pth", "c\x1b[2J.pth", "c.h5", "c", ""])
def test_names_of_nothing(refuse: Refuse, file: str) -> None:
    check(refuse, Path(file))


@pytest.mark.parametrize("case", LIES)
def test_safetensors_that_lie(refuse: Refuse, place: Place, case: str) -> None:
    check(refuse, place.write("c.safetensors", LIES[case]))


FLIPPED = {
    "zip": ("pth", saved({"model": state(), "epoch": 3})),
    "old": ("pth", saved(state(), zipped=False)),
    "safetensors": ("safetensors", save_safetensors(state())),
}


@MANY
@pytest.mark.parametrize("kind", FLIPPED)
def test_flipped_bytes(forks: Forks, tmp_path_factory: pytest.TempPathFactory, kind: str, many: bool) -> None:
    """A flipped byte is refused, or harmless: a weight of another value."""
    suffix, content = FLIPPED[kind]

    def check(changed: bytes) -> None:
        place = Place(tmp_path_factory.mktemp("place"))
        assert attack(forks, place, export(place.write(f"c.{suffix}", changed))).code == 1

    flip(content, 60, many, check)
