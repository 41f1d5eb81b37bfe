"""`chaintune store`: size and integrity of finished work, and removing it."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chaintune.cli.amounts import read_size, read_span, size_shown
from chaintune.cli.options import RemoteCode, StoreRoot
from chaintune.cli.output import echo
from chaintune.errors import ConfigError, StoreError, number_of

if TYPE_CHECKING:
    from chaintune.results import StudyResults
    from chaintune.store.inventory import Damaged
    from chaintune.store.store import Entry, Store

DAMAGED = 1

store = typer.Typer(
    help="List, check and clear finished stages and scores.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", help="Only entries of this kind: base, stage, score. Repeat the option for more."),
]

Chain = Annotated[
    str,
    typer.Argument(metavar="CHAIN", help="The chain's name in the results, such as 'bbq>csqa'.", show_default=False),
]
Run = Annotated[Path, typer.Option("--run", metavar="DIR", help="The --out folder of the run.", show_default=False)]
Base = Annotated[
    str | None, typer.Option("--base", metavar="PART", help="Part of the base model's name, if there are several.")
]
VariantPart = Annotated[
    str | None, typer.Option("--variant", metavar="PART", help="Part of the variant's name, if there are several.")
]
Seed = Annotated[int | None, typer.Option("--seed", help="The seed, if there are several.")]


@store.command("ls")
def list_entries(
    root: StoreRoot = None,
    kinds: Kinds = None,
    every: Annotated[
        bool, typer.Option("--all", "-a", help="List every entry, oldest first, beside the totals.")
    ] = False,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run", metavar="DIR", help="List the checkpoints of this run by their chains.", show_default=False
        ),
    ] = None,
) -> None:
    """List how many entries of each kind a store holds, and their size; with --run the checkpoints of a run by name.

    For example:

    chaintune store ls --run runs/study
    """
    if run is not None:
        for line in _of_run(run, root):
            echo(line)
        return
    from chaintune.store.inventory import inventory
    from chaintune.store.manifest import TIMES_MADE

    entries = inventory(_opened(root), kinds or ())
    if every:
        for entry in entries:
            echo(_line(entry))
    for kind, members in groupby(sorted(entries, key=lambda entry: entry.kind), key=lambda entry: entry.kind):
        echo(_sum(kind, list(members)))
    echo(_sum("total", entries))
    if again := sum(entry.info.get(TIMES_MADE, 1) - 1 for entry in entries):
        echo(f"{number_of(again, 'duplicate')}, made while another machine made the same entry")


@store.command()
def path(
    chain: Chain,
    run: Run,
    root: StoreRoot = None,
    base: Base = None,
    variant: VariantPart = None,
    seed: Seed = None,
) -> None:
    """Print the folder of a run's checkpoint: a model or an adapter that transformers and PEFT can read.

    For example:

    chaintune store path "bbq>csqa" --run runs/study
    """
    results = _results(run, root)
    echo(str(results.checkpoint(chain, base=base, variant=variant, seed=seed).path))


@store.command()
def export(
    chain: Chain,
    run: Run,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="A new folder.", show_default=False)],
    root: StoreRoot = None,
    base: Base = None,
    variant: VariantPart = None,
    seed: Seed = None,
    whole: Annotated[bool, typer.Option("--whole", help="Merge an adapter into its base.")] = False,
    trust_remote_code: RemoteCode = False,
) -> None:
    """Write a checkpoint of a run into a folder that you can pass on, with a model card.

    An adapter is written alone if its base has a Hub id, or a path relative to the folder; otherwise the whole model is
    written. The folder holds no absolute path of this machine.

    For example:

    chaintune store export "bbq>csqa" --run runs/study --to my-model
    """
    from chaintune.export import export as write

    results = _results(run, root)
    checkpoint = results.checkpoint(chain, base=base, variant=variant, seed=seed)
    echo(write(results, checkpoint, to, whole=whole, trust_remote_code=trust_remote_code))


@store.command()
def gc(
    root: StoreRoot = None,
    kinds: Kinds = None,
    older_than: Annotated[
        str, typer.Option(metavar="SPAN", help="Remove entries older than this: 12h, 30d, 8w.", show_default=False)
    ] = "",
    max_size: Annotated[
        str,
        typer.Option(
            metavar="SIZE", help="Remove the oldest entries until the rest fits into this: 20GB.", show_default=False
        ),
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Print what would be removed, and remove nothing.")
    ] = False,
) -> None:
    """Remove finished work that is old or takes up too much space; a study that needs it computes it again.

    Checkpoints take up most space: `chaintune store gc --kind stage --older-than 30d`. What a running study still
    needs is kept. Remains of killed runs are removed from a folder whenever it is opened as a store, and from a URL by
    this command, once they are a day old.
    """
    from chaintune.store.inventory import Rule, chosen, drop, inventory

    if not older_than and not max_size:
        raise ConfigError("store gc: name what to remove, with --older-than 30d, --max-size 20GB, or both")
    rule = Rule(tuple(kinds or ()), read_span(older_than, "--older-than"), read_size(max_size, "--max-size"))
    opened = _opened(root)
    going = chosen(inventory(opened, rule.kinds), rule)
    gone = going if dry_run else drop(opened, going)
    if not dry_run:
        opened.sweep()
    for entry in going:
        echo(_line(entry) if entry in gone else f"{_line(entry)} (kept: a running study needs it)")
    freed = _bytes(entry for entry in going if entry in gone)
    echo(f"{'would remove' if dry_run else 'removed'} {number_of(len(gone), 'entry', 'entries')}, {size_shown(freed)}")


@store.command()
def verify(
    root: StoreRoot = None,
    dropping: Annotated[bool, typer.Option("--drop", help="Remove damaged entries.")] = False,
) -> None:
    """Read every byte of every entry; the exit code is 1 if an entry is damaged.

    A run detects damage by itself when it reads an entry, and makes the entry again.
    """
    from chaintune.store.inventory import damaged, drop

    opened, count, broken = _opened(root), 0, list["Damaged"]()
    for trouble in damaged(opened):
        count += 1
        if trouble:
            broken.append(trouble)
            echo(f"{trouble.kind}/{trouble.key}: {trouble.why}")
    gone = drop(opened, broken) if dropping else []
    echo(
        f"{number_of(count, 'entry', 'entries')} read, {len(broken)} damaged"
        + (f", {len(gone)} removed" if dropping else "")
    )
    if len(broken) > len(gone):
        raise typer.Exit(DAMAGED)


def _opened(address: str | None) -> "Store":
    """A store that exists; looking into one must not create it."""
    from chaintune.store.address import open_store
    from chaintune.store.store import default_address, hidden, is_url

    place = address or default_address()
    if not is_url(place) and not Path(place).is_dir():
        raise StoreError(f"{hidden(place)}: no such store; name one with --store or CHAINTUNE_STORE")
    return open_store(place)


def _results(run: Path, address: str | None) -> "StudyResults":
    """The results of a run that has checkpoints, with an open store."""
    from chaintune.finished import load
    from chaintune.results import Mitigations, StudyResults

    loaded = load(run, store=_opened(address))
    loaded = loaded.results if isinstance(loaded, Mitigations) else loaded
    if not isinstance(loaded, StudyResults):
        raise ConfigError(f"--run {run}: no checkpoint was trained there; expected the --out folder of a study")
    return loaded


def _of_run(run: Path, address: str | None) -> Iterator[str]:
    """A line for each checkpoint of a run: its name, its size where its weights are kept, its key."""
    from chaintune.records.checkpoint import BASE

    results, opened = _results(run, address), _opened(address)
    known = [one for one in results.checkpoints() if one.chain != BASE]
    width = max((len(one.title) for one in known), default=0)
    several = len({one.base for one in known}) > 1
    for one in known:
        entry = opened.peek("stage", one.key)
        size = size_shown(entry.size_bytes) if entry else "not kept"
        yield f"{one.title:<{width}}  {size:>9}  {one.key[:12]}{f'  {one.base}' if several else ''}"


def _line(entry: "Entry") -> str:
    title = entry.info.get("title") or entry.info.get("name") or ""
    size = size_shown(entry.size_bytes)
    return f"{entry.created_at[:16]}  {entry.kind:<9}  {entry.key[:12]}  {size:>9}  {title}".rstrip()


def _sum(name: str, entries: Sequence["Entry"]) -> str:
    return f"{name:<9}  {len(entries):>6,} entries  {size_shown(_bytes(entries)):>9}"


def _bytes(entries: Iterable["Entry"]) -> int:
    return sum(entry.size_bytes for entry in entries)
