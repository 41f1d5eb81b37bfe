"""The policy file: how much may be forgotten, of what, by whom."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from chaintune.config.source import Source, read_source
from chaintune.config.validation import Names, Spec, check
from chaintune.errors import ConfigError
from chaintune.records import BudgetStatistic, Tier
from chaintune.records.amounts import SHARE, Amount, mismatch

EVERY = "*"
STATISTICS: tuple[BudgetStatistic, ...] = ("forgetting", "biased_forgetting", "disparity")
_PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that is allowed: an amount in the unit of the scores, or a share of the score before."""

    value: float
    relative: bool
    unit: str = SHARE

    def suits(self, unit: str) -> bool:
        """Whether it can be held against scores in this unit."""
        return self.relative or self.amount.suits(unit)

    @property
    def amount(self) -> Amount:
        """What is allowed, of a limit that is not relative."""
        return Amount(self.value, self.unit)


@dataclass(frozen=True, slots=True)
class Budget:
    """One statistic of one task, and the most it may be.

    Attributes:
        task: its name, or `*` for every task that is compared.
        by: dimension; empty for the whole task.
        groups: of the dimension; none for every group.
        required: missing data are inconclusive, else only reported.
    """

    task: str
    by: str
    groups: tuple[str, ...]
    statistic: BudgetStatistic
    limit: Limit
    tier: Tier
    required: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """Every budget of a file."""

    name: str
    budgets: tuple[Budget, ...]

    def of(self, task: str, unit: str) -> list[Budget]:
        """The budgets that speak of a task.

        One for every task speaks of this one too if it is in the unit of its scores, or no other budget of the same
        statistic is.
        """
        named = [budget for budget in self.budgets if budget.task in (EVERY, task)]
        suited = {(one.statistic, one.by) for one in named if one.limit.suits(unit)}
        return [
            budget
            for budget in named
            if budget.task == task or budget.limit.suits(unit) or (budget.statistic, budget.by) not in suited
        ]

    def check_unit(self, task: str, metric: str, unit: str) -> None:
        """Refuse budgets that cannot be held against a task's scores.

        Raises:
            ConfigError: a budget of the task is in another unit.
        """
        for budget in self.of(task, unit):
            if not budget.limit.suits(unit):
                every = (
                    "" if budget.task == task else f"; a budget for '{EVERY}' in that unit may stand beside this one"
                )
                wrong = mismatch(budget.limit.amount, unit, metric)
                raise ConfigError(f"{self.name}: {budget.statistic} of task '{task}': {wrong}{every}")

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Dimensions that the budgets speak of, for comparing by."""
        return tuple(dict.fromkeys(budget.by for budget in self.budgets if budget.by))


def _as_limit(value: Any) -> Limit:
    """An amount of the score, or text such as `5 %` of the score before."""
    if isinstance(value, str) and (percent := _PERCENT.fullmatch(value)):
        return Limit(Amount.of(float(percent[1]) / 100).value, relative=True)
    try:
        amount = Amount.of(value)
    except ValueError as error:
        raise ValueError(f"{error}; '5 %' is one of the score before") from error
    return Limit(amount.value, relative=False, unit=amount.unit)


_Limit = Annotated[Any, BeforeValidator(_as_limit)]


class BudgetSpec(Spec):
    """One entry of `budgets`."""

    task: Annotated[str, Field(min_length=1)]
    by: Annotated[str, Field(min_length=1)] | None = None
    group: Annotated[Names, Field(min_length=1)] | None = None
    forgetting: _Limit = None
    biased_forgetting: _Limit = None
    disparity: _Limit = None
    tier: Tier = "block"
    required: bool = True


class PolicySpec(Spec):
    """The keys of a policy file."""

    budgets: Annotated[list[Any], Field(min_length=1)]


def read_policy(path: Path) -> Policy:
    """The budgets of a policy file, read by YAML's safe loader.

    Raises:
        ConfigError: the file cannot be read, or a value in it is invalid; every problem is listed with its line.
    """
    source = read_source(path, expected="a policy: a mapping with 'budgets'")
    spec = check(PolicySpec, source.data, (), source)
    written = source.data.get("budgets")
    entries = written if isinstance(written, list) else []
    budgets = [budget for index, entry in enumerate(entries) for budget in _budgets(entry, index, source)]
    source.stop_if_wrong()
    if spec is None or not budgets:
        raise ConfigError(f"{path}: expected at least one budget")
    return Policy(str(path), tuple(budgets))


def _budgets(entry: Any, index: int, source: Source) -> list[Budget]:
    """One budget for each statistic of an entry; invalid values are noted."""
    path = ("budgets", index)
    spec = check(BudgetSpec, entry, path, source)
    if spec is None:
        return []
    limits = {name: getattr(spec, name) for name in STATISTICS if getattr(spec, name) is not None}
    for problem in _problems(spec, limits):
        source.report(path, problem)
    groups = tuple(spec.group or ())
    return [
        Budget(spec.task, spec.by or "", groups, statistic, limit, spec.tier, spec.required)
        for statistic, limit in limits.items()
    ]


def _problems(spec: BudgetSpec, limits: dict[BudgetStatistic, Limit]) -> list[str]:
    """The problems of an entry, one sentence each."""
    problems = []
    if not limits:
        problems.append(f"no budget: name one of {', '.join(STATISTICS)}")
    if spec.group and not spec.by:
        problems.append("'group' needs 'by', the dimension that the group is of")
    if not spec.by and set(limits) - {"forgetting"}:
        problems.append(f"{' and '.join(name for name in limits if name != 'forgetting')} needs 'by', a dimension")
    if spec.group and "disparity" in limits:
        problems.append(
            "disparity is over all groups of a dimension; leave 'group' out, or give it an entry of its own"
        )
    return problems
