"""Under what conditions Inspect ran a task, as facts that have to be the same before and after."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from chaintune.interop.archives import canonical

_LONGEST = 60
# Of all settings of generation these change what a model answers; the others change when and how fast.
_SAMPLING = ("temperature", "top_p", "top_k", "max_tokens", "stop_seqs", "system_message")


def facts_of(log: Any, scorer: str) -> dict[str, str]:
    """Task version and arguments, solvers, scorer and sampling by name; what the log does not tell is left out.

    Args:
        log: an `EvalLog` of inspect-ai.
        scorer: whose options matter; a judge's model is one of them.
    """
    found = {"task version": _brief(log.eval.task_version)}
    found |= _named("task argument", log.eval.task_args)
    found |= _named("generation setting", dict(_sampling(log)))
    if steps := log.plan.steps:
        found["solver"] = ", ".join(step.solver for step in steps)
        for number, step in enumerate(steps, 1):
            found |= _named(f"solver {number}, {step.solver},", step.params)
    for known in log.eval.scorers or ():
        if known.name == scorer.partition(".")[0]:
            found |= _named(f"scorer {known.name}", known.options or {})
    return found


def _sampling(log: Any) -> Iterator[tuple[str, Any]]:
    for name in _SAMPLING:
        for config in (log.plan.config, log.eval.model_generate_config):
            value = getattr(config, name, None)
            if value is not None:
                yield name, value
                break


def _named(kind: str, values: Mapping[str, Any]) -> dict[str, str]:
    return {f"{kind} '{name}'": _brief(value) for name, value in values.items()}


def _brief(value: Any) -> str:
    """A value for people; a long one is cut, and its digest still tells it from others."""
    text = value if isinstance(value, str) else canonical(value)
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}... ({hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:8]})"
