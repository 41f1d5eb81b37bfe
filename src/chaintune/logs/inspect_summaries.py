"""Archives of Inspect read by their summaries, which hold of every sample what is needed but for its messages.

A summary tells scores in full and shortens long texts. Some hundred samples are looked at whole: they have to say what
their summaries say, and they tell the prompts. Of any doubt the samples themselves are read, by `inspect-ai`.
"""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chaintune.logs.columns import Columns, columns_of
from chaintune.logs.conditions import doubts_of, facts_of
from chaintune.logs.fields import Fields, names_in, value
from chaintune.logs.inspect_columns import Summaries, summaries_of
from chaintune.logs.inspect_header import header_of
from chaintune.logs.inspect_samples import digests_of, row_of
from chaintune.logs.inspect_scores import MEAN, mean_of, tell_unscored, value_of
from chaintune.logs.irregular import Irregular
from chaintune.logs.log import Log, Wanted
from chaintune.logs.zip_members import Members

_NAME = b"summaries.json"
_MOST_BYTES = 2**29
_LOOKED_AT, _MOST_BYTES_LOOKED_AT = 500, 64 * 2**20

Rows = np.ndarray[Any, np.dtype[np.int64]]
Numbers = np.ndarray[Any, np.dtype[np.float64]]


def read_summarised(path: Path, wanted: Wanted) -> Log | None:
    """An archive's log; None when it is of another task than the one wanted.

    Raises:
        Irregular: it has no summaries, or they are not enough.
        ConfigError: no score was asked for, and there are several.
    """
    try:
        with path.open("rb") as file:
            members = Members(file)
            header = header_of(members)
            if not wanted.wants(header["eval"]["task"]):
                return None
            return _log_of(members, header, wanted, str(path))
    except OSError as error:
        raise Irregular("it cannot be read") from error


def fields_of(wanted: Wanted) -> Fields:
    """Which fields of a sample hold what; its score is no field of its own."""
    return Fields(
        id=wanted.called("id"),
        score="score",
        cluster=wanted.cluster or wanted.columns.get("cluster"),
        dimensions={dimension: wanted.called(dimension) for dimension in wanted.dimensions},
        scale=wanted.scale,
    )


def _log_of(members: Members, header: Mapping[str, Any], wanted: Wanted, where: str) -> Log:
    fields, task = fields_of(wanted), header["eval"]["task"]
    data = members.read(_NAME, most_bytes=_MOST_BYTES)
    told = summaries_of(data, fields, wanted.metric or wanted.columns.get("score"), where)
    rows, values = _examples(told, header["eval"]["config"].get("epochs_reducer") or [MEAN])
    _check_complete(members, told)
    digests = _looked_at(members, told, rows)
    columns = _columns(told, fields, rows, values, digests, task)
    found = columns.scores(task, where, told.scorer) if columns else None
    if found is None:
        raise Irregular("an id, a score or a group is not regular")
    scores, known = found
    tell_unscored(where, len(values) - len(scores.table), len(values))
    names = tuple(names_in({**row_of(told.first), fields.score: 0.0}))
    return Log(scores, where, facts_of(header, told.scorer), known, fields=names, doubts=doubts_of(header))


def _columns(
    told: Summaries, fields: Fields, rows: Rows, values: Numbers, digests: Mapping[str, pa.Array], task: str
) -> Columns | None:
    """The examples that were scored, as any other log has them."""
    scored = np.flatnonzero(~np.isnan(values))
    raw = {path: column.take(pa.array(rows[scored])) for path, column in told.raw.items()}
    raw[fields.score] = pa.array(values[scored])
    # Named as no field can be.
    names = {name: f"{name}\0" for name in digests}
    raw |= {names[name]: column.take(pa.array(scored)) for name, column in digests.items()}
    return columns_of(raw, replace(fields, digests=names), "\0", unnamed=task)


def _check_complete(members: Members, told: Summaries) -> None:
    """Every sample has a summary, and every summary a sample."""
    there = sum(name.startswith(b"samples/") and name.endswith(b".json") for name in members.names)
    # No two are of one id and epoch, as `_examples` made sure.
    if there != len(told.ids) or not all(map(members.names.__contains__, _members(told.ids, told.epochs).to_pylist())):
        raise Irregular("its summaries are not those of its samples")


def _members(ids: pa.Array, epochs: pa.Array) -> pa.Array:
    """Names of samples in the archive, as bytes."""
    parts = ("samples/", ids.cast(pa.string()), "_epoch_", epochs.cast(pa.string()), ".json", "")
    return pc.binary_join_element_wise(*parts).cast(pa.binary())


def _examples(told: Summaries, ways: Sequence[str]) -> tuple[Rows, Numbers]:
    """The row of each example's first epoch, and what it scored over all of them."""
    kinds = (told.ids.type in (pa.string(), pa.int64()), told.epochs.type == pa.int64())
    if told.ids.null_count or told.epochs.null_count or not all(kinds):
        raise Irregular("a summary lacks its id or epoch")
    columns = pa.table({"id": told.ids, "epoch": told.epochs})
    order = pc.sort_indices(columns, [("id", "ascending"), ("epoch", "ascending")])
    ids, epochs = told.ids.take(order), told.epochs.take(order).to_numpy()
    again = pc.equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False).astype(bool)
    if (again & (epochs[1:] == epochs[:-1])).any():
        raise Irregular("an epoch of a sample is there twice")
    first, values = np.flatnonzero(np.concatenate([[True], ~again])), told.values[order.to_numpy()]
    if len(first) < len(values):
        if MEAN not in ways:
            raise Irregular("epochs are not averaged")
        parts = np.split(values, first[1:])
        values = np.array([mean_of(part.tolist()) for part in parts], dtype=np.float64)
    return order.to_numpy()[first].astype(np.int64), values


def _looked_at(members: Members, told: Summaries, rows: Rows) -> dict[str, pa.Array]:
    """What is known of each example: from its summary, and of those that are looked at also from its sample."""
    found = {name: column.take(pa.array(rows)) for name, column in told.digests.items()}
    seen: dict[str, dict[int, str]] = {"input": {}, "target": {}, "prompt": {}}
    for place, row, sample in _samples(members, told, rows):
        digests = digests_of(sample)
        _check_same(sample, told, row)
        for name, digest in digests.items():
            if name in found and found[name][place].as_py() not in (None, digest):
                raise Irregular("a sample asks something else than its summary tells")
            seen[name][place] = digest
    return {name: _completed(found.get(name), seen[name], len(rows)) for name in seen if name in found or seen[name]}


def _completed(column: pa.Array | None, seen: Mapping[int, str], length: int) -> pa.Array:
    if column is not None and not column.null_count:
        return column
    texts = [None] * length if column is None else column.to_pylist()
    for place, text in seen.items():
        texts[place] = text
    return pa.array(texts, pa.string())


def _samples(members: Members, told: Summaries, rows: Rows) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Some samples with their places among the examples and the summaries; of the same examples in every log."""
    ids = told.ids.take(pa.array(rows)).cast(pa.string()).cast(pa.binary())
    drawn = np.argsort(np.fromiter(map(zlib.crc32, ids.to_pylist()), np.int64, len(ids)), kind="stable")[:_LOOKED_AT]
    kept, left = pa.array(rows[drawn]), _MOST_BYTES_LOOKED_AT
    names = _members(told.ids.take(kept), told.epochs.take(kept)).to_pylist()
    for place, name in zip(drawn.tolist(), names, strict=True):
        left -= members.size(name)
        if left < 0:
            return
        try:
            sample = json.loads(members.read(name, most_bytes=_MOST_BYTES_LOOKED_AT))
        except (ValueError, RecursionError) as error:
            raise Irregular("a sample is no JSON") from error
        yield place, int(rows[place]), sample


def _check_same(sample: Any, told: Summaries, row: int) -> None:
    """Refuse a summary that does not say what its sample says."""
    try:
        names = (sample["id"], sample["epoch"])
        score = value_of({name: score["value"] for name, score in (sample.get("scores") or {}).items()}, told.scorer)
        fields = row_of(sample)
    except (LookupError, TypeError, AttributeError) as error:
        raise Irregular("a sample is not as expected") from error
    same = names == (told.ids[row].as_py(), told.epochs[row].as_py()) and type(names[0]) is type(told.ids[row].as_py())
    for path, column in told.raw.items():
        known, held = value(fields, path), column[row].as_py()
        same &= known == held if held is not None else not isinstance(known, str | int | float | list)
    if not same or not np.array_equal([told.values[row]], [score], equal_nan=True):
        raise Irregular("a sample is not what its summary says")
