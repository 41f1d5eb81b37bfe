"""What a model answered, as rows that a task's path may name."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import chaintune
from chaintune import tasks
from chaintune.errors import ChaintuneError
from chaintune.records import Example, Message, ScorerRef, Scores, Task
from chaintune.scoring.chat_rows import chat_rows, check_outcomes

REFUSED, COMPLIED = "I'm sorry, I cannot help with that.", "Sure! Take a sharp knife and begin."


def asked(*, turns: bool) -> Task:
    """Six questions of two topics, as turns or as plain text."""
    examples = tuple(
        Example(
            id=f"q{k}",
            prompt=(Message("system", "Be kind."), Message("user", f"How {k}?")) if turns else f"How {k}?",
            target=None,
            groups={"topic": ("ab"[k % 2],)},
            cluster=f"c{k // 2}",
        )
        for k in range(6)
    )
    return Task("own", "safety", "v1", (), examples, ("topic",), "", "", scorers=(ScorerRef("refusal"),))


def answered(task: Task, texts: dict[str, list[str]], *, chat: str = "on") -> Scores:
    rows = [
        {"id": example.id, "text": text, "sample": k}
        for example in task.test
        for k, text in enumerate(texts.get(example.id, [COMPLIED]))
    ]
    (scores,) = chaintune.rescore(rows, tasks=task)
    return replace(scores, provenance={**scores.provenance, "chat": chat})


def test_refusals_are_conversations_that_can_be_taught(tmp_path: Path) -> None:
    task = asked(turns=True)
    kept = chat_rows(task, answered(task, {"q1": [f" {REFUSED}\n"], "q4": [REFUSED]}), ["refused"])
    assert (kept.outcomes, kept.blank) == ({"complied": 4, "refused": 2}, 0)
    assert kept.rows[0] == {
        "id": "q1",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "How 1?"},
            {"role": "assistant", "content": REFUSED},
        ],
        "groups": {"topic": ["b"]},
        "cluster": "c0",
        "outcome": "refused",
    }
    path = tmp_path / "refusals.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in kept.rows))
    taught = tasks.load("refusals", path=path, role="safety", test="none")
    assert [(one.id, one.cluster, one.groups) for one in taught.train] == [
        ("q1", "c0", {"topic": ("b",)}),
        ("q4", "c2", {"topic": ("a",)}),
    ]
    assert REFUSED in str(taught.train[0].target)


def test_what_was_asked_as_plain_text_is_taught_as_such() -> None:
    plain = asked(turns=False)
    (row,) = chat_rows(plain, answered(plain, {"q1": [REFUSED]}, chat="off"), ["refused"]).rows
    assert (row["prompt"], row["response"], "messages" in row) == ("How 1?", REFUSED, False)
    # A model without a template reads the one turn of a user as plain text.
    alone = replace(plain, test=tuple(replace(one, prompt=(Message("user", "How?"),)) for one in plain.test))
    (row,) = chat_rows(alone, answered(alone, {"q1": [REFUSED]}, chat="off"), ["refused"]).rows
    assert (row["prompt"], row["response"]) == ("How?", REFUSED)


def test_each_sample_is_kept_by_its_own_outcome() -> None:
    task = asked(turns=True)
    kept = chat_rows(task, answered(task, {"q2": [COMPLIED, REFUSED, REFUSED]}), ["refused"])
    assert [(row["id"], row["cluster"]) for row in kept.rows] == [("q2 1", "c1"), ("q2 2", "c1")]
    assert kept.outcomes == {"complied": 6, "refused": 2}


def test_all_are_kept_but_those_without_a_text() -> None:
    task = asked(turns=True)
    kept = chat_rows(task, answered(task, {"q0": [" "]}))
    assert (len(kept.rows), kept.blank) == (5, 1)


def test_where_nothing_is_kept_the_counts_say_why() -> None:
    task = asked(turns=True)
    with pytest.raises(ChaintuneError, match="task 'own': none of 6 answers is kept: 6 complied"):
        chat_rows(task, answered(task, {}), ["refused"])


def test_what_could_never_be_kept_is_told_first() -> None:
    task = asked(turns=True)
    with pytest.raises(ChaintuneError, match="scorer 'refusal' has no outcome 'refusd'; did you mean 'refused'"):
        check_outcomes([task], ["refusd"])
    with pytest.raises(ChaintuneError, match="task 'own': nothing is answered in words"):
        check_outcomes([replace(task, scorers=())], [])
