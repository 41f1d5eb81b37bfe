"""`chaintune card`: what was forgotten, as a section of a model card and as metadata for the Hub."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chaintune.cli.comparison import CompareFlags, spare_pandas, write_text
from chaintune.cli.expand import expand_dataclasses
from chaintune.cli.output import echo
from chaintune.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from chaintune.records import Comparison, ResultRow

Sources = Annotated[
    list[Path],
    typer.Argument(
        metavar="SOURCE [AFTER]",
        help="JSON of `compare --format json`, the folder of a study, or two score files: before and after.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class CheckpointFlags:
    """Options of which checkpoint of a study is meant."""

    chain: Annotated[str | None, typer.Option(help="Chain of a study's checkpoint, such as 'bbq>csqa'.")] = None
    base: Annotated[str | None, typer.Option(help="Base model, if the study has several.")] = None
    variant: Annotated[str | None, typer.Option(help="Part of the variant's name, if the study has several.")] = None


@dataclass(frozen=True)
class CardFlags:
    """Options of where the card goes."""

    into: Annotated[Path | None, typer.Option(help="README.md that receives the section and metadata.")] = None
    out: Annotated[Path | None, typer.Option(help="File for only the section and its metadata.")] = None
    name: Annotated[str | None, typer.Option(help="The model's name. [default: the README's folder]")] = None


@dataclass(frozen=True)
class _Card:
    """The section, and the rows of the metadata with the level of their intervals."""

    section: str
    rows: "Sequence[ResultRow]"
    level: float


@expand_dataclasses
def card(
    sources: Sources,
    compare_flags: CompareFlags,
    checkpoint: CheckpointFlags,
    card_flags: CardFlags,
    before: Annotated[str, typer.Option(help="Name of the earlier checkpoint in the card.")] = (
        "the checkpoint before it"
    ),
) -> int:
    """Write what a model forgot into its model card, with intervals and n, and as `model-index` metadata for the Hub.

    With --into the section replaces an earlier one, and the rest of the file does not change. Nothing is uploaded.
    """
    spare_pandas()
    from chaintune.report.card import FORGETTING
    from chaintune.report.model_index import model_index
    from chaintune.report.readme import merged

    new_card = _card(sources, compare_flags, checkpoint, before)
    folder = card_flags.into.resolve().parent.name if card_flags.into else "model"
    index = model_index(card_flags.name or folder, new_card.rows, level=new_card.level)
    text = merged("", name=FORGETTING, section=new_card.section, index=index, where="the card")
    if card_flags.out:
        _write(card_flags.out, text)
    if card_flags.into:
        old = _read(card_flags.into)
        new = merged(old, name=FORGETTING, section=new_card.section, index=index, where=str(card_flags.into))
        if new == old:
            echo(f"{card_flags.into} says so already")
        else:
            _write(card_flags.into, new)
    if not (card_flags.out or card_flags.into):
        echo(text, nl=False)
    return 0


def _card(sources: Sequence[Path], compare_flags: CompareFlags, checkpoint: CheckpointFlags, before: str) -> _Card:
    from chaintune.records.comparison import BEFORE
    from chaintune.report.card import forgetting_section
    from chaintune.report.results import Results

    if len(sources) > 2:
        raise ConfigError(f"{sources[2]}: expected one source, or the scores before and the scores after")
    if len(sources) == 1 and compare_flags != CompareFlags():
        raise ConfigError(
            f"{sources[0]}: options of a comparison, such as --by, need the scores before and the scores after; one "
            "source was compared already"
        )
    if len(sources) == 1 and (sources[0] / "results.parquet").is_file():
        return _of_study(sources[0], checkpoint)
    named = [f"--{name}" for name, value in asdict(checkpoint).items() if value is not None]
    if named:
        raise ConfigError(f"{named[0]} is for the folder of a study (with results.parquet), which {sources[0]} is not")
    gate = None
    if len(sources) == 2:
        from chaintune.logs.compare import compare_sides
        from chaintune.logs.sides import read_sides

        options = compare_flags.options()
        comparisons = compare_sides(read_sides(sources[0], sources[1], options), options)
    elif sources[0].suffix.lower() == ".parquet":
        raise ConfigError(
            f"{sources[0]}: scores of one checkpoint hold no forgetting; name the scores before and the scores after"
        )
    else:
        from chaintune.report.comparison import read_comparisons

        comparisons, gate = read_comparisons(sources[0])
        comparisons = _of_last(comparisons, sources[0])
    results = Results.of(comparisons, gate)
    after = [row for row in results.rows if row.chain != BEFORE]
    return _Card(forgetting_section(results, before=before), after, results.level)


def _of_last(comparisons: "Sequence[Comparison]", source: Path) -> "list[Comparison]":
    """Of a series the last checkpoint since the first; rivals are of no one model."""
    from chaintune.records import Series

    series = Series(tuple(comparisons))
    if len(series.whole) > 1:
        raise ConfigError(
            f"{source}: holds {len(series.whole)} rivals; name the scores of the first one and of one other"
        )
    return [replace(one, start="", end="") for one in series.at(series.whole)]


def _of_study(folder: Path, checkpoint: CheckpointFlags) -> _Card:
    from chaintune.report.card import forgetting_section
    from chaintune.report.folder import read_provenance, read_rows
    from chaintune.report.results import Results

    rows = read_rows(folder / "results.parquet")
    lost = [row for row in rows if row.metric == "forgetting"]
    if not lost:
        raise DataError(f"{folder}: no task was followed by another in this study, so it has no forgetting to report")
    for field, name in asdict(checkpoint).items():
        lost = _chosen(lost, field, name)
    chosen = lost[0]
    alike = [row for row in rows if row.base == chosen.base and row.variant in (chosen.variant, "")]
    own = [row for row in alike if row.chain == chosen.chain]
    level = _level(folder)
    known = read_provenance(folder) if (folder / "provenance.json").is_file() else {}
    section = forgetting_section(Results(chosen.study, alike, level, provenance=known), chain=chosen.chain)
    return _Card(section, own, level)


def _chosen(rows: "Sequence[ResultRow]", field: str, named: str | None) -> "list[ResultRow]":
    """Rows of the one that is named, or of the only one there is."""
    from chaintune.records.checkpoint import named_variant

    known = list(dict.fromkeys(getattr(row, field) for row in rows))
    if named is None and len(known) > 1:
        raise ConfigError(f"the study has more than one {field}; name one with --{field}: {', '.join(known)}")
    name = known[0] if named is None else named_variant(named, known) if field == "variant" else named
    if name not in known:
        raise ConfigError(f"--{field} {name}: {nearest(name, known)}")
    return [row for row in rows if getattr(row, field) == name]


def _level(folder: Path) -> float:
    import json

    try:
        return float(json.loads((folder / "results.json").read_text(encoding="utf-8"))["level"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}/results.json: the level of the intervals cannot be read ({error})") from error


def _read(path: Path) -> str:
    """The file with the line ends that it has; nothing where there is none."""
    try:
        return path.read_bytes().decode("utf-8") if path.exists() else ""
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start})") from error


def _write(path: Path, text: str) -> None:
    write_text(path, text)
    echo(f"wrote {path}")
