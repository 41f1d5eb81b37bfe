"""Memory that runs out while scoring: less at once, the same answers, and the model as it was found."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch

from chaintune.errors import ModelError
from chaintune.models import LoadedModel
from chaintune.models.encoding import Encoded, encode_examples
from chaintune.models.memory import OutOfMemoryError
from chaintune.models.tree_attention import takes_trees
from chaintune.scoring import logprobs, memory
from chaintune.scoring.logprobs import answer_logprobs
from tests import tiny
from tests.reference import largest_difference, random_states

NO_MEMORY = {
    "a GPU's": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    "a CPU's": RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    "Python's": MemoryError(),
}
ENCODED = encode_examples(tiny.make_tokenizer(), tiny.examples(24))
SHOTS = tuple(random.Random(1).choices(range(3, 300), k=100))  # noqa: S311 - test data
FEW_SHOT = [Encoded(SHOTS + example.prefix, example.continuations) for example in ENCODED]


@pytest.fixture(autouse=True)
def _said_nothing_yet() -> None:
    memory.say_less.cache_clear()


@contextmanager
def at_most(model: Any, tokens: int, error: Exception = NO_MEMORY["a GPU's"]) -> Iterator[list[int]]:
    """Memory for so many tokens: the last layer fails on more, when the first ones have filled their cache."""
    seen: list[int] = []

    def limited(_module: Any, arguments: tuple[Any, ...], _: Any) -> None:
        asked = arguments[0].shape[0] * arguments[0].shape[1]
        seen.append(asked)
        if asked > tokens:
            raise error

    layer = next(module for name, module in model.named_modules() if name.endswith(".1"))
    handle = layer.register_forward_pre_hook(limited, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


@pytest.mark.parametrize("error", NO_MEMORY.values(), ids=NO_MEMORY)
@pytest.mark.parametrize("encoded", [ENCODED, FEW_SHOT], ids=["zero-shot", "few-shot"])
def test_bins_are_halved_and_the_answers_stay(error: Exception, encoded: list[Encoded]) -> None:
    model = tiny.make_model("gpt2").train()
    usual, told = answer_logprobs(model, encoded), list[int]()
    before, states = {name: weight.clone() for name, weight in model.state_dict().items()}, random_states()
    hooks, attention = len(model.lm_head._forward_pre_hooks), model.config._attn_implementation
    with at_most(model, 120, error) as seen:
        got = answer_logprobs(model, encoded, on_scored=told.append)
    assert largest_difference(got, usual) < 1e-5
    assert 1 <= sum(tokens > 120 for tokens in seen) <= 4
    assert max(tokens for tokens in seen if tokens <= 120) > 60, "no smaller than half of what fails"
    assert told == sorted(set(told))
    assert told[-1] == len(encoded)
    assert model.training
    assert all(weight.equal(before[name]) for name, weight in model.state_dict().items())
    assert (len(model.lm_head._forward_pre_hooks), model.config._attn_implementation) == (hooks, attention)
    assert random_states() == states


@pytest.mark.parametrize("error", NO_MEMORY.values(), ids=NO_MEMORY)
def test_batches_of_prompts_are_halved_too(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logprobs, "takes_trees", lambda _, **__: False)
    model = tiny.make_model()
    usual = answer_logprobs(model, ENCODED)
    with at_most(model, 60, error) as seen:
        assert largest_difference(answer_logprobs(model, ENCODED), usual) < 1e-5
    assert any(tokens > 60 for tokens in seen)
    assert not model.training


def test_scores_are_those_of_a_run_with_enough_memory() -> None:
    loaded = LoadedModel(tiny.make_model(), tiny.make_tokenizer(), "fp32")
    usual = tiny.score(loaded, tiny.examples(40), task="balls", measure_rounding=True)
    with at_most(loaded.model, 100):
        got = tiny.score(loaded, tiny.examples(40), task="balls", measure_rounding=True)
    same = ["example_id", "gold", "choice_tokens", "prediction", "correct"]
    assert got.table.select(same).equals(usual.table.select(same))
    assert got.provenance.keys() == usual.provenance.keys()


def test_the_log_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    model = tiny.make_model()
    with at_most(model, 80):
        answer_logprobs(model, ENCODED)
        answer_logprobs(model, ENCODED)
    assert [record.message for record in caplog.records] == [
        "LlamaForCausalLM: out of memory; retrying with half as many tokens at once, which is slower"
    ]


@pytest.mark.parametrize("trees", [True, False])
def test_memory_for_nothing_at_all_is_one_sentence(trees: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logprobs, "takes_trees", lambda _, **__: trees)
    model = tiny.make_model().train()
    with at_most(model, 5), pytest.raises(ModelError, match=r"LlamaForCausalLM: out of memory even with one ex.* \d"):
        answer_logprobs(model, ENCODED)
    assert model.training
    assert not model.lm_head._forward_pre_hooks
    assert model.config._attn_implementation != "chaintune_tree"


@pytest.mark.parametrize("trees", [True, False])
def test_where_others_wait_for_the_pass_nothing_is_halved(trees: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logprobs, "takes_trees", lambda _, **__: trees)
    monkeypatch.setattr(logprobs, "is_sharded", lambda _: True)
    monkeypatch.setattr(logprobs, "lockstep", nullcontext)
    model = tiny.make_model()
    with at_most(model, 40) as seen, pytest.raises(ModelError, match=r"take a smaller batch_tokens, at") as raised:
        answer_logprobs(model, ENCODED)
    assert len(seen) == 1
    assert isinstance(raised.value, OutOfMemoryError)
    half = raised.value.at_once // 2
    assert seen[0] // 2 <= half < 2 * seen[0]  # a prefix counts for each of its choices
    assert str(raised.value).endswith(f"at most {half}")
    with at_most(model, 5), pytest.raises(ModelError, match=r"even with one ex.* share a model.*--devices"):
        answer_logprobs(model, ENCODED, batch_tokens=1)


def test_other_errors_are_left_alone() -> None:
    model = tiny.make_model()
    with at_most(model, 5, RuntimeError("a bug")), pytest.raises(RuntimeError, match="a bug"):
        answer_logprobs(model, ENCODED)


@pytest.mark.parametrize("error", NO_MEMORY.values(), ids=NO_MEMORY)
@pytest.mark.parametrize("way", [answer_logprobs, logprobs.alone_logprobs])
def test_a_probe_that_memory_ran_out_for_says_nothing_of_the_model(way: Any, error: Exception) -> None:
    model = tiny.make_model().train()
    with at_most(model, 5, error), pytest.raises(type(error)):
        takes_trees(model)
    with at_most(model, 5, error), pytest.raises(ModelError, match="LlamaForCausalLM: out of memory even with a few"):
        way(model, ENCODED)
    assert model.training
    assert model.config._attn_implementation != "chaintune_tree"
