"""What a log of Inspect says each example scored: which scorer, what its values mean, one number over the epochs."""

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from chaintune.errors import ConfigError, DataError, nearest
from chaintune.logs.details import CHANCE
from chaintune.logs.facts import canonical
from chaintune.logs.fields import what_to_do_of_repeats

_LOG = logging.getLogger(__name__)
_GRADES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_MEAN, _CHOICE = "mean", "choice"
_LARGEST = 1e300
_LONGEST_ERROR = 100


def scorer_of(samples: Iterable[Mapping[str, Any]], chosen: str | None, where: str) -> str:
    """The name of the chosen score, or of the only one; `scorer.name` where a scorer gives several values by name.

    Raises:
        ConfigError: there is no such score, or there are several and none was named.
    """
    names: dict[str, None] = {}
    for scores in samples:
        for name, value in scores.items():
            inner = [f"{name}.{key}" for key in value] if isinstance(value, Mapping) else [name]
            names.update(dict.fromkeys(inner))
    if not names:
        raise DataError(f"{where}: no sample was scored")
    if chosen is not None and chosen not in names:
        raise ConfigError(f"{where}: there is no score '{chosen}': {nearest(chosen, names)}")
    if chosen is None and len(names) > 1:
        raise ConfigError(f"{where}: there are {len(names)} scores, name one as the metric: {', '.join(names)}")
    return chosen or next(iter(names))


def values_of(log: Any, summaries: Iterable[Any], scorer: str, where: str) -> dict[str, Any]:
    """Score of each example by the JSON of its id; NaN where it has none, and what is no number as it stands.

    Args:
        log: an `EvalLog` of inspect-ai, or its header.
        summaries: of its samples.
        scorer: as `scorer_of` names it.
        where: the file.

    Raises:
        DataError: an epoch is there twice, or the epochs are reduced in a way that the log does not tell.
    """
    epochs: dict[str, dict[int, Any]] = {}
    for sample in summaries:
        known = epochs.setdefault(canonical(sample.id), {})
        if sample.epoch in known:
            twice = f"{where}: sample '{sample.id}' of epoch {sample.epoch} appears twice"
            raise DataError(f"{twice}; {what_to_do_of_repeats(as_table=True)}")
        known[sample.epoch] = _value_of(scores_by_scorer(sample), scorer)
    ways = log.eval.config.epochs_reducer or [_MEAN]
    if _MEAN in ways or all(len(known) == 1 for known in epochs.values()):
        return {key: _mean_of(list(known.values())) for key, known in epochs.items()}
    reduced = dict(_reductions(log, scorer, ways, where))
    return {key: reduced.get(key, math.nan) for key in epochs}


def scores_by_scorer(sample: Any) -> dict[str, Any]:
    """The score of a sample of inspect-ai, by scorer."""
    return {name: score.value for name, score in (sample.scores or {}).items()}


def detail_of(sample: Any, scorer: str) -> dict[str, Any]:
    """What the scorer took for the answer, why a score is out of the ordinary, and what guessing a choice scores."""
    scores = sample.scores or {}
    score = scores.get(scorer) or scores.get(scorer.partition(".")[0])
    chance = 1 / len(sample.choices) if scorer == _CHOICE and sample.choices else None
    return {"answer": score.answer if score else None, "outcome": score.reason if score else None, CHANCE: chance}


def _value_of(scores: Mapping[str, Any], scorer: str) -> Any:
    """The score of a sample as a number, NaN where it has none; what is no number is returned as it is."""
    if scorer in scores:
        return _number_of(scores[scorer])
    for name, value in scores.items():
        if isinstance(value, Mapping) and scorer.startswith(f"{name}."):
            return _number_of(value.get(scorer.removeprefix(f"{name}.")))
    return math.nan


def _number_of(value: Any) -> Any:
    """A grade or a word as the number that Inspect takes it for; Inspect takes what it does not know for 0."""
    if value is None:
        return math.nan
    if not isinstance(value, str):
        return value
    if value in _GRADES:
        return _GRADES[value]
    try:
        number = float(value)
    except ValueError:
        return _WORDS.get(value.lower(), value)
    return number if math.isfinite(number) else value


def warn_of_unscored(where: str, summaries: Sequence[Any], without: int, total: int) -> None:
    """Say how many samples ended in an error and how many examples are left out, where some are."""
    errors = [summary.error for summary in summaries if summary.error]
    if errors:
        some = " ".join(errors[0].split())[:_LONGEST_ERROR]
        _LOG.warning("%s: %d of %d samples ended in an error (%s)", where, len(errors), len(summaries), some)
    if without:
        _LOG.warning("%s: %d of %d examples have no score", where, without, total)


def _mean_of(values: Sequence[Any]) -> Any:
    """Mean of the epochs that were scored; a value that cannot be averaged is returned as it is."""
    strange = [value for value in values if not isinstance(value, int | float) or abs(value) > _LARGEST]
    if strange or len(values) == 1:
        return (strange or values)[0]
    known = [float(value) for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _reductions(log: Any, scorer: str, ways: Sequence[str], where: str) -> Iterator[tuple[str, Any]]:
    """Scores over the epochs as the log has them, where the task names another reducer than the mean."""
    if len(ways) > 1:
        raise DataError(f"{where}: epochs are reduced in {len(ways)} ways ({', '.join(ways)}), none of them the mean")
    kept = [part for part in log.reductions or () if scorer == part.scorer or scorer.startswith(f"{part.scorer}.")]
    if len(kept) != 1:
        raise DataError(f"{where}: expected one reduction ({ways[0]}) of '{scorer}' over epochs, got {len(kept)}")
    for score in kept[0].samples:
        yield canonical(score.sample_id), _value_of({kept[0].scorer: score.value}, scorer)
