"""Rows of mitigated checkpoints by hand, whatever their tasks are called."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from chaintune.forgetting import summarise
from chaintune.records import (
    ChainStep,
    Checkpoint,
    CheckpointScores,
    Estimate,
    ForgettingFrom,
    MitigationRef,
    ResultRow,
    Role,
    Scores,
    chain_label,
    rows_to_polars,
)
from chaintune.report.mitigations import mitigation_tables
from chaintune.report.results import Results, without_mitigated
from chaintune.report.words import summary
from tests import synthetic

N = 80
ROLES: Mapping[str, Role] = {"s": "safety", "c": "capability"}
FAITHS = [("a", "b")[row % 2] for row in range(N)]
Chain = tuple[str, ...]


def scored(right: Sequence[int], task: str, *, grouped: bool) -> Scores:
    """Scores with so many right in group a and in group b."""
    flags = [row // 2 < right[row % 2] for row in range(N)]
    return synthetic.scores(flags, task=task, groups={"faith": FAITHS} if grouped else None, noise=sum(right))


def measured(first: str = "s", then: str = "c") -> list[CheckpointScores]:
    """The chain of two tasks and three mitigations of it, with the labels that a study gives them."""

    def at(
        chain: tuple[ChainStep, ...],
        right: Sequence[Sequence[int]],
        held: tuple[MitigationRef, ...],
        tokens: float,
        seconds: float,
    ) -> CheckpointScores:
        both = zip((first, then), right, (True, False), strict=True)
        scores = {task: scored(counts, task, grouped=grouped) for task, counts, grouped in both}
        return CheckpointScores(Checkpoint("m", chain, (), 0), scores, held, tokens, seconds)

    def held(kind: str, dose: float | None = None) -> tuple[MitigationRef, ...]:
        return (MitigationRef(kind, kind, first, plain, (then,), dose),)

    plain = (ChainStep.plain(first), ChainStep.plain(then))
    ewc = ChainStep(f"{then} with ewc 5", (then,), "ewc")
    rehearse = ChainStep(f"{then} with {first}@50%", (then,), "rehearse", 0.5)
    joint = ChainStep(f"{first}+{then}", (first, then), "joint")
    return [
        at((), ((10, 10), (10, 10)), (), 0.0, 0.0),
        at(plain[:1], ((35, 35), (10, 10)), (), 100.0, 10.0),
        at(plain, ((15, 25), (34, 34)), (), 200.0, 20.0),
        at((plain[0], ewc), ((30, 30), (30, 30)), held("ewc"), 200.0, 26.0),
        at((plain[0], rehearse), ((25, 25), (33, 33)), held("rehearse", 0.5), 190.0, 21.0),
        at((joint,), ((33, 33), (34, 34)), held("joint"), 300.0, math.nan),
    ]


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
    assert value(rows, "needs_old_data", "s>c with s@50%") == 1
    assert value(rows, "extra_tokens", "s>c with s@50%") == -10


def test_joint_training_is_held_to_where_the_task_was_learned(rows: list[ResultRow]) -> None:
    assert value(rows, "recovery", "s+c") == pytest.approx(26 / 30)
    assert value(rows, "forgetting", "s+c") == pytest.approx(4 / N)
    assert value(rows, "gain", "s+c", task="c") == pytest.approx(48 / N)
    assert value(rows, "extra_tokens", "s+c") == 0
    (unknown,) = [row for row in rows if row.chain == "s+c" and row.metric == "extra_seconds"]
    assert math.isnan(unknown.estimate.value)
    assert "not known" in unknown.estimate.reason


@pytest.mark.parametrize("reference", ["trained", "best", "base", "previous"])
def test_what_a_chain_never_teaches_is_counted_from_the_base(reference: ForgettingFrom) -> None:
    plain, replay = (ChainStep.plain("c"),), ChainStep("s@50%", (), "replay", 0.5)
    held = (MitigationRef("replay", "replay", "s", plain, ("c",), 0.5),)

    def at(
        chain: tuple[ChainStep, ...], right: tuple[int, int], held: tuple[MitigationRef, ...] = (), *, final: bool
    ) -> CheckpointScores:
        scores = {task: scored((n, n), task, grouped=False) for task, n in zip("sc", right, strict=True)}
        return CheckpointScores(Checkpoint("m", chain, (), 0), scores, held, 1.0, 1.0, final=final)

    checkpoints = [
        at((), (35, 10), final=False),
        at(plain, (15, 34), final=True),
        at((*plain, replay), (30, 33), held, final=True),
    ]
    how: dict[str, Any] = {"roles": ROLES, "resamples": 300, "forgetting_from": reference}
    rows = summarise(checkpoints, study="made-up", **how)
    assert value(rows, "forgetting", "c", task="s") == pytest.approx(40 / N)
    assert value(rows, "forgetting", "c>s@50%", task="s") == pytest.approx(10 / N)
    assert value(rows, "recovery", "c>s@50%") == pytest.approx(30 / 40)
    assert value(rows, "price", "c>s@50%", task="c") == pytest.approx(2 / N)


@pytest.mark.parametrize(
    "names", [("lm_eval:crows", "lm_eval:arc_easy"), ("a@5%", "b+d with ewc 5"), ("50% back", "(x)")]
)
def test_no_number_hangs_on_what_a_task_is_called(names: tuple[str, str], rows: list[ResultRow]) -> None:
    first, then = names
    found = summarise(
        measured(first, then), study="made-up", roles={first: "safety", then: "capability"}, resamples=300
    )
    own = {"s": first, "c": then, "": ""}
    both = zip(measured(), measured(*names), strict=True)
    steps = {one.checkpoint.labels: other.checkpoint.labels for one, other in both}
    chains = {chain_label(one): chain_label(other) for one, other in steps.items()} | {"": ""}
    expected = [
        replace(
            row,
            chain=chains[row.chain],
            reference=chains[row.reference],
            task=own[row.task],
            steps=steps[row.steps],
        )
        for row in rows
    ]
    assert {row.metric for row in found} >= {"forgetting", "gain", "retained_gain", "bwt", "recovery", "price"}
    assert rows_to_polars(found).equals(rows_to_polars(expected), null_equal=True)


def test_rows_of_mitigations_say_so_and_others_do_not(rows: list[ResultRow]) -> None:
    named = {row.metric for row in rows if row.mitigation}
    assert named == {
        "recovery", "regained", "regained_disparity", "price", "dose", "extra_tokens", "extra_seconds",
        "needs_old_data",
    }  # fmt: skip
    assert {row.chain for row in without_mitigated(rows)} == {"base", "s", "s>c"}


def test_the_gap_is_shown_without_and_with(rows: list[ResultRow]) -> None:
    tables = {table.title: table for table in mitigation_tables(Results("t", rows, 0.95))}
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
    assert compared["s>c with ewc 5"][-4:] == ("+0", "+6", "yes", "no")
    assert compared["s+c"][-3] == ""


def test_groups_with_a_biased_forgetting_only_are_named(rows: list[ResultRow]) -> None:
    none = Estimate.undefined("too few clusters of a label")
    few = [replace(row, estimate=none) if (row.metric, row.group) == ("forgetting", "a") else row for row in rows]
    for own, said in ((rows, False), (few, True)):
        tables = {table.title: table for table in mitigation_tables(Results("t", own, 0.95))}
        note = tables["Forgetting by group with mitigations, s: faith"].note
        assert ("1 group has a biased forgetting only" in note, note.endswith("needs: a.")) == (said, said)


def test_the_words_name_what_came_back_and_what_is_recommended(rows: list[ResultRow]) -> None:
    text = summary(Results("t", rows, 0.95))
    assert "s>c with ewc 5 brings back 67 % (95 % CI" in text
    assert "No dose of rehearse of s after s>c is recommended: no dose tested reaches it" in text
    assert "s>c with ewc 5 forgot" not in text
