"""Members of a zip archive of the plain kind, its directory read at a third of what `zipfile` takes for it.

Plain means: one file, whole, not encrypted, deflated, stored or compressed by Zstandard, and under 4 GiB. Of any other
archive this says `Irregular`; `zipfile` then reads it, or tells what is wrong.
"""

import struct
import zlib
from collections.abc import Mapping
from typing import BinaryIO

import pyarrow as pa

from chaintune.logs.irregular import Irregular

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s4x2H4x3L3H8xL")
_LENGTHS = struct.Struct("<4s24x3H")
_LOCAL = struct.Struct("<4s22x2H")
_ENTRY_BYTES = 46
_STORED, _DEFLATED, _ZSTANDARD = 0, 8, 93
# How a member was deflated, that its sizes follow it, and that its name is UTF-8.
_HARMLESS_FLAGS = 0b1000_0000_1110
_ELSEWHERE = 0xFFFFFFFF


class Members:
    """Members of an archive by name; of two of one name the last.

    Args:
        file: the archive, open as long as members are read.

    Raises:
        Irregular: it is no plain archive.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._directory = _directory(file)
        self._places = _places(self._directory)

    @property
    def names(self) -> Mapping[bytes, int]:
        """Every name, and where its entry stands in the directory."""
        return self._places

    def size(self, name: bytes) -> int:
        """Bytes of a member when unpacked, as the directory has it.

        Raises:
            Irregular: there is no such member.
        """
        if name not in self._places:
            raise Irregular(f"there is no {name.decode(errors='replace')} in it")
        size: int = _ENTRY.unpack_from(self._directory, self._places[name])[5]
        return size

    def read(self, name: bytes, *, most_bytes: int) -> bytes:
        """A member, unpacked and its checksum right.

        Raises:
            Irregular: it is not there, larger than that, damaged, or packed in another way.
        """
        size = self.size(name)
        place = self._places[name]
        _, flags, method, checksum, packed, _, length, *_, offset = _ENTRY.unpack_from(self._directory, place)
        if size > most_bytes or flags & ~_HARMLESS_FLAGS or _ELSEWHERE in (packed, size, offset):
            raise Irregular(f"{name.decode(errors='replace')} is large or packed in another way")
        data = _unpacked(self._packed(name, length, packed, offset), method, size)
        if len(data) != size or zlib.crc32(data) != checksum:
            raise Irregular(f"{name.decode(errors='replace')} is damaged")
        return data

    def _packed(self, name: bytes, length: int, packed: int, offset: int) -> bytes:
        self._file.seek(offset)
        head = self._file.read(_LOCAL.size + length)
        if len(head) < _LOCAL.size + length or head[_LOCAL.size :] != name:
            raise Irregular("its directory leads elsewhere")
        sign, _, extra = _LOCAL.unpack_from(head)
        if sign != b"PK\x03\x04":
            raise Irregular("its directory leads elsewhere")
        self._file.seek(extra, 1)
        return self._file.read(packed)


def _directory(file: BinaryIO) -> bytes:
    """The directory, when it ends where the archive's end begins."""
    end = file.seek(0, 2) - _END.size
    sign, *_, size, offset, _ = _END.unpack(_at(file, end, _END.size))
    if sign != b"PK\x05\x06":
        raise Irregular("it does not end as a zip archive does")
    if end >= _LOCATOR.size and _at(file, end - _LOCATOR.size, _LOCATOR.size).startswith(b"PK\x06\x07"):
        end, size, offset = _of_a_large_archive(file, end)
    if offset + size != end:
        raise Irregular("there is something before or after it")
    return _at(file, offset, size)


def _of_a_large_archive(file: BinaryIO, end: int) -> tuple[int, int, int]:
    """End, size and beginning of a directory of more members than fit the short form."""
    _, _, place, _ = _LOCATOR.unpack(_at(file, end - _LOCATOR.size, _LOCATOR.size))
    if place + _END_64.size + _LOCATOR.size != end:
        raise Irregular("its end is not of one piece")
    sign, *_, size, offset = _END_64.unpack(_at(file, place, _END_64.size))
    if sign != b"PK\x06\x06":
        raise Irregular("its end is not of one piece")
    return place, size, offset


def _at(file: BinaryIO, place: int, size: int) -> bytes:
    if place < 0:
        raise Irregular("it is truncated")
    file.seek(place)
    data = file.read(size)
    if len(data) != size:
        raise Irregular("it is truncated")
    return data


def _places(directory: bytes) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    place, end, lengths = 0, len(directory), _LENGTHS.unpack_from
    while place + _ENTRY_BYTES <= end:
        sign, name, extra, comment = lengths(directory, place)
        if sign != b"PK\x01\x02":
            break
        found[directory[place + _ENTRY_BYTES : place + _ENTRY_BYTES + name]] = place
        place += _ENTRY_BYTES + name + extra + comment
    if place != end:
        raise Irregular("its directory is damaged")
    return found


def _unpacked(data: bytes, method: int, size: int) -> bytes:
    """Never more than the size that was declared, and the one byte that tells that there is more."""
    try:
        if method == _STORED:
            return data
        if method == _DEFLATED:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
        if method == _ZSTANDARD:
            unpacked: bytes = pa.Codec("zstd").decompress(data, size, asbytes=True)
            return unpacked
    except (zlib.error, OSError) as error:
        raise Irregular("a member cannot be unpacked") from error
    raise Irregular(f"it is compressed by method {method}")
