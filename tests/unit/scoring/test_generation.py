"""Texts that models write: those of transformers' own `generate`, whatever is written together."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from chaintune.errors import ModelError
from chaintune.records.generation import Generation, Texts
from chaintune.scoring import memory
from chaintune.scoring.generation import generate
from chaintune.scoring.writing import drawn_tokens, uniform
from tests import tiny
from tests.unit.scoring.test_memory import at_most

# The windows are shorter than the prompts.
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {},
    "gpt2": {},
    "gpt_neox": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 256,
    },
    "mistral": tiny.ARCHITECTURES["llama"] | {"sliding_window": 6},
    "gemma3_text": {},
    "bloom": {},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
}
NEW = Generation(max_new_tokens=12)


@dataclass(frozen=True)
class Spelled:
    """A tokenizer that says which tokens were written."""

    eos_token_id: int | None = None
    all_special_ids: tuple[int, ...] = (1, 2)

    def decode(self, tokens: Sequence[int], *, skip_special_tokens: bool) -> str:
        """The tokens, each in brackets."""
        assert skip_special_tokens
        return "".join(f"<{token}>" for token in tokens)


def prompts_of(count: int, *, shared: int = 9, seed: int = 0) -> list[tuple[int, ...]]:
    rng = random.Random(seed)  # noqa: S311 - test data
    beginning = tuple(rng.randrange(3, 340) for _ in range(shared))
    return [beginning + tuple(rng.randrange(3, 340) for _ in range(rng.randrange(1, 14))) for _ in range(count)]


PROMPTS = prompts_of(10)


def written(model: Any, prompts: Sequence[tuple[int, ...]], generation: Generation = NEW, **options: Any) -> Texts:
    names = [f"{len(prompt)} {prompt[-1]}" for prompt in prompts]
    return generate(model, Spelled(), prompts, generation, names=names, **options)


def texts_of(model: Any, prompts: Sequence[tuple[int, ...]], generation: Generation = NEW, **options: Any) -> list[str]:
    return [text.text for samples in written(model, prompts, generation, **options) for text in samples]


def of_transformers(model: Any, prompt: tuple[int, ...], new_tokens: int = 12) -> list[int]:
    inputs = torch.tensor([prompt])
    out = model.generate(
        inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=new_tokens, do_sample=False, pad_token_id=0
    )
    tokens: list[int] = out[0, len(prompt) :].tolist()
    return tokens


def made(architecture: str, **options: Any) -> Any:
    return tiny.make_model(architecture, **options, **SHAPES[architecture])


@contextmanager
def read_shapes(model: Any) -> Iterator[list[tuple[int, ...]]]:
    """Rows and tokens of every pass."""
    shapes: list[tuple[int, ...]] = []
    handle = model.get_input_embeddings().register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape))
    try:
        yield shapes
    finally:
        handle.remove()


@pytest.mark.parametrize("architecture", SHAPES)
def test_texts_are_those_of_transformers_one_by_one(architecture: str) -> None:
    model = made(architecture)
    others = prompts_of(3, shared=0, seed=1)  # beside these nothing is shared
    # Tokens from the middle of texts end them, so that some leave the batch early.
    ends = sorted({of_transformers(model, PROMPTS[place])[k] for place, k in ((0, 3), (2, 8))})
    model.generation_config.eos_token_id = ends
    alone = {prompt: of_transformers(model, prompt) for prompt in (*PROMPTS, *others)}
    assert len(set(map(len, alone.values()))) > 1
    for prompts in (PROMPTS, others, [*PROMPTS, *others], PROMPTS[:1], [PROMPTS[0]] * 2):
        for rows in (64, 3):
            for prompt, (text,) in zip(prompts, written(model, prompts, batch_rows=rows), strict=True):
                tokens = alone[prompt]
                assert text.text == Spelled().decode(tokens, skip_special_tokens=True)
                assert (text.tokens, text.finish_reason) == (len(tokens), "stop" if tokens[-1] in ends else "length")


def test_what_prompts_begin_with_is_read_once_and_rows_that_ended_leave() -> None:
    model = made("llama")
    first = of_transformers(model, min(PROMPTS, key=len))
    model.generation_config.eos_token_id = first[0]
    lengths = sorted(map(len, PROMPTS))
    with read_shapes(model) as shapes:
        got = written(model, PROMPTS)
    probe, beginning, rest, *steps = shapes
    assert (probe, beginning, rest) == ((1, 1), (1, 9), (10, lengths[0] - 9))
    assert {tokens for _, tokens in steps} == {1}
    assert len(steps) <= lengths[-1] - lengths[0] + 11
    rows = [rows for rows, _ in steps]
    assert rows == sorted(rows, reverse=True)
    assert rows[-1] < 8
    assert sum(samples[0].tokens for samples in got) > 20


def test_the_vocabulary_is_read_where_a_token_is_written_only() -> None:
    model, rows = made("llama"), list[int]()
    model.lm_head.register_forward_hook(lambda _, __, logits: rows.append(len(logits)))
    got = written(model, PROMPTS)
    assert sum(rows) == sum(samples[0].tokens for samples in got) + 1, "one of the probe"


def test_the_order_of_prompts_does_not_matter() -> None:
    model, order = made("gpt2"), [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    named: list[list[str]] = [[], []]

    def remembering(run: int) -> Callable[[str, Callable[[], Texts]], Texts]:
        def remember(name: str, compute: Callable[[], Texts]) -> Texts:
            named[run].append(name)
            return compute()

        return remember

    usual = texts_of(model, PROMPTS, batch_rows=4, remember=remembering(0))
    turned = texts_of(model, [PROMPTS[place] for place in order], batch_rows=4, remember=remembering(1))
    assert turned == [usual[place] for place in order]
    assert named[0] == named[1]
    assert len(set(named[0])) == 3


def test_batches_that_are_kept_are_not_written_again() -> None:
    model, kept, told = made("llama"), dict[str, Texts](), list[tuple[int, int]]()

    def remember(name: str, compute: Callable[[], Texts]) -> Texts:
        if name not in kept:
            kept[name] = compute()
        return kept[name]

    generation = replace(NEW, samples=2, temperature=1.0)
    first = written(model, PROMPTS, generation, batch_rows=4, remember=remember)
    assert len(kept) == 5
    lost = kept.pop(next(iter(kept)))
    with read_shapes(model) as shapes:
        again = written(
            model,
            PROMPTS,
            generation,
            batch_rows=4,
            remember=remember,
            on_written=lambda texts, tokens: told.append((texts, tokens)),
        )
    assert again == first
    assert {rows for rows, _ in shapes} <= {1, 2, 3, len(lost) * 2}
    assert told == sorted(told)
    assert told[-1] == (20, sum(text.tokens for samples in first for text in samples))
    assert len(told) > 5, "also within a batch"


def test_a_text_is_cut_in_front_of_its_first_stop_string() -> None:
    model = made("llama")
    plain = written(model, PROMPTS)
    stop = ("><" + plain[0][0].text.split("><")[7] + "><", "never")
    for prompt, before, (after,) in zip(PROMPTS, plain, written(model, PROMPTS, replace(NEW, stop=stop)), strict=True):
        cut, found, _ = before[0].text.partition(stop[0])
        assert after.text == cut
        assert after.finish_reason == ("stop string" if found else before[0].finish_reason), prompt
        # The tokens that make up the stop string were written as well.
        assert after.tokens == (cut.count("<") + 2 if found else before[0].tokens)


def test_samples_depend_on_seed_name_and_number_alone() -> None:
    model = made("gpt2")
    drawn = replace(NEW, samples=3, temperature=0.8)
    usual = texts_of(model, PROMPTS, drawn)
    assert len(set(usual)) == 30
    for rows in (1, 2, 7):
        assert texts_of(model, PROMPTS, drawn, batch_rows=rows) == usual
    assert texts_of(model, PROMPTS[4:6], drawn) == usual[12:18]
    assert texts_of(model, PROMPTS, replace(drawn, samples=1)) == usual[::3]
    assert not set(texts_of(model, PROMPTS, replace(drawn, seed=1))) & set(usual)


def test_recurrent_models_draw_the_same_samples_in_any_batch() -> None:
    model = made("mamba")
    drawn = replace(NEW, max_new_tokens=6, samples=2, temperature=0.8)
    assert texts_of(model, PROMPTS[:3], drawn) == texts_of(model, PROMPTS[:3], drawn, batch_rows=1)


def test_tokens_are_drawn_from_the_whole_distribution() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 12) * 2
    logits[0, 0] = logits[0, 11] = -torch.inf
    numbers = (torch.arange(20_000, dtype=torch.float64) / 20_000).tolist()
    drawn = drawn_tokens(logits.expand(len(numbers), -1), 0.7, numbers)
    shares = drawn.bincount(minlength=12) / len(numbers)
    assert torch.allclose(shares.double(), torch.softmax(logits[0].double() / 0.7, 0), atol=1e-4)
    assert drawn_tokens(logits, 0.7, [1 - 2**-53]).item() == 10
    assert drawn_tokens(logits, 1e-300, [0.5]).item() == logits.argmax()


def test_draws_are_known_beforehand() -> None:
    generation = Generation(max_new_tokens=3, temperature=1.0)
    numbers = uniform(generation, "a", 0)
    assert numbers == uniform(replace(generation, samples=5), "a", 0)
    assert uniform(replace(generation, max_new_tokens=9), "a", 0)[:3] == numbers
    others = [uniform(generation, "a", 1), uniform(generation, "b", 0), uniform(replace(generation, seed=1), "a", 0)]
    assert numbers not in others
    assert all(0 <= number < 1 for number in numbers)


@pytest.mark.parametrize("architecture", ["llama", "mamba"])
def test_greedy_means_greedy_whatever_the_model_says_of_penalties(architecture: str) -> None:
    model = made(architecture)
    usual = texts_of(model, PROMPTS[:3])
    own = model.generation_config
    own.update(repetition_penalty=5.0, no_repeat_ngram_size=1, min_new_tokens=30, do_sample=True, top_k=1, max_length=5)
    assert texts_of(model, PROMPTS[:3]) == usual
    assert model.generation_config is own


def test_less_is_written_at_once_when_memory_runs_out() -> None:
    memory.say_less.cache_clear()
    model = made("gpt2").train()
    usual = texts_of(model, PROMPTS)
    with at_most(model, 30) as seen:
        assert texts_of(model, PROMPTS) == usual
    assert 1 <= sum(tokens > 30 for tokens in seen) <= 4
    assert model.training


def test_a_model_that_says_nothing_is_broken() -> None:
    model = made("llama")
    model.lm_head.weight.data[7] = torch.nan
    with pytest.raises(ModelError, match="NaN behind the prompt of"):
        written(model, PROMPTS)


def test_nothing_is_written_of_nothing() -> None:
    assert written(made("llama"), []) == []
