"""Where the numbers of a page come from, as lines of name and value."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chaintune.errors import number_of
from chaintune.forgetting.rounding import ROUNDING
from chaintune.records import Comparison
from chaintune.records.checkpoint import variant_label
from chaintune.records.scales import changes_in
from chaintune.report.external import external_lines, external_stages
from chaintune.report.page.content import Fact
from chaintune.report.results import Results

_NAMED = ("chaintune", "torch", "transformers", "peft", "numpy", "scipy", "polars", "vl-convert-python")

ASSUMPTIONS = (
    "The study that this repeats (Ung et al. 2024, arXiv:2412.16469) is known to us at second hand in part. Not known, "
    "and so assumptions of ours: model size, learning rates, epochs, batch size, examples per task, prompts, the list "
    "of groups, how curvature is estimated, and replay percentages other than about 5 %. The study file above has what "
    "was used here."
)


def facts(results: Results) -> tuple[Fact, ...]:
    """Provenance of results: of the run or of the logs, and the options of each comparison."""
    command = results.command or results.provenance.get("command", ())
    study = _study_facts(results.provenance, results.folder) if results.provenance else []
    compared = dict.fromkeys(fact for comparison in results.comparisons for fact in _comparison_facts(comparison))
    return (*([Fact("Command", (" ".join(command),))] if command else []), *study, *compared)


def _study_facts(provenance: Mapping[str, Any], folder: Path | None) -> list[Fact]:
    """The content of `provenance.json`, the most important first."""
    packages = provenance["packages"]
    named = tuple(f"{name} {packages[name]}" for name in _NAMED if name in packages)
    lines = [
        Fact("Written", (provenance["written_at"],)),
        Fact("Base model", tuple(f"{name}, content {digest}" for name, digest in provenance["bases"].items())),
        *(_task(name, task) for name, task in provenance["tasks"].items()),
        *(Fact(f"Stage {label}", tuple(external_lines(about))) for label, about in external_stages(provenance).items()),
        *([Fact("Recipe", (variant_label(recipe.items()),))] if (recipe := provenance.get("recipe")) else []),
        Fact("Seeds", (", ".join(map(str, provenance["seeds"])),)),
        Fact("Precision", (", ".join(provenance["precision"]),)),
        *([Fact("Scored by", (provenance["backend"],))] if "backend" in provenance else []),
        *_cost(provenance.get("cost", {})),
        *_joined(provenance.get("joined", ())),
        Fact("Machine", (f"{provenance['platform']}, Python {provenance['python']}",)),
        Fact("Versions", named),
        Fact("All packages", tuple(f"{name} {version}" for name, version in packages.items()), long=True),
    ]
    resolved = folder / "study.resolved.yaml" if folder else None
    if resolved and resolved.is_file():
        lines.append(
            Fact("Study file, with every default", (resolved.read_text(encoding="utf-8", errors="replace"),), long=True)
        )
    return lines


def _comparison_facts(one: Comparison) -> Iterator[Fact]:
    margin = "no margin" if math.isnan(one.margin) else f"margin {changes_in(one.unit).exact(one.margin)}"
    how = (
        f"metric {one.metric}, level {one.level:g}, {margin}, {one.resamples:,} "
        f"resamples with seed {one.seed}, groups against the {one.reference}, adjusted by {one.adjust}"
    )
    yield Fact(f"{one.task}: comparison", (how,))
    sides = (one.start or "before", one.provenance_before), (one.end or "after", one.provenance_after)
    for side, provenance in sides:
        if provenance:
            yield Fact(f"{one.task}: {side}", tuple(_origin(name, value) for name, value in provenance.items()))


def _origin(name: str, value: str) -> str:
    """A line on where scores come from; of those that were asked twice how many, as each has a value of its own."""
    if name == ROUNDING:
        return f"{name}: measured on {number_of(len(json.loads(value)['example_id']), 'example')}, asked a second time"
    return f"{name}: {value}"


def _task(name: str, task: Mapping[str, Any]) -> Fact:
    taught = number_of(task["train_examples"], "example")
    return Fact(
        f"Task {name}",
        (
            f"{task['role']}, {taught} to train, {task['test_examples']:,} to test",
            f"source: {task['source']}",
            f"licence: {task['licence']}",
            f"version {task['version']}; digests: train {task['train_digest'][:16]}, test {task['test_digest'][:16]}",
        ),
    )


def _joined(runs: Sequence[Mapping[str, Any]]) -> list[Fact]:
    """Of results that are joined from several runs where each comes from."""
    lines = [
        f"{number_of(len(run['seeds']), 'seed')} ({', '.join(map(str, run['seeds']))}): {' '.join(run['command'])}; "
        f"{run['written_at'][:10]}, {run['platform']}"
        for run in runs
    ]
    return [Fact("Joined from", tuple(lines))] if lines else []


def _cost(cost: Mapping[str, Any]) -> list[Fact]:
    """Tokens and device hours of everything that the results rest on, whichever run computed it."""
    if not cost:
        return []
    lines = [
        f"{what}: {cost[f'{kind}_tokens']:,} tokens, {cost[f'{kind}_seconds'] / 3600:.2f} device hours"
        for kind, what in (("train", "training"), ("score", "scoring"))
        if f"{kind}_tokens" in cost and f"{kind}_seconds" in cost
    ]
    if unknown := cost.get("unknown", 0):
        lines.append("not known of " + number_of(unknown, "stage or scoring", "stages and scorings"))
    return [Fact("Cost", tuple(lines))]
