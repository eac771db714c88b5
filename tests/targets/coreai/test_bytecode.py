"""Where large weights lie in MLIR's bytecode: found in bytes that are written here, and nothing else happens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilevit_deploy.targets.coreai.bytecode import BLOB_SIZES, BLOBS, MAGIC, STRINGS, find_blobs

Weights = dict[str, bytes]
WEIGHTS = st.dictionaries(st.text("abc_123", min_size=1), st.binary(max_size=300), max_size=4)


def number(value: int) -> bytes:
    """A number as MLIR writes it: seven bits a byte, and as many zeros at the first one's end as bytes follow."""
    length = max(1, -(-value.bit_length() // 7))
    if length > 8:
        return b"\0" + value.to_bytes(8, "little")
    return ((value << length) | (1 << (length - 1))).to_bytes(length, "little")


def section(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + number(len(content)) + content


def write(weights: Weights, alignment: int = 16) -> bytes:
    names = ["builtin", *weights]
    head = MAGIC + number(6) + b"a producer\0"
    sizes, blobs = number(0) + number(0) + number(len(weights)), b""
    start = len(head) + 1 + 10 + 1  # an aligned section begins at a multiple of this, so that its blobs do
    start += -start % alignment
    for i, content in enumerate(weights.values(), start=1):
        blob = number(alignment) + number(len(content))
        blob += b"\xcb" * (-(start + len(blobs) + len(blob)) % alignment) + content
        sizes += number(i) + number(len(blob)) + b"\0"
        blobs += blob
    length = b"\0" + len(blobs).to_bytes(8, "little")
    aligned = bytes([BLOBS | 0x80]) + length + number(alignment)
    aligned += b"\xcb" * (start - len(head) - len(aligned)) + blobs
    texts = [name.encode() + b"\0" for name in names]
    strings = number(len(texts)) + b"".join(number(len(text)) for text in reversed(texts)) + b"".join(texts)
    return head + aligned + section(BLOB_SIZES, sizes) + section(STRINGS, strings)


@settings(max_examples=40)
@given(WEIGHTS)
def test_each_weight_is_found(weights: Weights) -> None:
    content = write(weights)
    found = {blob.key: content[blob.start : blob.start + blob.size] for blob in find_blobs(content)}
    assert found == weights


@settings(max_examples=60)
@given(WEIGHTS, st.data())
def test_damaged_bytes_are_refused_or_lie_in_the_file(weights: Weights, data: st.DataObject) -> None:
    content = bytearray(write(weights))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    cut = bytes(content[: data.draw(st.integers(0, len(content)))])
    for damaged in (bytes(content), cut):
        try:
            found = find_blobs(damaged)
        except ValueError:
            continue
        assert all(0 <= blob.start <= blob.start + blob.size <= len(damaged) for blob in found)


@pytest.mark.parametrize("content", [b"", b"ML", b"PK\x03\x04" + bytes(20), MAGIC])
def test_what_is_no_bytecode(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"bytecode|subsection"):
        find_blobs(content)
