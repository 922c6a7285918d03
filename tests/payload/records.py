"""Writes TFRecord files and Examples by hand, so that a test can write wrong ones."""

import struct
from pathlib import Path

from payload.data.tfrecord import masked_crc


def varint(value: int) -> bytes:
    """A number of protocol buffers."""
    value &= (1 << 64) - 1
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def field(number: int, content: bytes) -> bytes:
    """A field that has a length."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def bytes_feature(content: bytes) -> bytes:
    return field(1, field(1, content))


def integer_feature(*values: int) -> bytes:
    return field(3, field(1, b"".join(varint(value) for value in values)))


def example(**features: bytes) -> bytes:
    """A serialised tf.train.Example; `__` in a name stands for `/`."""
    entries = [
        field(1, field(1, name.replace("__", "/").encode()) + field(2, feature))
        for name, feature in features.items()
    ]
    return field(1, b"".join(entries))


def picture(image: bytes, label: int) -> bytes:
    return example(image__encoded=bytes_feature(image), image__class__label=integer_feature(label))


def framed(content: bytes) -> bytes:
    head = struct.pack("<Q", len(content))
    crc = struct.Struct("<I").pack
    return head + crc(masked_crc(head)) + content + crc(masked_crc(content))


def write(path: Path, contents: list[bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(framed(content) for content in contents))
    return path
