"""Rows of mitigated checkpoints by hand, and the labels that chains are made of."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from chaintune.forgetting import summarise
from chaintune.forgetting.steps import is_plain, is_replay, task_of, tasks_at, tasks_of
from chaintune.records import Measured, Mitigated, ResultRow, Role, Scores
from chaintune.report.mitigations import mitigation_tables, without_mitigated
from chaintune.report.words import summary
from tests import made_up

N = 80
ROLES: Mapping[str, Role] = {"s": "safety", "c": "capability"}
FAITHS = [("a", "b")[row % 2] for row in range(N)]
Chain = tuple[str, ...]


@pytest.mark.parametrize(
    ("step", "plain", "replay", "task", "taught"),
    [
        ("bbq", True, False, "bbq", ["bbq"]),
        ("bbq@5%", False, True, "bbq", []),
        ("bbq@5% targeted by category", False, True, "bbq", []),
        ("csqa with bbq@5%", False, False, "csqa", ["csqa"]),
        ("csqa with freeze embed_tokens+layers.0", False, False, "csqa", ["csqa"]),
        ("bbq+csqa", False, False, "", ["bbq", "csqa"]),
        ("50% back to bbq", False, False, "", []),
        ("(later)", False, False, "", []),
    ],
)
def test_labels(step: str, plain: bool, replay: bool, task: str, taught: list[str]) -> None:
    assert (is_plain(step), is_replay(step), task_of(step), tasks_at(step)) == (plain, replay, task, taught)


def test_tasks_of_a_chain() -> None:
    assert tasks_of(("a", "b with a@5%", "a@5%", "50% back to a", "c+b")) == ["a", "b", "c"]


def scored(right: Sequence[int], task: str) -> Scores:
    """Scores with so many right in group a and in group b."""
    flags = [row // 2 < right[row % 2] for row in range(N)]
    groups = {"faith": FAITHS} if task == "s" else None
    return made_up.scores(flags, task=task, groups=groups, noise=sum(right))


PLAIN: dict[Chain, tuple[Sequence[int], Sequence[int]]] = {
    (): ((10, 10), (10, 10)),
    ("s",): ((35, 35), (10, 10)),
    ("s", "c"): ((15, 25), (34, 34)),
}
HELD = Mitigated("ewc", "ewc", "s", ("s", "c"), ("c",))
JOINT = Mitigated("joint", "joint", "s", ("s", "c"), ("c",))
REHEARSED = Mitigated("rehearse", "rehearse", "s", ("s", "c"), ("c",), 0.5)
COSTS = {("s",): (100.0, 10.0), ("s", "c"): (200.0, 20.0)}


def measured() -> list[Measured]:
    mitigated: dict[Chain, tuple[Sequence[int], Sequence[int], Mitigated, float, float]] = {
        ("s", "c with ewc 5"): ((30, 30), (30, 30), HELD, 200.0, 26.0),
        ("s", "c with s@50%"): ((25, 25), (33, 33), REHEARSED, 190.0, 21.0),
        ("s+c",): ((33, 33), (34, 34), JOINT, 300.0, math.nan),
    }
    found = [
        Measured("m", chain, (), 0, {"s": scored(s, "s"), "c": scored(c, "c")}, (), *COSTS.get(chain, (0.0, 0.0)))
        for chain, (s, c) in PLAIN.items()
    ]
    for chain, (s, c, held, tokens, seconds) in mitigated.items():
        both = {"s": scored(s, "s"), "c": scored(c, "c")}
        found.append(Measured("m", chain, (), 0, both, (held,), tokens, seconds))
    return found


@pytest.fixture(scope="module")
def rows() -> list[ResultRow]:
    return summarise(measured(), study="made-up", roles=ROLES, resamples=300)


def value(rows: Sequence[ResultRow], metric: str, chain: str, **facts: Any) -> float:
    wanted = {"metric": metric, "chain": chain, "group": "", "dimension": ""} | facts
    found = [row for row in rows if all(getattr(row, name) == one for name, one in wanted.items())]
    assert len(found) == 1, (wanted, len(found))
    return found[0].estimate.value


def test_what_came_back_at_what_price_by_hand(rows: list[ResultRow]) -> None:
    # 70 of 80 were right, 40 after the loss, 60 with EWC.
    assert value(rows, "recovery", "s>c with ewc 5") == pytest.approx(20 / 30)
    assert value(rows, "regained", "s>c with ewc 5") == pytest.approx(20 / N)
    assert value(rows, "regained", "s>c with ewc 5", group="a", dimension="faith") == pytest.approx(15 / 40)
    assert value(rows, "regained_disparity", "s>c with ewc 5", dimension="faith") == pytest.approx(10 / 40)
    assert value(rows, "price", "s>c with ewc 5", task="c") == pytest.approx(8 / N)
    assert value(rows, "extra_tokens", "s>c with ewc 5") == 0
    assert value(rows, "extra_seconds", "s>c with ewc 5") == 6
    assert value(rows, "dose", "s>c with s@50%") == 0.5
    assert value(rows, "extra_tokens", "s>c with s@50%") == -10


def test_joint_training_is_held_to_where_the_task_was_learned(rows: list[ResultRow]) -> None:
    assert value(rows, "recovery", "s+c") == pytest.approx(26 / 30)
    assert value(rows, "forgetting", "s+c") == pytest.approx(4 / N)
    assert value(rows, "gain", "s+c", task="c") == pytest.approx(48 / N)
    assert value(rows, "extra_tokens", "s+c") == 0
    (unknown,) = [row for row in rows if row.chain == "s+c" and row.metric == "extra_seconds"]
    assert math.isnan(unknown.estimate.value)
    assert "not known" in unknown.estimate.reason


def test_rows_of_mitigations_say_so_and_others_do_not(rows: list[ResultRow]) -> None:
    named = {row.metric for row in rows if row.mitigation}
    assert named == {
        "recovery", "regained", "regained_disparity", "price", "dose", "extra_tokens", "extra_seconds",
    }  # fmt: skip
    assert {row.chain for row in without_mitigated(rows)} == {"base", "s", "s>c"}


def test_the_gap_is_shown_without_and_with(rows: list[ResultRow]) -> None:
    tables = {table.title: table for table in mitigation_tables(rows)}
    lines = {row[0]: row for row in tables["Did the gap between groups close?"].rows}
    # Without: 20 of 40 lost in group a, 10 of 40 in b. With EWC 5 of 40 in each.
    assert lines["s>c with ewc 5"][2].startswith("+25.0")
    assert lines["s>c with ewc 5"][4].startswith("+0.0")
    assert lines["s>c with ewc 5"][-1] == "no longer shown"
    groups = tables["Forgetting by group with mitigations, s: faith"]
    assert groups.header[2:] == ("s>c", "s>c with ewc 5", "s>c with s@50%", "s+c")
    assert [row[2].partition(" ")[0] for row in groups.rows] == ["+50.0", "+25.0"]
    (choice,) = tables["Recommended doses"].rows
    assert choice[2:4] == ("rehearse", "none")
    compared = {row[0]: row for row in tables["Mitigations"].rows}
    assert compared["s>c with ewc 5"][4:] == ("+0", "+6", "no")
    assert compared["s+c"][5] == ""


def test_the_words_name_what_came_back_and_what_is_recommended(rows: list[ResultRow]) -> None:
    text = summary(rows)
    assert "s>c with ewc 5 brings back 67% of the loss of s" in text
    assert "Recommended for rehearse of s after s>c: no dose tested reaches it" in text
    assert "s>c with ewc 5 forgot" not in text
