"""Valid values and files, damaged in ways that a random generator decides."""

import csv
import io
import json
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

# What stands for text that no value becomes: nested too deeply, and a number of too many digits.
DEEP, DIGITS = "@deep@", "@digits@"
_ENOUGH = 100_000
_TEXTS = {f'"{DEEP}"': "[" * _ENOUGH + "]" * _ENOUGH, f'"{DIGITS}"': "9" * 5000}
_UNFIT: tuple[type[Exception], ...] = (
    *(ValueError, TypeError, OverflowError, OSError, EOFError, LookupError, NotImplementedError, RecursionError),
    *(pa.ArrowException, yaml.YAMLError, csv.Error, zipfile.BadZipFile, zlib.error),
)
_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
WORDS = (
    *("", " ", "x", "é", "\u202egnp", "\x1b[31mred", "\x00", "\ud800", "a\n::error::b", "ß" * 300, "x" * _ENOUGH),
    *("nan", "-1", "1e999", "null", "[]", "{}", "no", "0x10", "1_000", "١", "../..", "~", "a,b", "a b", "{user}", "%s"),
    *("2026-01-02", "=1+1"),
)
VALUES: tuple[Any, ...] = (
    *(*WORDS, None, True, False, 0, 1, -1, 2, 7, 1.5, -0.5, float("nan"), float("inf"), float("-inf"), 1e308, 1e-320),
    *(2**31, 2**63, -(2**63) - 1, 2**64, 10**400, [], {}, [[]], [None], [0], ["x", "x"], [1, "a", None], {"": None}),
    *({"x": {"y": 1}}, {"x": []}, [{"x": 1}], {"text": "x"}, DEEP, DIGITS),
)


def changed(rng: Random, value: Any) -> tuple[Any, str]:
    """Plain data with one place changed, and what was done."""
    whole: list[Any] = [deepcopy(value)]
    holder, key, path = _place(rng, whole)
    here = holder[key]
    way = rng.choice(("odd", "odd", "odd", "odd", "gone", "renamed", "again", "wrapped", "other", "as text"))
    if way == "gone":
        del holder[key]
    elif way == "renamed" and isinstance(holder, dict):
        holder[rng.choice([f"{key} ", str(key).upper(), f"_{key}", *WORDS[:10]])] = holder.pop(key)
    elif way == "again" and isinstance(holder, list):
        holder.insert(key, deepcopy(here))
    elif way == "wrapped":
        holder[key] = rng.choice(([here], [here, here], {"value": here}))
    elif way == "other":
        other, its_key, _ = _place(rng, [deepcopy(value)])
        holder[key] = other[its_key]
    elif way == "as text":
        holder[key] = rng.choice((str, json.dumps))(here)
    else:
        way, holder[key] = "odd", rng.choice(VALUES)
    after = holder[key] if way not in ("gone", "renamed") else ""
    return whole[0] if whole else None, f"{'.'.join(map(str, path)) or 'all'} {way} {str(after)[:40]!r}"


def _place(rng: Random, whole: list[Any]) -> tuple[Any, Any, list[Any]]:
    """A container, a key of it, and the path to there; each level as likely as the next."""
    holder: Any = whole
    key: Any = 0
    path: list[Any] = []
    while isinstance(holder[key], dict | list) and holder[key] and (rng.random() < 0.8 or not path):
        holder = holder[key]
        key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        path.append(key)
    return holder, key, path


def as_json(value: Any, *, ascii_only: bool = True) -> bytes:
    """JSON, with text that no value becomes where it is asked for."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    for sign, long in _TEXTS.items():
        text = text.replace(sign, long)
    return text.encode(errors="surrogatepass")


def damage(rng: Random, path: Path, others: Sequence[Path] = ()) -> str:
    """Damage a file in one way, or seldom in several; what was done.

    Args:
        rng: decides.
        path: of the file.
        others: files that may come in its place.
    """
    ways = [_once(rng, path, others)]
    while path.is_file() and rng.random() < 0.15:
        ways.append(_once(rng, path, others))
    return f"{path.name}: " + "; ".join(ways)


def _once(rng: Random, path: Path, others: Sequence[Path]) -> str:
    draw = rng.random()
    if draw < 0.06:
        return _as_a_file(rng, path, others)
    if draw < 0.65:
        try:
            return _STRUCTURES.get(path.suffix, _bytes)(rng, path)
        except _UNFIT:
            pass  # what cannot be written this way, or was damaged before
    return _bytes(rng, path)


def _as_a_file(rng: Random, path: Path, others: Sequence[Path]) -> str:
    way = rng.choice(("gone", "folder", "loop", "swapped"))
    other = rng.choice(others) if others else path
    content = other.read_bytes() if other.is_file() else b""
    path.unlink()
    if way == "folder":
        path.mkdir()
    elif way == "loop":
        path.symlink_to(path.name)
    elif way == "swapped":
        path.write_bytes(content)
        return f"holds {other.name}"
    return way


def _bytes(rng: Random, path: Path) -> str:
    data = path.read_bytes()
    at = rng.randrange(len(data) + 1)
    name, change = rng.choice(_BYTES)
    path.write_bytes(change(rng, data, at))
    return f"{name} at byte {at}"


def _twice(_rng: Random, data: bytes, at: int) -> bytes:
    start, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at) + 1 or len(data)
    return data[:end] + data[start:end] + data[end:]


def _flipped(rng: Random, data: bytes, at: int) -> bytes:
    return (
        data[:at] + bytes(byte ^ 1 << rng.randrange(8) for byte in data[at : at + rng.randrange(1, 4)]) + data[at + 3 :]
    )


def _key_twice(rng: Random, data: bytes, _at: int) -> bytes:
    keys = list(re.finditer(rb'"(\w+)": ?', data))
    if not keys:
        return data * 2
    key = rng.choice(keys)
    return data[: key.start()] + key[0] + rng.choice((b"null", b"1", b'"x"')) + b", " + data[key.start() :]


_BYTES: tuple[tuple[str, Callable[[Random, bytes, int], bytes]], ...] = (
    ("cut", lambda _, data, at: data[:at]),
    ("without its beginning", lambda _, data, at: data[at:]),
    ("empty", lambda *_: b""),
    ("blank", lambda *_: b" \n\n"),
    ("flipped", _flipped),
    ("zeros", lambda _, data, at: data[:at] + bytes(len(data) - at)),
    ("inserted", lambda rng, data, at: data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at:]),
    ("a sign", lambda rng, data, at: data[:at] + rng.choice(b'{}[]",:\n\t\r;|&*!-?@`#%').to_bytes() + data[at:]),
    ("a word", lambda rng, data, at: data[:at] + rng.choice(WORDS).encode(errors="surrogatepass") + data[at:]),
    ("line twice", _twice),
    ("key twice", _key_twice),
    ("whole twice", lambda _, data, _at: data + data),
    ("UTF-16", lambda _, data, _at: data.decode(errors="replace").encode("utf-16")),
    ("Latin-1", lambda _, data, at: data[:at] + "é".encode("latin-1") + data[at:]),
    ("BOM", lambda _, data, _at: b"\xef\xbb\xbf" + data),
    ("carriage returns", lambda rng, data, _: data.replace(b"\n", rng.choice((b"\r\n", b"\r")))),
    ("a pointer of Git LFS", lambda *_: _POINTER),
    ("opened deeply", lambda rng, data, at: data[:at] + rng.choice((b"[", b'{"x":')) * _ENOUGH + data[at:]),
)


def _json(rng: Random, path: Path) -> str:
    value, what = changed(rng, json.loads(path.read_bytes()))
    path.write_bytes(as_json(value, ascii_only=rng.random() < 0.7))
    return what


def _lines(rng: Random, path: Path) -> str:
    value, what = changed(rng, [json.loads(line) for line in path.read_bytes().splitlines()])
    path.write_bytes(b"\n".join(map(as_json, value)) + b"\n")
    return what


def _yaml(rng: Random, path: Path) -> str:
    value, what = changed(rng, yaml.safe_load(path.read_text()))
    path.write_bytes(as_json(value) if rng.random() < 0.5 else yaml.safe_dump(value, sort_keys=False).encode())
    return what


def _csv(rng: Random, path: Path) -> str:
    rows, what = changed(rng, list(csv.reader(io.StringIO(path.read_text(), newline=""))))
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return what


def _parquet(rng: Random, path: Path) -> str:
    table = pq.read_table(path)
    if rng.random() < 0.5:
        column = rng.randrange(table.num_columns)
        name = table.column_names[column]
        if rng.random() < 0.5:
            table, what = table.remove_column(column), f"column {name} gone"
        else:
            odd = rng.choice(VALUES)
            table = table.set_column(column, name, pa.array([odd] * table.num_rows))
            what = f"column {name} {str(odd)[:40]!r}"
    else:
        rows, what = changed(rng, table.to_pylist())
        # As before where the values still fit.
        try:
            table = pa.Table.from_pylist(rows, table.schema)
        except (pa.ArrowException, TypeError, AttributeError):
            table = pa.Table.from_pylist(rows)
        table = table.replace_schema_metadata(pq.read_schema(path).metadata)
    pq.write_table(table, path)
    return what


def _safetensors(rng: Random, path: Path) -> str:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, what = changed(rng, json.loads(data[8 : 8 + length]))
    text = as_json(header)
    told = rng.choice((len(text),) * 9 + (2**63, 0, len(text) * 2))
    path.write_bytes(told.to_bytes(8, "little") + text + data[8 + length :])
    return what


def _archive(rng: Random, path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(members))
    unpacked = path.with_name("member.json")
    unpacked.write_bytes(members[name])
    what = damage(rng, unpacked)
    if unpacked.is_file() and not unpacked.is_symlink():
        members[name] = unpacked.read_bytes()
    else:
        del members[name]
    shutil.rmtree(unpacked) if unpacked.is_dir() else unpacked.unlink(missing_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return f"{name}, {what}"


_STRUCTURES: dict[str, Callable[[Random, Path], str]] = {
    ".json": _json,
    ".jsonl": _lines,
    ".ndjson": _lines,
    ".yaml": _yaml,
    ".csv": _csv,
    ".parquet": _parquet,
    ".safetensors": _safetensors,
    ".eval": _archive,
}
