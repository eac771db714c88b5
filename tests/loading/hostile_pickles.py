"""A thousand hostile pickles, made by rule: calls of every kind, mutants of a good one, and what costs time or memory.

Every one is refused: none has the weights of the network that it is given to.
"""

import pickletools
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.loading.pickles import FORMS, SPOTS, fragment, gadgets, name, old_format, zipped

PROOF = Path("/proof")
WRAPPERS: dict[str, Callable[[bytes], bytes]] = {"zip": zipped, "old": old_format, "bare": lambda content: content}
STOP = b"."

Call = tuple[str, str, str, str]  # a gadget, a form, a spot and a wrapper


def calls() -> list[Call]:
    """Returns every gadget in every form, with spots and wrappers in turns; the first ones have every one of each."""
    forms, spots, wrappers = list(FORMS), list(SPOTS), list(WRAPPERS)
    return [
        (gadget, forms[(i + turn) % len(forms)], spots[(i + turn) % len(spots)], wrappers[i % len(wrappers)])
        for turn in range(len(forms))
        for i, gadget in enumerate(gadgets(PROOF))
    ]


def content_of(call: Call, proof: Path) -> bytes:
    """Returns the file that would leave a proof where its call is made."""
    gadget, form, spot, wrapper = call
    return WRAPPERS[wrapper](SPOTS[spot](FORMS[form](*gadgets(proof)[gadget])))


def mutants(content: bytes) -> Iterator[bytes]:
    """Yields copies of a pickle, each with one opcode changed, left out, doubled or put behind the next one.

    Every opcode of the protocols 0 to 5 stands in the place of another one somewhere.
    """
    codes = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]
    starts = [place for _, _, place in pickletools.genops(content) if place is not None]
    parts = [content[begin:end] for begin, end in zip(starts, [*starts[1:], len(content)], strict=True)]
    for i, part in enumerate(parts[:-1]):  # the last one is the end
        before, after = b"".join(parts[:i]), b"".join(parts[i + 1 :])
        yield before + after
        yield before + part + part + after
        yield before + parts[i + 1] + part + b"".join(parts[i + 2 :])
        for turn in range(2):
            code = codes[(2 * i + turn) % len(codes)]
            if code != part[:1]:
                yield before + code + part[1:] + after


def nested(opening: bytes, closing: bytes, depth: int) -> bytes:
    return b"\x80\x02}" + fragment("model") + opening * depth + closing * depth + b"s" + STOP


def doubling(first: bytes, double: Callable[[bytes, bytes], bytes], levels: int) -> bytes:
    """Returns the opcodes of a value that holds another one twice, which holds another one twice, and so on."""
    made = first
    for i in range(levels):
        put, get = b"r" + struct.pack("<I", 1000 + i), b"j" + struct.pack("<I", 1000 + i)
        made += put + b"0" + double(get, get)
    return made


def module(children: bytes) -> bytes:
    """Returns the opcodes of a whole model with these entries in its ``_modules``."""
    state = b"}" + fragment("_parameters") + b"}s" + fragment("_modules") + b"}(" + children + b"us"
    return name("planted", "Net") + b")\x81" + state + b"b"


def program(children: bytes) -> bytes:
    """The same of TorchScript."""
    return name("__torch__", "Net") + b")\x81}(" + children + b"ub"


def twice(make: Callable[[bytes], bytes]) -> Callable[[bytes, bytes], bytes]:
    return lambda a, b: make(fragment("a") + a + fragment("b") + b)


def _entry(value: bytes) -> bytes:
    return b"\x80\x02}" + fragment("model") + value + b"s" + STOP


NESTS = {
    "lists": (b"]", b"a"),
    "tuples": (b"(", b"t"),
    "dictionaries": (b"}" + fragment("a"), b"s"),
    "sets": (b"(", b"\x91"),
    "states": (name("a", "b") + b")R", b"b"),
    "arguments": (name("a", "b") + b"(", b"tR"),
    "objects": (b"(" + name("a", "b"), b"o"),
}
COSTLY: dict[str, Callable[[], bytes]] = {
    "lists twice in lists": lambda: _entry(doubling(b"]", lambda a, b: b"](" + a + b + b"e", 60)),
    "tuples twice in tuples": lambda: _entry(doubling(b")", lambda a, b: a + b + b"\x86", 60)),
    "tuples twice in tuples as a key": lambda: b"\x80\x02}" + doubling(b")", lambda a, b: a + b + b"\x86", 60) + b"Ns.",
    "dictionaries twice in dictionaries": lambda: _entry(
        doubling(b"}", lambda a, b: b"}(" + fragment("a") + a + fragment("b") + b + b"u", 60)
    ),
    "frozen sets in frozen sets": lambda: _entry(doubling(b"(\x91", lambda a, _: b"(" + a + b"\x91", 60)),
    "calls of calls": lambda: _entry(doubling(name("a", "b"), lambda a, b: a + b + b"\x85R", 60)),
    "modules twice in modules": lambda: _entry(doubling(module(b""), twice(module), 60)),
    "programs twice in programs": lambda: _entry(doubling(program(b""), twice(program), 60)),
    "a module in itself": lambda: _entry(
        name("planted", "Net") + b")\x81q\x01}" + fragment("_parameters") + b"}s" + fragment("_modules")
        + b"}" + fragment("a") + b"h\x01ssb"
    ),
    "states twice in states": lambda: _entry(
        doubling(name("a", "b") + b")R", lambda a, b: name("a", "b") + b")R" + a + b + b"\x86b", 60)
    ),
    "subclasses of tensors in one another": lambda: _entry(
        name("torch._tensor", "_rebuild_from_type_v2") + b"q\x01" + b"(h\x01N" * 2000 + b"Nt" * 2000 + b"R"
    ),
    "a number of a million digits": lambda: b"\x80\x02I" + b"9" * 1_000_000 + b"\n.",
    "a memo of a million digits": lambda: b"\x80\x02}p" + b"9" * 1_000_000 + b"\n.",
    "a number of 2 GB": lambda: b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "a number of negative size": lambda: b"\x80\x02\x8b\xff\xff\xff\xff.",
    "a frame of an exabyte": lambda: b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"}.",
    "bytes of an exabyte": lambda: b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b".",
    "an array of bytes of an exabyte": lambda: b"\x80\x05\x96" + struct.pack("<Q", 2**60) + b".",
    "the largest place in the memo": lambda: b"\x80\x02}r\xff\xff\xff\xff.",
    "a name of a megabyte": lambda: b"\x80\x02" + name("a" * 10**6, "b" * 10**6) + b")R.",
    "a name with control characters": lambda: _entry(name("\x1b[2J", "\x1b]0;owned\x07") + b")R"),
    "a name of no text": lambda: b"\x80\x02c\xff\xfe\n\xff\n)R.",
    "a name without an end": lambda: b"\x80\x02cos",
    **{
        f"{what}, {depth} deep": partial(nested, *opcodes, depth)
        for depth in (100, 1000, 10_000)
        for what, opcodes in NESTS.items()
    },
}  # fmt: skip
# The same in sizes that take seconds.
COSTLIER: dict[str, Callable[[], bytes]] = {
    "half a million sets": lambda: _entry(b"(" + b"\x8f" * 500_000 + b"t"),
    "ten million sets": lambda: _entry(b"(" + b"\x8f" * 10_000_000 + b"t"),
    "placeholders of twelve megabytes": lambda: _entry(
        b"(" + name("a", "b") + b"q\x01" + b"h\x01)R" * 3_000_000 + b"t"
    ),
    "a hundred thousand names": lambda: _entry(
        b"(" + b"".join(name("a", f"b{i}") + b")R" for i in range(100_000)) + b"t"
    ),
    "a million marks": lambda: b"\x80\x02" + b"(" * 1_000_000 + b".",
    "a million copies": lambda: b"\x80\x02}" + b"2" * 1_000_000 + b".",
    **{f"{what}, 100000 deep": partial(nested, *opcodes, 100_000) for what, opcodes in NESTS.items()},
}
