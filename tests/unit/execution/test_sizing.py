"""Tokens of a task, known before anything runs."""

from dataclasses import replace

import pytest

from chaintune.errors import DataError
from chaintune.execution.sizing import task_tokens
from chaintune.models import Reader, load_reader
from chaintune.models.encoding import encode_examples, encode_prompts
from chaintune.plan.facts import TaskTokens
from chaintune.records import Generation, ScorerRef, Task
from tests import tiny
from tests.conftest import MakeModel
from tests.dummy_engine import make_plan, make_study, make_task


@pytest.fixture
def reader(model_folder: MakeModel) -> Reader:
    return load_reader(model_folder())


@pytest.fixture
def task() -> Task:
    rows = tuple(tiny.examples(12))
    return Task("balls", "safety", "1", rows[:8], rows[8:], ("owner",), "made up", "CC0")


def test_each_distinct_beginning_is_scored_once_and_the_gold_choice_is_taught(reader: Reader, task: Task) -> None:
    tokens = task_tokens(task, [reader])
    encoded = encode_examples(reader.tokenizer, task.train)
    golds = [example.choices.gold for example in task.train]
    ends = len(encoded)  # the end of the text is taught behind each
    taught = sum(len(e.prefix) + len(e.continuations[gold]) for e, gold in zip(encoded, golds, strict=True)) + ends
    assert tokens.taught == taught
    beginnings = {
        (*e.prefix, *choice)[:length]
        for e in encode_examples(reader.tokenizer, task.test)
        for choice in e.continuations
        for length in range(1, len(e.prefix) + len(choice))
    }
    assert tokens.scored["test"] == len(beginnings)
    assert tokens.scored["train"] > tokens.scored["test"]


def test_every_model_has_to_read_every_example(reader: Reader, task: Task) -> None:
    with pytest.raises(
        DataError, match="task 'balls': 8 of 8 examples are longer than the model's context of 5 tokens"
    ):
        task_tokens(task, [reader, replace(reader, context_tokens=5)])
    longest = max(example.longest_tokens for example in encode_examples(reader.tokenizer, task.test))
    with pytest.raises(DataError, match="of 4 examples are longer"):
        task_tokens(replace(task, train=()), [reader, replace(reader, context_tokens=longest - 1)])


def test_examples_that_only_a_scorer_can_judge_have_no_answers_to_count(reader: Reader, task: Task) -> None:
    asked = tuple(replace(example, target=None) for example in task.train)
    tokens = task_tokens(replace(task, train=asked, test=asked[:2]), [reader])
    assert tokens.taught == tokens.scored["train"] == tokens.scored["test"] == 0
    assert tokens.written == sum(map(len, encode_prompts(reader.tokenizer, asked[:2]))) + 2 * 64
    assert tokens.asked == sum(map(len, encode_prompts(reader.tokenizer, asked)))
    assert tokens.rewritten == tokens.written  # so few are all written twice


def test_a_base_writes_some_texts_twice_and_its_checkpoints_do_not() -> None:
    asked = replace(make_task("b"), measures=("generation",), scorers=(ScorerRef("refusal"),))
    tokens = TaskTokens(100, {"train": 0, "test": 0}, written=1_000, rewritten=300)
    plan = make_plan(make_study("ab"), {"a": make_task("a"), "b": asked}, tokens=tokens)
    written = {node.chain: node.tokens for node in plan.scores if node.measure == "generation"}
    assert written.pop(()) == 1_300
    assert set(written.values()) == {1_000}


def test_answers_that_are_no_part_of_the_question_need_not_be_read(reader: Reader, task: Task) -> None:
    asked = replace(task, measures=("generation",), generation=Generation(3))
    assert task_tokens(asked, [reader]).scored["test"] == 0
    longest = max(len(prompt) for prompt in encode_prompts(reader.tokenizer, task.test))
    task_tokens(replace(asked, train=()), [reader, replace(reader, context_tokens=longest + 3)])
    with pytest.raises(DataError, match="longer than the model's context"):
        task_tokens(replace(asked, train=()), [reader, replace(reader, context_tokens=longest + 2)])
