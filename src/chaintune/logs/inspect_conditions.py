"""Under what conditions Inspect ran a task, as facts that have to be the same before and after."""

from collections.abc import Iterator, Mapping
from typing import Any

from chaintune.errors import number_of
from chaintune.logs.facts import brief, named

# Of all settings of generation these change what a model answers; the others change when and how fast.
_SAMPLING = ("temperature", "top_p", "top_k", "max_tokens", "stop_seqs", "system_message")
_FRACTIONS = ("temperature", "top_p")


def facts_of(header: Mapping[str, Any], scorer: str) -> dict[str, str]:
    """Task version and arguments, solvers, scorer and sampling by name; what the log does not hold is left out."""
    spec, plan = header["eval"], header.get("plan") or {}
    facts = {"task version": brief(spec.get("task_version", 0)), "score of an example": _reduced(spec)}
    facts |= named("task argument", spec.get("task_args") or {})
    facts |= named("generation setting", dict(_sampling(spec, plan)))
    if steps := plan.get("steps"):
        facts["solver"] = ", ".join(step["solver"] for step in steps)
        for number, step in enumerate(steps, 1):
            facts |= named(f"solver {number}, {step['solver']},", step.get("params") or {})
    for scorer_spec in spec.get("scorers") or ():
        if scorer_spec["name"] == scorer.partition(".")[0]:
            facts |= named(f"scorer {scorer_spec['name']}", scorer_spec.get("options") or {})
    return facts


def _reduced(spec: Mapping[str, Any]) -> str:
    """How epochs make the score of an example: a mean of few estimates the same as one of many, nothing else does."""
    config = spec.get("config") or {}
    epochs, ways = config.get("epochs") or 1, config.get("epochs_reducer") or ["mean"]
    return "its mean over epochs" if epochs == 1 or "mean" in ways else f"'{ways[0]}' of {epochs} epochs"


def doubts_of(header: Mapping[str, Any], samples: int) -> tuple[str, ...]:
    """Reasons against comparing a log, `samples` of which ended without an error, with any other."""
    invalid = ("the log is marked as invalid",) if header.get("invalidated") else ()
    if not (ended := ending(header.get("status", "started"))):
        return invalid
    planned = _planned(header)
    of = f"{samples} of {number_of(planned, 'sample')}" if planned else number_of(samples, "sample")
    return (f"the run {ended}, {of}", *invalid)


def ending(status: str) -> str:
    """How a run ended; empty where it ended well."""
    return {"success": "", "started": "did not end"}.get(status, f"ended in '{status}'")


def _planned(header: Mapping[str, Any]) -> int:
    """How many samples the run was to have, epochs counted; 0 when the log does not tell."""
    results, spec = header.get("results") or {}, header["eval"]
    samples = (spec.get("dataset") or {}).get("samples") or 0
    return int(results.get("total_samples") or samples * ((spec.get("config") or {}).get("epochs") or 1))


def _sampling(spec: Mapping[str, Any], plan: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in _SAMPLING:
        for config in (plan.get("config"), spec.get("model_generate_config")):
            value = (config or {}).get(name)
            if value is not None:
                yield name, float(value) if name in _FRACTIONS else value
                break
