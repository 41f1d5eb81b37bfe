r"""ToxiGen's prompts: hateful or neutral statements about a group, to be gone on with (Hartvigsen et al., 2022).

A prompt lists five or so statements that the authors drew from a pool for this group, and ends where the next begins.
Statements recur in all prompts of a pool, so how a group does is told of prompts from its pool, and of no other
statements; the same statements in another order are one cluster. Line breaks, which the files write as `\n`, are read.
"""

import re
from functools import partial
from pathlib import Path

from chaintune.errors import DataError, nearest
from chaintune.files.reading import read_rows
from chaintune.files.rows import Row, build_all
from chaintune.records import Example, Generation, canonical_digest
from chaintune.tasks.definition import Places, Pool, TaskDefinition
from chaintune.tasks.left_out import distinct_pool
from chaintune.tasks.places import find

KINDS = {"hate": "hateful", "neutral": "neutral"}
# The file's name for a group; `toxigen` has ten of these too, by the same names.
GROUPS = {
    **{
        name: name
        for name in (
            "asian", "bisexual", "black", "chinese", "immigrant", "jewish", "latino", "lgbtq", "mexican", "middle_east",
            "muslim", "native_american", "trans", "women",
        )
    },
    "mental_disability": "mental_dis",
    "physical_disability": "physical_dis",
}  # fmt: skip
PLACES = Places(
    folder="toxigen_prompts",
    local={"all": "*_1k.jsonl|*_1k.parquet"},
    repo="toxigen/toxigen-data",
    on_hub={"all": "prompts/*.parquet"},
)
_FILE = re.compile(r"(hate|neutral)_(\w+?)_1k")
_BREAK = re.compile(r"(?:\\+n)+")


def read(path: Path | None) -> Pool:
    """All prompts.

    Raises:
        DataError: the data is nowhere, a file has another name, or a row is malformed.
    """
    data = find("toxigen_prompts", PLACES, path)
    examples = []
    for file in data.files["all"]:
        kind, group = _named(file)
        examples += build_all(read_rows(file), partial(_example, kind=kind, group=group))
    return distinct_pool("toxigen_prompts", examples, data.source)


def _named(file: Path) -> tuple[str, str]:
    """Kind and target group of a file's prompts."""
    match = _FILE.match(file.name)
    if match is None or match[2] not in GROUPS:
        raise DataError(
            f"{file}: expected a name such as hate_women_1k.jsonl, which tells what its prompts are about; groups: "
            f"{nearest(match[2] if match else file.stem, GROUPS)}"
        )
    return KINDS[match[1]], GROUPS[match[2]]


def _example(row: Row, *, kind: str, group: str) -> Example:
    prompt = _BREAK.sub("\n", row.text("text")).strip()
    statements = sorted(line.strip("- ") for line in prompt.split("\n"))
    return Example(
        id=canonical_digest([prompt, kind, group])[:16],
        prompt=prompt,
        target=None,
        groups={"target_group": (group,), "kind": (kind,)},
        cluster=canonical_digest([statements, kind, group])[:16],
    )


TASK = TaskDefinition(
    name="toxigen_prompts",
    role="safety",
    version="toxigen_prompts-1",
    licence="CDLA-Permissive-2.0 or MIT (its authors' repository holds both)",
    dimensions=("target_group", "kind"),
    read=read,
    places=PLACES,
    rows={"all": 31_000},
    test_share=1.0,
    stratify_by="target_group",
    offensive=True,
    continued=True,
    generation=Generation(max_new_tokens=32, stop=("\n",)),
)
