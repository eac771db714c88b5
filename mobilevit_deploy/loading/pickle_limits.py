"""What a checkpoint file costs to load, counted without loading it.

A file builds plain values and tensors alone (see ``inert``), and these can be expensive: a tuple that holds another
one twice, forty times over, has 2 ** 40 leaves, all of which are visited when it is the key of a dictionary. Numbers
can be chosen so that their hashes are the same, and each new key is then compared with all before it. An empty set
takes one byte in the file and 200 in memory.
"""

import io
import pickletools
import re
import zipfile
from dataclasses import dataclass
from typing import BinaryIO

from mobilevit_deploy.loading.records import read_record

MOST_OPCODES = (
    2_000_000  # seconds, and a GB where each makes a set; 10 000 tensors, averaged and with Adam, take 1.4 million
)
LARGEST_PICKLE = 2**28  # bytes; that of a training checkpoint with 10 000 tensors has 5 MB
WORK_PER_OPCODE = 10  # values hashed; a tensor's own tuples take less than one
FREE_WORK = 1_000_000  # values hashed, some 20 ms
MOST_KEYS = 20_000  # that are no text, whose hashes nobody can choose; an optimizer numbers its parameters with them
OLD_PICKLES = 5  # in PyTorch's format before 1.6: a magic number, a version, the system, the content, the storages

# The code of a TorchScript program, which may be packed, for it is not read.
_CODE = re.compile(r"[^/]+/code/.+\.(py|debug_pkl)")
_GETTING = ("GET", "BINGET", "LONG_BINGET")
_PUTTING = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
_TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING")


class CostlyFileError(Exception):
    """A file that takes far more time or memory to load than a checkpoint of its size."""


def check_pickles(file: BinaryIO, size: int) -> None:
    """Looks at the pickles of a checkpoint in either of PyTorch's formats; damage is left to the loader to find.

    Args:
        file: it stands at its beginning, where it is left.
        size: in bytes; no tensor in it may be made with a larger number, be it of its sizes or of its storage's.

    Raises:
        CostlyFileError: it holds more than its own size, or building its values, or hashing them, takes too long.
    """
    machine = _Machine(size)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            _check_archive(archive, size, machine)
    else:
        file.seek(0)
        all(machine.run(file) for _ in range(OLD_PICKLES))
    file.seek(0)


def _check_archive(archive: zipfile.ZipFile, size: int, machine: "_Machine") -> None:
    entries = archive.infolist()
    if sum(entry.file_size for entry in entries if not _CODE.fullmatch(entry.filename)) > size:
        raise CostlyFileError("it is a zip archive that unpacks to more than its own size")
    for entry in entries:
        if entry.filename.endswith("data.pkl"):
            if entry.file_size > LARGEST_PICKLE:
                raise CostlyFileError(f"its pickle has {entry.file_size:,} bytes beside the weights")
            machine.run(io.BytesIO(read_record(archive, entry)))


@dataclass(frozen=True)
class _Value:
    """What is known of a value: how many values are hashed in its place, none for a text, and its largest number."""

    work: int = 1
    largest: int = 0


_ANY = _Value()
_MARK = _Value(-1)


class _Machine:
    """The stack of an unpickler, for the pickles of a file, and what they have taken together."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._opcodes = 0
        self._work = 0
        self._keys = 0
        self._stack: list[_Value] = []
        self._memo: dict[object, _Value] = {}

    def run(self, stream: BinaryIO) -> bool:
        """Reads one pickle, up to its end, without building what it holds; returns False where it is damaged."""
        self._stack, self._memo = [], {}
        try:
            for opcode, argument, _ in pickletools.genops(stream):
                self._opcodes += 1
                self._step(opcode, argument)
                if self._work > FREE_WORK + WORK_PER_OPCODE * self._opcodes or self._keys > MOST_KEYS:
                    raise CostlyFileError("its keys would take too long to load")
                if self._opcodes > MOST_OPCODES:
                    raise CostlyFileError(f"it has more than {MOST_OPCODES:,} values beside the weights")
        except ValueError:  # what pickletools raises for bytes that are no pickle
            return False
        return True

    def _step(self, opcode: pickletools.OpcodeInfo, argument: object) -> None:
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
        self._work += sum(key.work for key in keys)
        self._keys += sum(key.work > 0 for key in keys)

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
