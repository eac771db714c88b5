"""What a checkpoint file costs to load, counted without loading it.

A file builds plain values and tensors alone (see ``inert``), and these can be expensive: a tuple that holds another
one twice, forty times over, has 2 ** 40 leaves, all of which are visited when it is the key of a dictionary. Numbers
can be chosen so that their hashes are the same, and each new key is then compared with all before it.
"""

import io
import mmap
import pickletools
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

LARGEST_PICKLE = 2**28  # bytes; that of a training checkpoint with 10 000 tensors has 5 MB
WORK_PER_OPCODE = 10  # values hashed; a tensor's own tuples take less than one
FREE_WORK = 1_000_000  # values hashed, some 20 ms
MOST_KEYS = 20_000  # that are no text, whose hashes nobody can choose; an optimizer numbers its parameters with them
OLD_PICKLES = 5  # in PyTorch's format before 1.6: a magic number, a version, the system, the content, the storages

_GETTING = ("GET", "BINGET", "LONG_BINGET")
_PUTTING = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
_TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING")


class CostlyFileError(Exception):
    """A file that takes far more time or memory to load than a checkpoint of its size."""


def check_pickles(path: Path) -> None:
    """Looks at the pickles of a checkpoint in either of PyTorch's formats; damage is left to the loader to find.

    Raises:
        CostlyFileError: it holds more than its own size, or hashing its keys would take too long.
    """
    if not zipfile.is_zipfile(path):
        if size := path.stat().st_size:
            # Mapped, for a read of an exabyte then ends at the end of the file, and reserves no memory.
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                all(check_cost(cast("IO[bytes]", content), size) for _ in range(OLD_PICKLES))
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        # The code of a TorchScript program is packed, and is not read.
        if sum(entry.file_size for entry in entries if "/code/" not in entry.filename) > path.stat().st_size:
            raise CostlyFileError("it is a zip archive that unpacks to more than its own size")
        for entry in entries:
            if entry.filename.endswith("data.pkl"):
                if entry.file_size > LARGEST_PICKLE:
                    raise CostlyFileError(f"its pickle has {entry.file_size:,} bytes beside the weights")
                check_cost(io.BytesIO(archive.read(entry)), path.stat().st_size)


def check_cost(stream: IO[bytes], largest: int) -> bool:
    """Reads one pickle, up to its end, without building what it holds; returns False where it is damaged.

    Args:
        stream: it begins where the stream stands.
        largest: number that a tensor in it may be made with, its sizes and the count of its storage.

    Raises:
        CostlyFileError: hashing its keys would take more steps than a checkpoint needs, or a tensor is larger.
    """
    machine = _Machine(largest)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            machine.step(opcode, argument)
            if machine.work > FREE_WORK + WORK_PER_OPCODE * count or machine.keys > MOST_KEYS:
                raise CostlyFileError("its keys would take too long to load")
    except ValueError:  # what pickletools raises for bytes that are no pickle
        return False
    return True


@dataclass(frozen=True)
class _Value:
    """What is known of a value: how many values are hashed in its place, none for a text, and its largest number."""

    work: int = 1
    largest: int = 0


_ANY = _Value()
_MARK = _Value(-1)


class _Machine:
    """The stack of an unpickler."""

    def __init__(self, largest: int) -> None:
        self.work = 0
        self.keys = 0
        self._largest = largest
        self._stack: list[_Value] = []
        self._memo: dict[object, _Value] = {}

    def step(self, opcode: pickletools.OpcodeInfo, argument: object) -> None:
        name = opcode.name
        if name in _PUTTING:
            self._memo[len(self._memo) if name == "MEMOIZE" else argument] = self._stack[-1] if self._stack else _ANY
        elif name in _GETTING:
            self._stack.append(self._memo.get(argument, _ANY))
        elif name == "DUP":
            self._stack.append(self._stack[-1] if self._stack else _ANY)
        elif name == "MARK":
            self._stack.append(_MARK)
        else:
            self._build(opcode, argument, self._take(opcode))

    def _build(self, opcode: pickletools.OpcodeInfo, argument: object, taken: list[_Value]) -> None:
        name, largest = opcode.name, max((value.largest for value in taken), default=0)
        if name in ("BINPERSID", "REDUCE", "NEWOBJ") and largest > self._largest:
            raise CostlyFileError(f"it claims a tensor of {largest:,} values, more than the file has bytes")
        if name in ("SETITEM", "SETITEMS", "DICT"):
            self._count_keys(taken[name == "SETITEM" :: 2])
        elif name in ("ADDITEMS", "FROZENSET"):
            self._count_keys(taken)
        if "TUPLE" in name:
            value = _Value(1 + sum(item.work for item in taken), largest)
        elif isinstance(argument, str):
            value = _Value(int(name not in _TEXTS))
        else:
            value = (
                _Value(1, argument)
                if isinstance(argument, int) and name.endswith(("INT", "INT1", "INT2", "LONG", "LONG1", "LONG4"))
                else _ANY
            )
        self._stack += [value] * len(opcode.stack_after)

    def _count_keys(self, keys: list[_Value]) -> None:
        self.work += sum(key.work for key in keys)
        self.keys += sum(key.work > 0 for key in keys)

    def _take(self, opcode: pickletools.OpcodeInfo) -> list[_Value]:
        """Takes from the stack what the opcode takes, in order; with a mark, what stands above it."""
        before, stack = opcode.stack_before, self._stack
        if pickletools.markobject not in before:
            count = len(stack) - min(len(before), len(stack))
            taken = stack[count:]
            del stack[count:]
            return taken
        mark = next((i for i in reversed(range(len(stack))) if stack[i] is _MARK), 0)
        taken = stack[mark + 1 :]
        del stack[max(0, mark - before.index(pickletools.markobject)) :]
        return taken
