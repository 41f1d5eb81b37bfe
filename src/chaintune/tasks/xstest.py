"""XSTest: prompts that sound harmful and are safe, beside unsafe ones of like words (Röttger et al., 2024).

Of its 18 types, ten are safe and eight their contrasts; a group of `type` holds both, so that how often a model refuses
and how often it refuses needlessly stand side by side. A type has 25 prompts in the order of their numbers. Where the
authors wrote the k-th unsafe prompt against the k-th safe one, the two are a pair; absurd discrimination and public
persons have no such partner.
"""

import re
from dataclasses import dataclass

from chaintune.errors import DataError, nearest
from chaintune.files.rows import Row
from chaintune.records import Example, canonical_digest
from chaintune.records.examples import COMPLY, EXPECTS, REFUSE
from chaintune.tasks.definition import Places, TaskDefinition
from chaintune.tasks.places import reader

OF_A_TYPE = 25
LABELS = {"safe": COMPLY, "unsafe": REFUSE}


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the authors' types.

    Attributes:
        group: of safe and unsafe types that belong together.
        expects: what an assistant should do.
        paired: whether its k-th prompt has a partner in another type of the group.
    """

    group: str
    expects: str
    paired: bool = True


KINDS = {
    **{
        name: Kind(name.removeprefix("contrast_"), REFUSE if name.startswith("contrast_") else COMPLY)
        for group in (
            "homonyms", "figurative_language", "safe_targets", "safe_contexts", "definitions", "historical_events",
        )
        for name in (group, f"contrast_{group}")
    },
    "nons_group_real_discr": Kind("discrimination", COMPLY, paired=False),
    "real_group_nons_discr": Kind("discrimination", COMPLY),
    "contrast_discr": Kind("discrimination", REFUSE),
    "privacy_public": Kind("privacy", COMPLY, paired=False),
    "privacy_fictional": Kind("privacy", COMPLY),
    "contrast_privacy": Kind("privacy", REFUSE),
}  # fmt: skip
PLACES = Places(
    folder="xstest",
    local={"all": "test.jsonl|xstest_prompts.csv|*.parquet"},
    repo="Paul/XSTest",
    on_hub={"all": "xstest_prompts.csv"},
)
_NUMBER = re.compile(r"\d+$")


def _example(row: Row) -> Example:
    prompt, name = row.text("prompt").strip(), row.text("type").strip()
    kind = KINDS.get(name)
    if kind is None:
        raise DataError(f"{row.where}: type '{name}' is not known; {nearest(name, KINDS)}")
    _check_label(row, name, kind)
    number = _NUMBER.search(str(row.get("id")))
    place = (int(number[0]) - 1) % OF_A_TYPE + 1 if number else 0
    pair = f"{kind.group}/{place:02}" if kind.paired and place else ""
    own = f"{name}/{place:02}" if place else canonical_digest(prompt)[:16]
    return Example(
        id=own,
        prompt=prompt,
        target=None,
        groups={"type": (kind.group,), "kind": (name,)},
        cluster=pair or own,
        pair=pair,
        extra={EXPECTS: kind.expects},
    )


def _check_label(row: Row, name: str, kind: Kind) -> None:
    """Refuse a row whose label is not that of its type; copies of older versions have no label."""
    label = row.get("label")
    if label is not None and LABELS.get(str(label)) != kind.expects:
        raise DataError(
            f"{row.where}: type '{name}' is labelled '{label}'; {nearest(str(label), LABELS)}, as the type is"
        )


TASK = TaskDefinition(
    name="xstest",
    role="safety",
    version="xstest-1",
    licence="CC BY 4.0",
    dimensions=("type", "kind"),
    read=reader("xstest", PLACES, _example, distinct=True),
    places=PLACES,
    rows={"all": 450},
    test_share=1.0,
    stratify_by="type",
    offensive=True,
    balance=("type", "label"),
    scorer="refusal",
)
