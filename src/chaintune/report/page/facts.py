"""Where the numbers of a page come from, as lines of name and value."""

from collections.abc import Mapping, Sequence
from typing import Any

from chaintune.records import Comparison
from chaintune.records.metrics import SHARE
from chaintune.records.scales import changes_in
from chaintune.report.page.content import Fact

_NAMED = ("chaintune", "torch", "transformers", "peft", "numpy", "scipy", "polars", "vl-convert-python")

ASSUMPTIONS = (
    "The study that this repeats (Ung et al. 2024, arXiv:2412.16469) is known to us at second hand in part. Not known, "
    "and so assumptions of ours: model size, learning rates, epochs, batch size, examples per task, prompts, the list "
    "of groups, how curvature is estimated, and replay percentages other than about 5 %. The study file above has what "
    "was used here."
)


def study_facts(provenance: Mapping[str, Any], study_file: str = "") -> tuple[Fact, ...]:
    """What `provenance.json` says, the most asked-for first.

    Args:
        provenance: of the run.
        study_file: text of the resolved study.
    """
    packages = provenance["packages"]
    named = tuple(f"{name} {packages[name]}" for name in _NAMED if name in packages)
    facts = [
        Fact("Command", (" ".join(provenance["command"]),)),
        Fact("Written", (provenance["written_at"],)),
        Fact("Base model", tuple(f"{name}, content {digest}" for name, digest in provenance["bases"].items())),
        *(_task(name, task) for name, task in provenance["tasks"].items()),
        Fact("Seeds", (", ".join(map(str, provenance["seeds"])),)),
        Fact("Precision", (", ".join(provenance["precision"]),)),
        *([Fact("Scored by", (provenance["backend"],))] if "backend" in provenance else []),
        *_cost(provenance.get("cost", {})),
        Fact("Machine", (f"{provenance['platform']}, Python {provenance['python']}",)),
        Fact("Versions", named),
        Fact("All packages", tuple(f"{name} {version}" for name, version in packages.items()), long=True),
    ]
    return (*facts, Fact("Study file, with every default", (study_file,), long=True)) if study_file else tuple(facts)


def comparison_facts(comparisons: Sequence[Comparison], command: Sequence[str] = ()) -> tuple[Fact, ...]:
    """What the logs say about themselves, and how they were compared."""
    facts = [Fact("Command", (" ".join(command),))] if command else []
    for found in comparisons:
        how = (
            f"metric {found.metric}, level {found.level:g}, margin {changes_in(SHARE).exact(found.margin)}, "
            f"{found.resamples:,} resamples with seed {found.seed}, groups against the {found.reference}, adjusted by "
            f"{found.adjust}"
        )
        facts.append(Fact(f"{found.task}: comparison", (how,)))
        for side, provenance in (("before", found.provenance_before), ("after", found.provenance_after)):
            if provenance:
                facts.append(
                    Fact(f"{found.task}: {side}", tuple(f"{name}: {value}" for name, value in provenance.items()))
                )
    return tuple(facts)


def _task(name: str, task: Mapping[str, Any]) -> Fact:
    return Fact(
        f"Task {name}",
        (
            f"{task['role']}, {task['train_examples']:,} examples to train, {task['test_examples']:,} to test",
            f"source: {task['source']}",
            f"licence: {task['licence']}",
            f"version {task['version']}; digests: train {task['train_digest'][:16]}, test {task['test_digest'][:16]}",
        ),
    )


def _cost(cost: Mapping[str, Any]) -> list[Fact]:
    """Tokens and device hours of everything that the results rest on, whichever run computed it."""
    if not cost:
        return []
    lines = [
        f"{what}: {cost[f'{kind}_tokens']:,} tokens, {cost[f'{kind}_seconds'] / 3600:.2f} device hours"
        for kind, what in (("train", "training"), ("score", "scoring"))
        if f"{kind}_tokens" in cost
    ]
    unknown = cost.get("unknown", 0)
    return [Fact("Cost", (*lines, *((f"not known of {unknown} stages and scorings",) if unknown else ())))]
