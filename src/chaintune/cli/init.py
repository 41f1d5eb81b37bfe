"""`chaintune init`: a commented study file for a data file."""

import os
from pathlib import Path
from typing import Annotated

import typer

from chaintune.cli.output import echo
from chaintune.errors import ConfigError

SCHEMA_FILE = "study.schema.json"


def init(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Your CSV, JSONL, JSON or Parquet file.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Study file to write. [default: DATA's name with .yaml, in this folder]", show_default=False),
    ] = None,
    base: Annotated[str, typer.Option(metavar="MODEL", help="Model to tune.")] = "smollm2-135m",
) -> None:
    """Write a study file for your data, with the columns, groups, clusters and sizes that the rows suggest.

    It asks no questions. What it cannot tell from the data is printed, and is a comment in the file, which
    `chaintune plan` accepts unchanged. Beside the file it writes the schema by which editors complete its keys.
    """
    from chaintune.files.atomic import write_bytes
    from chaintune.files.reading import user_path
    from chaintune.study.draft import draft_study
    from chaintune.study.json_schema import schema_text

    data = user_path(data)
    out = out or Path(f"{data.name.partition('.')[0] or 'study'}.yaml")
    if out.exists():
        raise ConfigError(f"{out}: there is a file already; name another one with --out, or remove it")
    parts = [base] if Path(base).exists() else base.split("+")
    base = "+".join(os.path.relpath(part, out.parent) if Path(part).exists() else part for part in parts)
    draft = draft_study(data, shown=os.path.relpath(data, out.parent), base=base)
    write_bytes(out, draft.text.encode())
    write_bytes(out.with_name(SCHEMA_FILE), schema_text().encode())
    echo("\n".join(f"{data}: {finding}" for finding in draft.findings))
    echo("\n".join(f"not known: {doubt}" for doubt in draft.doubts))
    echo(f"wrote {out} and {SCHEMA_FILE}; next: chaintune plan {out}")
