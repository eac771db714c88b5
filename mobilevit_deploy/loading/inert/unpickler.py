"""Reads pickles without running anything in them: what is no plain value becomes a placeholder.

::

    {"model": {"conv.weight": <tensor>}, "message_hub": <mmengine.logging.history_buffer.HistoryBuffer>, "best": 81.2}

    ->  {"model": {"conv.weight": Tensor}, "message_hub": Placeholder("mmengine.logging...HistoryBuffer"), "best": 81.2}

``torch.load(weights_only=True)`` refuses a whole file for one object that nobody needs, such as a numpy scalar or a
training framework's log. Here every opcode of the protocols 0 to 5 (``pickletools.opcodes``) does one of four things:
it makes a plain value, moves values about, makes a tensor of a storage, or makes a placeholder. A name of a class or
function is never looked up, only kept as text; ``REDUCE``, ``NEWOBJ``, ``NEWOBJ_EX``, ``OBJ`` and ``INST`` call
nothing; ``BUILD`` gives a placeholder its state as data; ``EXT`` codes are not resolved; another persistent id than
a storage's is refused.

``torch.load`` takes this module as its ``pickle_module`` and does the rest: the archive, the storages, the old format.
"""

import pickletools
from collections import Counter
from collections.abc import Callable, Sequence
from pickle import UnpicklingError
from typing import IO, Any

import torch

from mobilevit_deploy.loading.inert.arrays import ARRAYS
from mobilevit_deploy.loading.inert.builders import BUILDERS
from mobilevit_deploy.loading.inert.values import Name, Placeholder, checked_key

LONGEST_NAME = 200  # letters of a name in a message


class Unpickler:
    """One pickle of a stream; the interface that ``torch.load`` asks of a ``pickle_module``.

    Attributes:
        placeholders: how many there are of each name.
    """

    persistent_load: Callable[[Any], Any]

    def __init__(self, file: IO[bytes], **_: object) -> None:
        """Takes a stream; the other arguments of ``pickle.Unpickler`` change nothing here."""
        self._file = file
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self.placeholders: Counter[str] = Counter()

    def load(self) -> Any:
        """Returns what the pickle holds.

        Raises:
            UnpicklingError: it is damaged, or asks for something that no checkpoint needs.
        """
        try:
            for opcode, argument, _ in pickletools.genops(self._file):
                if opcode.name == "STOP":
                    return self._stack.pop()
                self._step(opcode.name, argument)
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UnpicklingError(f"the pickle is damaged: {type(error).__name__}") from error
        raise UnpicklingError("the pickle has no end")

    def find_class(self, module: str, name: str) -> Any:
        """Returns the name as text; ``torch.load`` asks here for what is no storage's class, and for that of bytes."""
        if (module, name) == ("torch.storage", "UntypedStorage"):
            return torch.UntypedStorage
        return Name(f"{module}.{name}"[:LONGEST_NAME])

    def load_storage(self, known: tuple[Any, ...]) -> Any:
        """Returns what ``torch.load`` makes of a storage's type, key, device and size."""
        return self.persistent_load(known)

    def _step(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self._stack.append(argument)
        elif name in _EMPTY:
            self._stack.append(_EMPTY[name]())
        else:
            handler = _HANDLERS.get(name)
            if handler is None:
                raise UnpicklingError(f"the pickle has the opcode {name}, which no checkpoint needs")
            handler(self, argument)

    def _pop_mark(self) -> list[Any]:
        start = self._marks.pop()
        found = self._stack[start:]
        del self._stack[start:]
        return found

    def _placeholder(self, name: str, arguments: tuple[Any, ...] = ()) -> Placeholder:
        if name not in ARRAYS:  # which are read
            self.placeholders[name] += 1
        return Placeholder(name, arguments)

    # Names, and what they would make.

    def _global(self, argument: str) -> None:
        self._push_name(*argument.split(" ", 1))

    def _stack_global(self, _: object) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._push_name(module, name)

    def _push_name(self, module: object, name: object = "") -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise UnpicklingError("the pickle names a class by something else than text")
        self._stack.append(self.find_class(module, name))

    def _extension(self, argument: int) -> None:
        self._stack.append(Name(f"extension code {argument}"))

    def _reduce(self, _: object) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        self._stack.append(self._make(function, arguments))

    def _new_object_with_keywords(self, _: object) -> None:
        del self._stack[-1]
        self._reduce(None)

    def _instance(self, argument: str) -> None:
        arguments = self._pop_mark()
        self._global(argument)
        self._stack.append(self._make(self._stack.pop(), tuple(arguments)))

    def _object(self, _: object) -> None:
        kind, *arguments = self._pop_mark()
        self._stack.append(self._make(kind, tuple(arguments)))

    def _make(self, maker: object, arguments: object) -> Any:
        """Returns what a call would return where that is a plain value or a tensor, else a placeholder."""
        if not isinstance(maker, Name):
            kind = type(maker).__name__
            return self._placeholder(kind)
        if not isinstance(arguments, tuple):
            raise UnpicklingError(f"{maker.text} is given something else than arguments")
        build = BUILDERS.get(maker.text)
        if build is None:
            return self._placeholder(maker.text, arguments)
        return build(self._make, arguments)

    def _build(self, _: object) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, Placeholder):
            target.state = state
        # Of a tensor or a dictionary: attributes such as the versions of modules, which nothing here reads.

    def _persistent(self, _: object) -> None:
        known = self._stack.pop()
        kind = known[0] if isinstance(known, tuple) and len(known) >= 4 else None
        if kind in ("module", b"module"):  # of the old format: a class, beside its source, which is not read
            self._stack.append(known[1])
        elif kind in ("storage", b"storage"):
            self._stack.append(self.load_storage(known))
        else:
            raise UnpicklingError("the pickle refers to something else than a tensor's storage")

    # Containers and the memo.

    def _append(self, _: object) -> None:
        item = self._stack.pop()
        self._extend([item])

    def _appends(self, _: object) -> None:
        self._extend(self._pop_mark())

    def _extend(self, items: Sequence[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, Placeholder):
            target.items.extend(items)
        elif isinstance(target, list):
            target.extend(items)
        elif isinstance(target, set):
            target.update(map(checked_key, items))
        else:
            raise UnpicklingError(f"the pickle appends to a {type(target).__name__}")

    def _set_item(self, _: object) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set([key, value])

    def _set_items(self, _: object) -> None:
        self._set(self._pop_mark())

    def _set(self, pairs: Sequence[Any]) -> None:
        target = self._stack[-1]
        entries = target.entries if isinstance(target, Placeholder) else target
        if not isinstance(entries, dict) or len(pairs) % 2:
            raise UnpicklingError(f"the pickle sets entries of a {type(target).__name__}")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            entries[checked_key(key)] = value

    def _dict(self, _: object) -> None:
        pairs = self._pop_mark()
        self._stack.append({})
        self._set(pairs)

    def _list(self, _: object) -> None:
        self._stack.append(self._pop_mark())

    def _tuple(self, _: object) -> None:
        self._stack.append(tuple(self._pop_mark()))

    def _frozen_set(self, _: object) -> None:
        self._stack.append(frozenset(map(checked_key, self._pop_mark())))

    def _short_tuple(self, count: int) -> None:
        items = self._stack[-count:]
        if len(items) < count:
            raise UnpicklingError("the pickle is damaged: too few values for a tuple")
        self._stack[-count:] = [tuple(items)]

    def _mark(self, _: object) -> None:
        self._marks.append(len(self._stack))

    def _drop(self, _: object) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()  # POP takes a mark, too
        else:
            self._stack.pop()

    def _drop_mark(self, _: object) -> None:
        self._pop_mark()

    def _duplicate(self, _: object) -> None:
        self._stack.append(self._stack[-1])

    def _put(self, argument: int) -> None:
        self._memo[argument] = self._stack[-1]

    def _memoize(self, _: object) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _get(self, argument: int) -> None:
        self._stack.append(self._memo[argument])

    def _nothing(self, _: object) -> None:
        pass


def load(file: IO[bytes], **settings: object) -> Any:
    """Returns what one pickle of a stream holds; storages are for ``torch.load`` to give."""
    return Unpickler(file, **settings).load()


_VALUES = {
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
    "LONG4",
    "FLOAT",
    "BINFLOAT",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "UNICODE",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
    "BYTEARRAY8",
}
_EMPTY: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
_HANDLERS: dict[str, Callable[[Unpickler, Any], None]] = {
    "PROTO": Unpickler._nothing,
    "FRAME": Unpickler._nothing,
    "GLOBAL": Unpickler._global,
    "STACK_GLOBAL": Unpickler._stack_global,
    "EXT1": Unpickler._extension,
    "EXT2": Unpickler._extension,
    "EXT4": Unpickler._extension,
    "REDUCE": Unpickler._reduce,
    "NEWOBJ": Unpickler._reduce,
    "NEWOBJ_EX": Unpickler._new_object_with_keywords,
    "INST": Unpickler._instance,
    "OBJ": Unpickler._object,
    "BUILD": Unpickler._build,
    "BINPERSID": Unpickler._persistent,
    "APPEND": Unpickler._append,
    "APPENDS": Unpickler._appends,
    "ADDITEMS": Unpickler._appends,
    "SETITEM": Unpickler._set_item,
    "SETITEMS": Unpickler._set_items,
    "DICT": Unpickler._dict,
    "LIST": Unpickler._list,
    "TUPLE": Unpickler._tuple,
    "TUPLE1": lambda reader, _: reader._short_tuple(1),
    "TUPLE2": lambda reader, _: reader._short_tuple(2),
    "TUPLE3": lambda reader, _: reader._short_tuple(3),
    "FROZENSET": Unpickler._frozen_set,
    "MARK": Unpickler._mark,
    "POP": Unpickler._drop,
    "POP_MARK": Unpickler._drop_mark,
    "DUP": Unpickler._duplicate,
    "PUT": Unpickler._put,
    "BINPUT": Unpickler._put,
    "LONG_BINPUT": Unpickler._put,
    "MEMOIZE": Unpickler._memoize,
    "GET": Unpickler._get,
    "BINGET": Unpickler._get,
    "LONG_BINGET": Unpickler._get,
    # Left out, and refused: PERSID, whose ids are text, and the buffers out of band, which no file has.
}
