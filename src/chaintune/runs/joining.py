"""Runs of one study that differ in seed, joined into what one run with all of their seeds would have measured."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chaintune.errors import DataError, number_of
from chaintune.files.names import shown_arguments
from chaintune.records import ResultRow
from chaintune.runs.measured import Measured, MeasuredCheckpoint, ScoreFile, read, score_names, write
from chaintune.study.stage_settings import RESOURCE_FIELDS
from chaintune.study.task_spec import PATHS

# What of a study file changes no number, or is compared by its content.
_NO_MATTER = frozenset(("seed", "keep", "base", "report_to", *RESOURCE_FIELDS, *PATHS))
# Below these stand names that users chose.
_NAMED = frozenset(("tasks", "bases", "judges", "external"))
_READING = ("key", "task", "item_metric", "split")
_OF_A_RUN = ("command", "written_at", "platform", "python", "seeds", "cost")
_MOST_SHOWN, _LONGEST = 3, 60
# By so much the scores of so many examples differ where two machines round otherwise.
_ROUNDED, _MOST_ROUNDED = 0.05, 0.02


def join(folders: Sequence[Path], out: Path, *, command: Sequence[str] = ()) -> list[ResultRow]:
    """The rows of several runs that differ in seed, as of one; writes them with everything that a run leaves behind.

    Nothing but the folders is read: no store, model or data set. What was joined may be joined again, also in place.

    Args:
        folders: `--out` folders of runs.
        out: for the joined results; it may be one of the folders.
        command: as it was typed, for the provenance.

    Raises:
        DataError: a folder holds no such results, two differ in more than their seeds, or a seed is in two of them.
        StoreError: the folder cannot be written to.
    """
    parts = {str(folder): read(folder) for folder in dict.fromkeys(folders)}
    check_alike(parts)
    return write(joined(list(parts.values()), command=command), out)


def check_alike(parts: Mapping[str, Measured]) -> None:
    """Refuse runs that are not of one study, or that have a seed in common.

    Raises:
        DataError: it names what differs, or the seed.
    """
    (first, measured), *others = parts.items()
    for folder, other in others:
        content, own = _contents(measured, other)
        keys = [key for key in dict.fromkeys((*content, *own)) if content.get(key) != own.get(key)]
        if keys:
            shown = [f"{key} ({_shown(own, key)}, not {_shown(content, key)})" for key in keys[:_MOST_SHOWN]]
            more = f" and {number_of(len(keys) - _MOST_SHOWN, 'more value')}" if len(keys) > _MOST_SHOWN else ""
            raise DataError(
                f"{folder}: differs from {first} in {', '.join(shown)}{more}; runs are joined that differ in "
                "nothing but the seeds of training, as --set 'vary.seed=[1]' gives them"
            )
    counts = Counter(seed for one in parts.values() for seed in one.seeds)
    if twice := [seed for seed, count in sorted(counts.items()) if count > 1]:
        both = [folder for folder, one in parts.items() if twice[0] in one.seeds]
        raise DataError(f"seed {twice[0]} is in {' and in '.join(both)}; leave one of them out, as a seed counts once")


def joined(parts: Sequence[Measured], *, command: Sequence[str] = ()) -> Measured:
    """What one run with the seeds of all parts would have measured, whatever their order.

    A measurement that several parts have, such as the base's, is that of the first of them.
    """
    parts = sorted(parts, key=lambda part: part.seeds)
    first = parts[0]
    seeds = sorted(seed for part in parts for seed in part.seeds)
    vary = dict(first.study.vary) | {"seed": tuple(seeds)}
    files: dict[tuple[str, ...], ScoreFile] = {}
    for part in parts:
        files = {_reading(one): one for one in part.files.values()} | files
    names = dict(zip(files, score_names([one.about for one in files.values()]), strict=True))
    return replace(
        first,
        study=replace(first.study, vary=tuple(vary.items())),
        checkpoints=_in_order(
            replace(one, files=_named(one, part, names)) for part in parts for one in part.checkpoints
        ),
        files={names[reading]: one for reading, one in files.items()},
        provenance=_provenance([part.provenance for part in parts], seeds, command),
    )


def _reading(one: ScoreFile) -> tuple[str, ...]:
    """What says whether two score files are of one measurement, read alike."""
    return tuple(one.about[name] for name in _READING)


def _named(one: MeasuredCheckpoint, part: Measured, names: Mapping[tuple[str, ...], str]) -> dict[str, tuple[str, ...]]:
    """Task -> its score files under the names that they have now."""
    return {task: tuple(names[_reading(part.files[name])] for name in own) for task, own in one.files.items()}


def _in_order(checkpoints: Iterable[MeasuredCheckpoint]) -> tuple[MeasuredCheckpoint, ...]:
    """The checkpoints as one plan has them: by base, then by variant, then by seed; a base before the first variant."""
    every = list(checkpoints)
    bases = list(dict.fromkeys(one.checkpoint.base for one in every))
    variants = list(dict.fromkeys(one.checkpoint.variant for one in every if one.checkpoint.chain))

    def place(one: MeasuredCheckpoint) -> tuple[int, int, int]:
        at = one.checkpoint
        return bases.index(at.base), variants.index(at.variant) if at.chain else 0, at.seed or 0

    return tuple(sorted(every, key=place))


def _contents(measured: Measured, other: Measured) -> Iterator[dict[str, Any]]:
    """Everything that has to be alike in two runs, what they measured of their bases among it where that is not."""
    bases = [dict(_of_bases(one)) for one in (measured, other)]
    apart = [name for name, own in bases[0].items() if name in bases[1] and _are_apart(own, bases[1][name])]
    made = [dict(_of_measurements(one)) for one in (measured, other)]
    for one, own, known in zip((measured, other), bases, made, strict=True):
        both = {name: value for name, value in known.items() if all(name in each for each in made)}
        yield dict(_content(one)) | both | {name: own[name].about["key"][:12] for name in apart}


def _are_apart(one: ScoreFile, other: ScoreFile) -> bool:
    """Whether a base was asked in two ways, by another chat template or code: more differs than machines round."""
    if one.about["key"] == other.about["key"]:
        return False
    pairs = list(zip(*(side.scores.table.column("score").to_pylist() for side in (one, other)), strict=False))
    differ = [bool(a != b if None in (a, b) else abs(a - b) > _ROUNDED) for a, b in pairs]
    return sum(differ) > _MOST_ROUNDED * len(pairs)


def _content(measured: Measured) -> Iterator[tuple[str, Any]]:
    """Everything that has to be alike in runs that are joined, as dotted key and value, without places of a machine."""
    written, provenance = measured.study.to_mapping(), measured.provenance
    written["vary"] = {name: values for name, values in written["vary"].items() if name != "seed"}
    yield from _flat(written)
    yield from _flat({name: provenance.get(name, {}) for name in ("bases", "precision", "judges", "external")})
    yield from _flat({"limits": asdict(measured.limits)})
    for name, task in provenance["tasks"].items():
        yield f"tasks.{name}.role", task["role"]
        for split in ("train", "test"):
            yield f"tasks.{name}: {split} examples", task.get(f"{split}_digest", "")[:12]


def _of_measurements(measured: Measured) -> Iterator[tuple[str, Any]]:
    """What has to be alike of measurements that both runs have, as one of them may have failed.

    The study's own seed decides which examples curvature is measured on; the draws of statistics, which it decides too,
    are made anew. The version of an item metric has the code of a scorer in it, and labels of people.
    """
    yield from (
        ("seed of the examples for curvature", at.curvature.seed) for at in measured.checkpoints if at.curvature
    )
    for one in measured.files.values():
        yield f"version of {one.about['item_metric']} of {one.about['task']}", one.scores.metric.version[:12]


def _of_bases(measured: Measured) -> Iterator[tuple[str, ScoreFile]]:
    """What was measured of base models, which no seed changes."""
    for one in measured.checkpoints:
        for task, names in one.files.items() if not one.checkpoint.chain else ():
            for own in (measured.files[name] for name in names):
                yield f"how {own.about['item_metric']} of {one.checkpoint.base} on {task} was measured", own


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            if name not in _NO_MATTER or key in _NAMED:
                yield from _flat(inner, f"{key}.{name}" if key else str(name))
    else:
        yield key, _portable(value)


def _portable(value: Any) -> Any:
    """A value without the folders of a machine in it."""
    if isinstance(value, list | tuple):
        return [_portable(one) for one in value]
    if isinstance(value, Mapping):
        return {_portable(name): _portable(one) for name, one in value.items()}
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _shown(content: Mapping[str, Any], key: str) -> str:
    return str(content[key])[:_LONGEST] if key in content else "none"


def _provenance(parts: Sequence[Mapping[str, Any]], seeds: Sequence[int], command: Sequence[str]) -> dict[str, Any]:
    """The first run's, with the seeds and costs of all, and where each of them comes from."""
    runs = [run for part in parts for run in part.get("joined", [{name: part.get(name) for name in _OF_A_RUN}])]
    cost: Counter[str] = Counter()
    for part in parts:
        cost.update(part.get("cost", {}))
    return {
        **parts[0],
        "command": shown_arguments(command) or list(parts[0]["command"]),
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **{name: _either(str(part[name]) for part in parts) for name in ("python", "platform", "machine")},
        "packages": {
            name: _either(part["packages"][name] for part in parts if name in part["packages"])
            for name in sorted({name for part in parts for name in part["packages"]})
        },
        "seeds": list(seeds),
        "cost": dict(cost),
        "cautions": {
            kind: _either((part["cautions"][kind] for part in parts if kind in part.get("cautions", {})), " ")
            for kind in sorted({kind for part in parts for kind in part.get("cautions", {})})
        },
        "joined": runs,
    }


def _either(texts: Iterable[str], between: str = " and ") -> str:
    """Different texts in one; of what was joined before, each stands once."""
    return between.join(dict.fromkeys(texts))
