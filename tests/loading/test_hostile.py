"""Hostile and broken checkpoints, given to an export: many to one process, in which nothing is imported any more."""

import argparse
import struct
import zipfile
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save as save_safetensors

from tests.loading.hostile_cases import (
    ARCHIVES,
    CONTENTS,
    LIES,
    PLACES,
    PROGRAMS,
    TENSORS,
    read_freely,
    saved,
    scripted,
    state,
)
from tests.loading.hostile_pickles import COSTLIER, COSTLY, PROOF, WRAPPERS, calls, content_of, mutants
from tests.loading.pickles import SPOTS, fragment, gadgets, name, old_format, tensor, vectors, weights, zipped
from tests.support import attacks, forks
from tests.support.attacks import MANY, NET, Place, flipped, half, rotated, tenths
from tests.support.forks import Done
from tests.support.hostile import Attacks, Make

ACCEPTED = "is no folder of images and no array file"  # the step after the checkpoint was loaded
GOOD = "a good one"
OWN_CODE = NET.rpartition(":")[0]  # which is read, by design
READ_FREELY = f"{read_freely.__module__}:{read_freely.__name__}"


def export(path: Path) -> tuple[object, ...]:
    """Returns a command that loads a checkpoint, and is refused after that."""
    return ("export", NET, "--to", "onnx", "--input-size", "8", "--checkpoint", path, "--images", "none")


def check(run: Attacks, cases: Iterable[Any], make: Make) -> dict[Any, Done]:
    """Gives a process a good checkpoint and then each case, for which nothing may be looked up that was not there."""

    def make_all(place: Place, case: Any) -> Sequence[object]:
        return (
            export(place.write("good.pth", zipped(*pickle_of(saved(state()))))) if case is GOOD else make(place, case)
        )

    found = run([GOOD, *cases], make_all)
    assert ACCEPTED in found.pop(GOOD).errors
    for case, done in found.items():
        looked_up = [line for line in done.looked_up if not line.endswith(OWN_CODE)]
        assert looked_up == [], f"{case}: {looked_up}"
        assert done.imported == (), f"{case}: {done.imported}"
    return found


def check_refused(refuse: Attacks, cases: Iterable[Any], make: Callable[[Place, Any], Path]) -> dict[Any, Done]:
    """Checks that each is refused for the checkpoint."""
    found = check(refuse, cases, lambda place, case: export(make(place, case)))
    assert [case for case, done in found.items() if ACCEPTED in done.errors or done.code != 1] == []
    return found


def test_good_checkpoints_are_accepted(attack: Attacks) -> None:
    """What all tests here rest on: without the damage, the same files load."""
    files = {
        "a.pth": saved(state()),
        "b.pt": saved(state(), zipped=False),
        "c.safetensors": save_safetensors(state()),
        "d.pt": scripted(),
    }
    found = check(attack, files, lambda place, file: export(place.write(file, files[file])))
    assert all(ACCEPTED in done.errors for done in found.values())


TRAINING = {"model": dict([*state().items()][1:]), "args": argparse.Namespace(lr=0.1), "epoch": 3, "best": [81.2, None]}


def pickle_of(content: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Returns the pickle in PyTorch's archive, and its storages."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        entries = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    return entries["data.pkl"], {name: content for name, content in entries.items() if name.startswith("data/")}


PICKLE, STORAGES = pickle_of(saved(TRAINING))
MUTANTS = sorted({*mutants(PICKLE)} - {PICKLE})


def test_there_are_a_thousand() -> None:
    made = [content_of(call, PROOF) for call in calls()] + [zipped(pickle, STORAGES) for pickle in MUTANTS]
    assert len(set(made)) > 1200


@MANY
def test_a_call_is_not_made(refuse: Attacks, many: bool) -> None:
    """Every gadget, form, spot and wrapper is among the few; among the others is every gadget in every form."""
    count = len(gadgets(PROOF))
    cases = calls()[count:] if many else calls()[:count]
    found = check_refused(refuse, cases, lambda place, call: place.write("c.pth", content_of(call, place.proof)))
    assert any("not read: 1 object of os.system" in done.errors for done in found.values())


@MANY
def test_no_other_way_to_a_call(refuse: Attacks, many: bool) -> None:
    def make(place: Place, case: tuple[str, str]) -> Path:
        vector, wrapper = case
        return place.write("c.pth", WRAPPERS[wrapper](SPOTS["an entry"](vectors(place.proof)[vector])))

    check_refused(refuse, rotated(vectors(PROOF), ["zip", "old"], many), make)


@MANY
def test_opcodes_in_the_wrong_place(refuse: Attacks, many: bool) -> None:
    """Of a checkpoint that lacks one weight, so that each is refused, whatever the reader makes of it."""
    few = {*range(0, len(MUTANTS), 20)}
    cases = [number for number in range(len(MUTANTS)) if (number in few) != many]
    check_refused(refuse, cases, lambda place, case: place.write("c.pth", zipped(MUTANTS[case], STORAGES)))


@MANY
def test_what_costs_time_or_memory(refuse: Attacks, many: bool) -> None:
    makers = {**COSTLY, **COSTLIER} if many else COSTLY
    cases = rotated(makers, ["zip", "old"], many)

    def make(place: Place, case: tuple[str, str]) -> Path:
        return place.write("c.pth", WRAPPERS[case[1]](makers[case[0]]()))

    check_refused(refuse, cases, make)


def test_whatever_its_name(refuse: Attacks) -> None:
    content = zipped(SPOTS["an entry"](fragment(1)))
    check_refused(refuse, ["pt", "ckpt", "tar", "bin"], lambda place, suffix: place.write(f"c.{suffix}", content))


@MANY
def test_truncated(refuse: Attacks, many: bool) -> None:
    contents = {
        "zip.pth": saved(state()),
        "old.pth": saved(state(), zipped=False),
        "training.pth": saved({"model": state(), "optimizer": {"state": {}}, "args": argparse.Namespace(lr=0.1)}),
        "a.safetensors": save_safetensors(state()),
    }
    cut = [(file, tenth) for file in contents for tenth in half(range(10), many)]
    check_refused(refuse, cut, lambda place, case: place.write(case[0], list(tenths(contents[case[0]]))[case[1]]))


@MANY
def test_tensors_that_lie(refuse: Attacks, many: bool) -> None:
    def make(place: Place, case: tuple[str, str]) -> Path:
        what, wrapper = case
        pickled = weights(tensor(**TENSORS[what], viewed=wrapper == "old"))
        if wrapper == "zip":
            return place.write("c.pth", zipped(pickled, {"data/0": bytes(16)}))
        return place.write("c.pth", old_format(pickled, ("0",), struct.pack("<q", 4) + bytes(16)))

    check_refused(refuse, rotated(TENSORS, ["zip", "old"], many), make)


@MANY
def test_a_head_that_claims_classes(refuse: Attacks, many: bool) -> None:
    """The number of classes is read from the checkpoint: a model of that size must not be built first."""

    def make(place: Place, size: tuple[int, ...]) -> tuple[object, ...]:
        content = b"\x80\x02}" + fragment("head.weight") + tensor(size, (0,) * len(size)) + b"s."
        path = place.write("c.pth", zipped(content, {"data/0": bytes(16)}))
        return ("export", "cas_vit_xs", "--to", "onnx", "--input-size", "64", "--checkpoint", path)

    found = refuse(half([(10**9, 8), (10**12, 0), (10**12,), (0, 8), (), (2**62, 1)], many), make)
    assert all("claims a tensor" in done.errors or "names fit" in done.errors for done in found.values())


def test_broken_contents(refuse: Attacks) -> None:
    check_refused(refuse, CONTENTS, lambda place, case: place.write("c.pth", CONTENTS[case]))


def test_archives(refuse: Attacks) -> None:
    def make(place: Place, case: str) -> Path:
        return place.write("c.tar" if "first format" in case else "c.pth", ARCHIVES[case]())

    check_refused(refuse, ARCHIVES, make)


def test_exported_programs_that_lie(refuse: Attacks) -> None:
    check_refused(refuse, PROGRAMS, lambda place, case: place.write("c.pt2", PROGRAMS[case]))


@MANY
def test_what_is_no_file(refuse: Attacks, many: bool) -> None:
    def make(place: Place, case: tuple[str, str]) -> Path:
        path = place.given / f"c.{case[1]}"
        PLACES[case[0]](path)
        return path

    check_refused(refuse, rotated(PLACES, ["pth", "safetensors"], many), make)


def test_names_of_nothing(refuse: Attacks) -> None:
    files = ["c.pth", "a" * 300 + ".pth", "a/" * 3000 + "c.pth", "c\x1b[2J.pth", "c.h5", "c", ""]
    check_refused(refuse, files, lambda _place, file: Path(file))


def test_safetensors_that_lie(refuse: Attacks) -> None:
    check_refused(refuse, LIES, lambda place, case: place.write("c.safetensors", LIES[case]))


FLIPPED = {
    "zip.pth": saved({"model": state(), "epoch": 3}),
    "old.pth": saved(state(), zipped=False),
    "a.safetensors": save_safetensors(state()),
}


@MANY
@pytest.mark.parametrize("file", FLIPPED)
def test_flipped_bytes(attack: Attacks, file: str, many: bool) -> None:
    """A flipped byte is refused, or harmless: a weight of another value."""
    made = flipped(FLIPPED[file], 60, many)
    found = check(attack, range(len(made)), lambda place, case: export(place.write(file, made[case])))
    assert {done.code for done in found.values()} == {1}


EXECUTED = ["os.mkdir", "os.system", "os.execv", "builtins.open", "runpy.run_path", "subprocess.Popen", "builtins.eval"]
LOOKED_UP = ["codecs.decode", "functools.partial", "multiprocessing.Process", "torch.nn.Linear"]


def freely(place: Place, gadget: str) -> tuple[object, ...]:
    return export(place.write("c.pth", content_of((gadget, "REDUCE", "an entry", "bare"), place.proof)))


def test_what_is_executed_is_seen(attack: Attacks) -> None:
    """What all tests here rest on, too: the same files, read by Python's own unpickler, one after the other."""
    with pytest.raises(ExceptionGroup) as caught:
        attack(EXECUTED, freely, READ_FREELY)
    assert [str(error).partition(":")[0] for error in caught.value.exceptions] == EXECUTED
    assert all("code was executed" in str(error) for error in caught.value.exceptions)


def test_what_is_looked_up_is_seen(attack: Attacks) -> None:
    found = attack(LOOKED_UP, freely, READ_FREELY)
    assert all(any("pickle.find_class" in line for line in done.looked_up) for done in found.values())
    rare = SPOTS["an entry"](name("nturl2path", "url2pathname") + fragment(("a",)) + b"R")
    (done,) = attack(["rare"], lambda place, _: export(place.write("c.pth", rare)), READ_FREELY).values()
    assert "nturl2path" in done.imported


ENDINGS = {
    "abort": (name("os", "abort") + fragment(()), "exit -6"),
    "memory": (name("operator", "mul") + fragment(("a", 7 * 10**8)), " MB: "),
    "connect": (name("socket", "create_connection") + fragment((("127.0.0.1", 9),)), "executed socket.connect"),
    "sleep": (name("time", "sleep") + fragment((60,)), "exit -9"),
}


@pytest.mark.parametrize("cases", [("abort", "memory", "connect"), ("sleep",)])
def test_a_run_that_ends_the_process_or_takes_too_much_is_seen(
    attack: Attacks, monkeypatch: pytest.MonkeyPatch, cases: tuple[str, ...]
) -> None:
    """And the one after it is run all the same."""
    if cases == ("sleep",):  # the others are seen however long a busy machine takes
        monkeypatch.setattr(attacks, "WAITING_S", 2.0)
        monkeypatch.setattr(forks, "TELL_S", 0.1)
    monkeypatch.setattr(attacks, "LARGEST_BYTES", 2**30)

    def make(place: Place, case: str) -> tuple[object, ...]:
        called = ENDINGS[case][0] + b"R" if case in ENDINGS else fragment(())
        return export(place.write("c.pth", SPOTS["an entry"](called)))

    with pytest.raises(ExceptionGroup) as caught:
        attack([*cases, "nothing"], make, READ_FREELY)
    seen = [str(error) for error in caught.value.exceptions]
    assert len(seen) == len(cases)
    for case, message in zip(cases, seen, strict=True):
        assert message.startswith(f"{case}: ")
        assert ENDINGS[case][1] in message
