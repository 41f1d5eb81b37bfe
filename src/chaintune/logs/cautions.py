"""What a reader of a comparison should know of its two logs, as nothing in its numbers tells."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import pyarrow.compute as pc

from chaintune.errors import number_of
from chaintune.logs.log import Log
from chaintune.records.audit import UNUSED, served_caution, template_unused
from chaintune.records.parity import PARITY, Parity

# `Age/12/3`, `q1#2` or `doc-7_b`: a beginning, a separator, and a number or letter of a variant.
_VARIANT = re.compile(r"(.+)[/#:_.\-](?:\d+|[A-Za-z])")


def cautions(before: Log, after: Log) -> dict[str, str]:
    """Sentences by kind, of dependent examples, prompts not compared, unused templates, quantised weights, servers."""
    found = dict(_dependent(before))
    if not (before.digests.keys() & after.digests.keys() or (before.content and after.content)):
        found["prompts"] = (
            "Whether both sides answered the same prompts was not checked: the examples were paired by id, and no "
            "prompt is on both sides."
        )
    if UNUSED in (log.scores.provenance.get("chat") for log in (before, after)):
        found["chat"] = f"{_capital(template_unused([before.scores.task]))}."
    sides = (("earlier", before.scores.provenance), ("later", after.scores.provenance))
    if quantised := [
        f"the {side} model's are {about['quantised']}, with all else in {about.get('precision', 'its own precision')}"
        for side, about in sides
        if about.get("quantised")
    ]:
        found["quantised"] = (
            f"Weights are quantised: {'; '.join(quantised)}. What they answer depends on the packages and the device "
            "that computed it."
        )
    asked, judges = (_stated(name, before, after) for name in ("identity", "judge_identity"))
    if served := served_caution(asked, judges):
        found["served"] = served
    if parity := [
        Parity.from_json(log.scores.provenance[PARITY]).sentence(log.scores.provenance.get("model", side))
        for side, log in (("before", before), ("after", after))
        if PARITY in log.scores.provenance
    ]:
        found[PARITY] = " ".join(dict.fromkeys(parity))
    if len(asked) == 1 and before.scores.provenance.get("identity") == after.scores.provenance.get("identity"):
        found["served"] += (
            " Both sides are this one model, so that no difference between them shows even where other weights were "
            "served in between."
        )
    return found


def _stated(name: str, *logs: Log) -> list[str]:
    """The different values that logs give something, as far as they do."""
    return list(dict.fromkeys(filter(None, (log.scores.provenance.get(name) for log in logs))))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _dependent(log: Log) -> Iterator[tuple[str, str]]:
    """Signs that examples depend on each other where each is a cluster of its own."""
    table = log.scores.table
    if pc.count_distinct(table.column("cluster")).as_py() < len(table):
        return
    if log.digests.get("prompt") is not None:
        times = Counter(log.digests["prompt"].drop_null().to_pylist())
        if alike := sum(count for count in times.values() if count > 1):
            yield (
                "equal prompts",
                (
                    f"{number_of(alike, 'example')} of {len(table):,} share a prompt with another and count as "
                    "independent, so intervals are too narrow where answers repeat; name the field that tells prompts "
                    "apart with --cluster (cluster=)."
                ),
            )
            return
    if templates := _templates(log.scores.example_ids):
        shared = f"{number_of(len(templates), 'beginning')} ('{templates[0]}', ...)"
        yield (
            "templates",
            (
                f"The ids share {shared} and no cluster is named: where examples of one beginning are variants of one "
                "template, name the field that tells templates apart with --cluster (cluster=), else intervals are too "
                "narrow."
            ),
        )


def _templates(ids: Sequence[str]) -> list[str]:
    """Beginnings that the ids share, where each id has one and they are variants by their form; else none."""
    matches = [_VARIANT.fullmatch(one) for one in ids]
    beginnings = Counter(match[1] for match in matches if match)
    several = 1 < len(beginnings) <= len(ids) / 2
    return sorted(beginnings) if several and beginnings.total() == len(ids) else []
