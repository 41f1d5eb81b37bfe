"""Power by simulation: the table and the sentence."""

import math
from collections.abc import Iterable

from chaintune.errors import number_of
from chaintune.records import Comparison, GroupPower, SimulatedPower
from chaintune.report.cells import Table
from chaintune.report.labels import listed


def power_table(comparison: Comparison) -> Table | None:
    """How often simulated comparisons show a loss, by its size; None where none were simulated."""
    power = comparison.simulated_power
    if power is None or not power.groups:
        return None
    reference = "the rest" if comparison.reference == "rest" else "the whole"
    level = comparison.level if math.isnan(power.level) else power.level
    note = (
        "In percent of the comparisons that were simulated with the clusters and flips of these data, "
        f"{_flips(power)}, and judged as this one is, at {100 * level:.4g} %; ± is the standard error of the "
        "simulation. The whole task loses so many points"
    )
    note += (
        f"; one group so many more than {reference}, corrected over its dimension." if len(power.groups) > 1 else "."
    )
    if comparison.end:
        note += " The correction over pairs of checkpoints is in it, by Bonferroni; one over tasks is not."
    elif comparison.overall.forgetting_family:
        note += " What a correction over tasks takes is not in it."
    pair = f", from {comparison.start} to {comparison.end}" if comparison.end else ""
    return Table(
        f"Power by simulation: {comparison.task}{pair}",
        note + _left_out(power),
        ("who", "n", "clusters", "5 points", "10 points", "simulated"),
        tuple(
            (
                f"{one.dimension} {one.group}" if one.dimension else "whole task",
                f"{one.n:,}",
                f"{one.n_clusters:,}",
                _cell(one.power_5, one.error_5),
                _cell(one.power_10, one.error_10),
                f"{one.draws:,} each" if one.draws else "none",
            )
            for one in power.groups
        ),
    )


def power_sentences(comparison: Comparison) -> list[str]:
    """What simulated comparisons show; nothing where they were not asked for."""
    power = comparison.simulated_power
    if power is None:
        return []
    if power.reason:
        return [f"Power was not simulated: {power.reason}."]
    whole, *groups = power.groups
    first = f"Simulated with these clusters and flips ({_flips(power)}), a loss of 5 points of the whole is shown in "
    first += f"{_often([whole.power_5])} of 100 comparisons, and one of 10 points in {_often([whole.power_10])} "
    parts = [f"{first}(error up to {_error([whole])})."]
    for dimension in dict.fromkeys(one.dimension for one in groups):
        known = [one for one in groups if one.dimension == dimension and one.draws]
        if not known:
            parts.append(f"No group of {dimension} can be tested.")
            continue
        reference = "the rest" if comparison.reference == "rest" else "the whole"
        who = f"one of {number_of(len(known), 'group')} of {dimension}" if len(known) > 1 else f"a group of {dimension}"
        parts.append(
            f"That {who} loses 5 points more than {reference} is shown in "
            f"{_often(one.power_5 for one in known)} of 100, 10 points more in "
            f"{_often(one.power_10 for one in known)} (error up to {_error(known)})."
        )
    return [*parts, *([_left_out(power).strip()] if power.left_out else [])]


def _flips(power: SimulatedPower) -> str:
    forgot, learned = (f"{100 * share:.1f} %" for share in (power.forgot, power.learned))
    return f"{forgot} forgotten, {learned} learned, correlation in clusters {power.correlation:.2f}"


def _cell(share: float, error: float) -> str:
    return "undefined" if math.isnan(share) else f"{100 * share:.1f} ± {100 * error:.1f}"


def _often(shares: Iterable[float]) -> str:
    """The least and the most of shares, in 100."""
    known = [round(100 * share) for share in shares if not math.isnan(share)]
    if not known:
        return "none"
    return f"{min(known)}" if min(known) == max(known) else f"{min(known)} to {max(known)}"


def _error(groups: Iterable[GroupPower]) -> str:
    """The largest error, in 100, rounded up."""
    errors = [error for one in groups for error in (one.error_5, one.error_10) if not math.isnan(error)]
    return f"{math.ceil(100 * max(errors, default=0.0))}"


def _left_out(power: SimulatedPower) -> str:
    if not power.left_out:
        return ""
    return f" Not simulated, as so many groups would take too long: those of {listed(power.left_out)}."
