"""The header of an archive of Inspect, checked as far as it is used; `inspect-ai` checks those that it does not fit."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from chaintune.logs.conditions import FRACTIONS, SAMPLING
from chaintune.logs.irregular import Irregular
from chaintune.logs.zip_members import Members

_NAME = b"header.json"
_MOST_BYTES = 64 * 2**20
_VERSION = 2
_STATUS = ("started", "success", "cancelled", "error")
_TEXTS = ("task", "model", "created")
_MAPPINGS = ("dataset", "config")


def header_of(members: Members) -> Mapping[str, Any]:
    """The header as it stands in the archive.

    Raises:
        Irregular: there is none, as in a run that was cut short, or one of another form.
    """
    data = members.read(_NAME, most_bytes=_MOST_BYTES)
    try:
        header = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Irregular("its header is no JSON") from error
    for part, fits in _checks(header):
        if not fits:
            raise Irregular(f"of its header {part} is not as expected")
    return dict(header)


def _checks(header: Any) -> Iterator[tuple[str, bool]]:
    """One part of it after the other; what comes later relies on what came before."""
    yield "the whole", isinstance(header, dict) and isinstance(header.get("eval"), dict)
    yield "the version", header.get("version") == _VERSION
    yield "the status", header.get("status") in _STATUS
    yield "the mark of being invalid", isinstance(header.get("invalidated", False), bool)
    told = header["eval"]
    for name in _TEXTS:
        yield f"the {name}", isinstance(told.get(name), str)
    for name in _MAPPINGS:
        yield f"the {name}", isinstance(told.get(name), dict)
    version = told.get("task_version", 0)
    yield "the task's version", isinstance(version, str | int) and not isinstance(version, bool)
    yield "the arguments", isinstance(told.get("task_args", {}), dict)
    yield "the reducers", _lists(told["config"].get("epochs_reducer"), lambda way: isinstance(way, str))
    yield "the scorers", _lists(told.get("scorers"), lambda scorer: _named(scorer, "name", "options"))
    yield "the settings", _samples(told.get("model_generate_config", {}))
    plan = header.get("plan", {})
    yield "the plan", isinstance(plan, dict)
    yield "the solvers", _lists(plan.get("steps"), lambda step: _named(step, "solver", "params"))
    yield "the plan's settings", _samples(plan.get("config", {}))


def _lists(parts: Any, fits: Callable[[Any], bool]) -> bool:
    return parts is None or (isinstance(parts, list) and all(map(fits, parts)))


def _named(part: Any, name: str, options: str) -> bool:
    return isinstance(part, dict) and isinstance(part.get(name), str) and isinstance(part.get(options) or {}, dict)


def _samples(settings: Any) -> bool:
    """Whether settings of generation are of the types that inspect-ai reads them as."""
    if not isinstance(settings, dict):
        return False
    return all(_fits(name, settings[name]) for name in SAMPLING if settings.get(name) is not None)


def _fits(name: str, value: Any) -> bool:
    if name == "system_message":
        return isinstance(value, str)
    if name == "stop_seqs":
        return _lists(value, lambda part: isinstance(part, str))
    kinds = (int, float) if name in FRACTIONS else (int,)
    return isinstance(value, kinds) and not isinstance(value, bool)
