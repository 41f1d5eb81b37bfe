"""Every choice's log-probability equals that of a plain forward pass, whatever runs together."""

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache

from chaintune.models import load, tree_attention
from chaintune.models.encoding import Encoded, encode_examples
from chaintune.models.processes import Rank
from chaintune.models.token_tree import TokenTree
from chaintune.scoring import logprobs, trees
from chaintune.scoring.logprobs import answer_logprobs
from chaintune.scoring.shared_prompts import equal_prefix_batches
from tests import tiny
from tests.conftest import MakeModel
from tests.reference import largest_difference, random_states, reference_logprobs

# The window of the Gemma models here is 8, so many of these prefixes are longer than it.
SHAPES = [(1, (2, 1)), (5, (1, 2, 4)), (5, (3, 3)), (7, (1, 5)), (8, (1, 5)), (9, (2, 5)), (20, (1, 1)), (30, (12, 10))]


def encoded(prefix: int, choices: Sequence[int], *, seed: int = 0) -> Encoded:
    rng = random.Random(f"{seed} {prefix} {choices}")  # noqa: S311 - test data
    draw = [[rng.randrange(3, 300) for _ in range(length)] for length in (prefix, *choices)]
    return Encoded(tuple(draw[0]), tuple(map(tuple, draw[1:])))


EXAMPLES = [encoded(*shape, seed=seed) for shape in SHAPES for seed in range(3)]


LLAMA = tiny.ARCHITECTURES["llama"]
_EXPERTS = {"num_experts": 2, "num_local_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 16}
# Rotary, partly rotary, learned and ALiBi positions; grouped queries; sliding windows; capped attention.
ALONG_TREES: dict[str, dict[str, Any]] = tiny.ARCHITECTURES | {
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "mistral": LLAMA | {"sliding_window": 8},
    "phi": LLAMA | {"num_key_value_heads": 4, "partial_rotary_factor": 0.5},
    "gpt_neox": LLAMA | {"rotary_pct": 0.5},
    "opt": {
        "hidden_size": 32,
        "ffn_dim": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "word_embed_proj_dim": 32,
    },
}
BY_PROMPT: dict[str, dict[str, Any]] = tiny.ALIBI | {
    "gptj": {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4},
    "mamba": {"hidden_size": 32, "state_size": 8, "num_hidden_layers": 2},
    "lfm2": LLAMA | {"layer_types": ["conv", "full_attention"]},
    # These put the window into a mask, which a tree does not get. The probe's branches are shorter than it.
    "phimoe": LLAMA | _EXPERTS | {"sliding_window": 26},
    "qwen2_moe": LLAMA | _EXPERTS | {"sliding_window": 26, "use_sliding_window": True, "max_window_layers": 2},
    # Its layers keep compressed keys in a cache of their own.
    "deepseek_v4": LLAMA | _EXPERTS | {"n_routed_experts": 4, "sliding_window": 16},
    "gpt_oss": LLAMA | {"num_local_experts": 2, "num_experts_per_tok": 1, "layer_types": ["full_attention"] * 2},
}


def plainly(model: Any, items: Sequence[Encoded]) -> list[list[float]]:
    """The fused kernel knows no caps, so it is no reference for models that have them."""
    if hasattr(model, "set_attn_implementation") and model._supports_attention_backend:
        model.set_attn_implementation("eager")
    return reference_logprobs(model, items)


@pytest.mark.parametrize("architecture", [*ALONG_TREES, *BY_PROMPT])
def test_it_agrees_with_a_plain_forward_pass(architecture: str) -> None:
    model = tiny.make_model(architecture, **(ALONG_TREES | BY_PROMPT)[architecture])
    assert tree_attention.takes_trees(model) is (architecture in ALONG_TREES)
    got = answer_logprobs(model, EXAMPLES)
    expected = plainly(model, EXAMPLES)
    assert max(map(max, expected)) - min(map(min, expected)) > 10  # answers differ, so agreement says something
    assert largest_difference(got, expected) < 1e-4


@pytest.mark.parametrize("architecture", ALONG_TREES)
def test_fp32_weights_that_autocast_computes_in_bf16_go_along_trees_too(architecture: str) -> None:
    model = tiny.make_model(architecture, **ALONG_TREES[architecture])
    exact = plainly(model, EXAMPLES)
    with torch.autocast("cpu", torch.bfloat16):
        assert tree_attention.takes_trees(model)
        plain, got = plainly(model, EXAMPLES), answer_logprobs(model, EXAMPLES)
    torch.clear_autocast_cache()
    assert largest_difference(plain, exact) > 1e-3  # it was bf16
    assert largest_difference(got, exact) < 2 * largest_difference(plain, exact)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "autocast"])
def test_a_model_whose_tokens_see_other_branches_is_found_out(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_a_row(model: Any, tree: TokenTree) -> torch.Tensor:
        model.set_attn_implementation("sdpa")
        logits: torch.Tensor = model(input_ids=torch.from_numpy(tree.tokens)[None]).logits[0]
        return logits

    monkeypatch.setattr(tree_attention, "forward_tree", in_a_row)
    model = tiny.make_model().to(torch.bfloat16 if precision == "bf16" else torch.float32)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "autocast"):
        assert not tree_attention.takes_trees(model)


@pytest.mark.parametrize("architecture", ALONG_TREES)
def test_a_long_beginning_that_all_share_is_read_once(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.make_model(architecture, **ALONG_TREES[architecture])
    shots = tuple(random.Random(1).choices(range(3, 300), k=100))  # noqa: S311 - test data
    few_shot = [Encoded(shots + example.prefix, example.continuations) for example in EXAMPLES]
    read, usual = [], trees._read

    def watched(model: Any, tokens: tuple[int, ...]) -> DynamicCache:
        read.append(tokens)
        return usual(model, tokens)

    monkeypatch.setattr(trees, "_read", watched)
    got = answer_logprobs(model, few_shot, batch_tokens=80)
    assert read == [shots]
    assert largest_difference(got, plainly(model, few_shot)) < 1e-4


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "mistral"])
def test_the_fused_kernel_of_gpus_agrees(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.make_model(architecture, **ALONG_TREES[architecture])
    monkeypatch.setattr(tree_attention, "_is_fused", lambda _: True)
    monkeypatch.setattr(tree_attention, "_by_products", None)
    assert largest_difference(answer_logprobs(model, EXAMPLES), reference_logprobs(model, EXAMPLES)) < 1e-4


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_prompts_read_one_by_one_agree_too(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logprobs, "takes_trees", lambda _, **__: False)
    model = tiny.make_model(architecture)
    assert largest_difference(answer_logprobs(model, EXAMPLES), reference_logprobs(model, EXAMPLES)) < 1e-4


def long_rope(turn: int) -> Any:
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4, "long_factor": [1.0, 2.0, 4.0, 8.0]}
    rope["original_max_position_embeddings"] = turn
    return tiny.make_model("phi3", **LLAMA, original_max_position_embeddings=turn, rope_parameters=rope)


@pytest.mark.parametrize("way", [answer_logprobs, logprobs.alone_logprobs])
def test_what_stands_beside_a_text_does_not_choose_its_frequencies(way: Any) -> None:
    """LongRoPE's turn at 24 tokens falls between examples, and between the choices of some."""
    model = long_rope(24)
    items = [*EXAMPLES, *(encoded(20, choices) for choices in ((2, 9), (1, 9), (9, 12), (3, 2)))]
    assert {len(item.prefix) > 24 for item in items} == {True, False}
    assert largest_difference(way(model, items), reference_logprobs(model, items)) < 1e-4
    assert largest_difference(reference_logprobs(model, items), reference_logprobs(long_rope(99), items)) > 0.1


def test_texts_before_the_turn_to_other_frequencies_go_along_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    model, short = long_rope(24), [item for item in EXAMPLES if item.longest_tokens <= 24]
    assert not tree_attention.takes_trees(model)
    assert not tree_attention.takes_trees(model, longest_tokens=25)
    assert tree_attention.takes_trees(model, longest_tokens=24)
    monkeypatch.setattr(logprobs, "shared_prompt_logprobs", None)
    assert largest_difference(answer_logprobs(model, short), reference_logprobs(model, short)) < 1e-4


def test_dynamic_frequencies_stay_as_they_are_within_the_context() -> None:
    rope = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 8.0}
    model = tiny.make_model("llama", **LLAMA | {"max_position_embeddings": 42, "rope_parameters": rope})
    assert max(item.longest_tokens for item in EXAMPLES) == 42
    usual = reference_logprobs(model, EXAMPLES)
    assert largest_difference(answer_logprobs(model, EXAMPLES), usual) < 1e-4
    assert reference_logprobs(model, EXAMPLES) == usual


def test_a_cache_of_the_old_kind_is_not_handed_on() -> None:
    def old(_model: Any, _arguments: Any, out: Any) -> Any:
        if out.past_key_values is not None:
            out.past_key_values = tuple((layer.keys, layer.values) for layer in out.past_key_values.layers)
        return out

    model = tiny.make_model("bloom")
    usual = reference_logprobs(model, EXAMPLES)
    model.register_forward_hook(old)
    assert largest_difference(answer_logprobs(model, EXAMPLES), usual) < 1e-4


def test_examples_that_share_their_beginnings_agree() -> None:
    """As BBQ's do: two questions on one context, a context that goes on."""
    model = tiny.make_model()
    context, more = EXAMPLES[-1].prefix, EXAMPLES[-4].prefix
    prefixes = [context, context[:17], context + more, context + more[:5], context[:17] + more]
    together = [Encoded(prefix, EXAMPLES[-1].continuations) for prefix in prefixes for _ in range(2)]
    assert largest_difference(answer_logprobs(model, together), reference_logprobs(model, together)) < 1e-4
    distinct = {(*e.prefix, *c[:-1])[:n] for e in together for c in e.continuations for n in range(1, 99)}
    assert trees.count_tokens(together, bin_tokens=10_000) == trees.distinct_tokens(together) == len(distinct)
    assert trees.count_tokens(together, bin_tokens=20) > len(distinct)


@pytest.mark.parametrize("way", [answer_logprobs, logprobs.alone_logprobs])
@pytest.mark.parametrize("trees", [True, False])
def test_of_several_processes_the_first_one_says_how(way: Any, trees: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a bin of one and a batch of another would have the same number, and some examples none at all."""
    asked: list[bool] = []

    def first_says(_self: Rank, answer: bool, _device: torch.device) -> bool:
        asked.append(answer)
        return trees

    monkeypatch.setattr(Rank, "first_says", first_says)
    monkeypatch.setattr(logprobs, "takes_trees", lambda _, **__: not trees)
    model, dealt = tiny.make_model(), [way(tiny.make_model(), EXAMPLES, share=Rank(rank, 2)) for rank in range(2)]
    assert asked == [not trees, not trees]
    summed = [[a + b for a, b in zip(x, y, strict=True)] for x, y in zip(*dealt, strict=True)]
    assert largest_difference(summed, reference_logprobs(model, EXAMPLES)) < 1e-4


def test_the_log_says_once_that_prompts_are_read_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    logprobs._say_once.cache_clear()
    model = tiny.make_model("bloom")
    with caplog.at_level("INFO"):
        answer_logprobs(model, EXAMPLES[:2])
        answer_logprobs(model, EXAMPLES[:2])
    assert [record.message.split()[0] for record in caplog.records] == ["BloomForCausalLM"]


def test_a_sliding_window_hides_what_lies_before_it() -> None:
    """What the test above takes for granted: in these models the far past is seen by one layer only."""
    config = tiny.make_model("gemma2").config
    assert config.sliding_window == 8
    assert set(config.layer_types) == {"sliding_attention", "full_attention"}


def test_a_model_with_an_adapter_agrees(model_folder: MakeModel, adapter_folder: Any) -> None:
    adapted = load(model_folder(), adapter=adapter_folder, precision="fp32").model
    got = answer_logprobs(adapted, EXAMPLES)
    assert largest_difference(got, reference_logprobs(adapted, EXAMPLES)) < 1e-4
    plain = load(model_folder(), precision="fp32").model
    assert largest_difference(got, answer_logprobs(plain, EXAMPLES)) > 0.1


@pytest.mark.parametrize("kind", ["byte-level", "byte-level with BOS", "sentencepiece"])
def test_real_texts_agree(kind: tiny.Tokens) -> None:
    model = tiny.make_model()
    texts = encode_examples(tiny.make_tokenizer(kind), tiny.examples(24))
    assert largest_difference(answer_logprobs(model, texts), reference_logprobs(model, texts)) < 1e-4


def test_bf16_is_close() -> None:
    model = tiny.make_model().bfloat16()
    got = answer_logprobs(model, EXAMPLES)
    assert 0 < largest_difference(got, reference_logprobs(tiny.make_model(), EXAMPLES)) < 1


@pytest.mark.parametrize("batch_tokens", [1, 50, 300, 100_000])
def test_the_batch_size_changes_next_to_nothing(batch_tokens: int) -> None:
    model = tiny.make_model("gemma2")
    usual = answer_logprobs(model, EXAMPLES)
    assert largest_difference(answer_logprobs(model, EXAMPLES, batch_tokens=batch_tokens), usual) < 1e-5


def test_the_order_of_examples_changes_next_to_nothing() -> None:
    model = tiny.make_model()
    order = random.Random(0).sample(range(len(EXAMPLES)), len(EXAMPLES))  # noqa: S311 - test data
    shuffled = answer_logprobs(model, [EXAMPLES[index] for index in order])
    usual = answer_logprobs(model, EXAMPLES)
    assert largest_difference(shuffled, [usual[index] for index in order]) < 1e-5


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was_found(training: bool) -> None:
    model = tiny.make_model("gpt2").train(training)  # GPT-2 has dropout
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    hooks = len(model.lm_head._forward_pre_hooks)
    states = random_states()
    first, second = answer_logprobs(model, EXAMPLES[:4]), answer_logprobs(model, EXAMPLES[:4])
    assert first == second  # no dropout
    assert model.training is training
    assert len(model.lm_head._forward_pre_hooks) == hooks
    assert all(weight.equal(before[name]) for name, weight in model.state_dict().items())
    assert random_states() == states


def test_after_an_error_the_model_is_left_as_it_was_found() -> None:
    model = tiny.make_model().train()
    with pytest.raises(IndexError):
        answer_logprobs(model, [Encoded((1, 2), ((100_000, 1), (3,)))])
    assert model.training
    assert not model.lm_head._forward_pre_hooks


def test_progress_ends_with_everything_done() -> None:
    told: list[int] = []
    answer_logprobs(tiny.make_model(), EXAMPLES, batch_tokens=100, on_scored=told.append)
    assert told == sorted(told)
    assert told[-1] == len(EXAMPLES)
    assert len(told) > 3


def test_no_examples_give_nothing() -> None:
    assert answer_logprobs(tiny.make_model(), []) == []


@given(
    shapes=st.lists(
        st.tuples(st.integers(1, 5), st.lists(st.integers(1, 4), min_size=2, max_size=3).map(tuple)), max_size=12
    ),
    batch_tokens=st.integers(1, 60),
    batch_answers=st.integers(1, 20),
)
@settings(deadline=None)
def test_batches_hold_each_example_once_and_prefixes_of_one_length(
    shapes: list[tuple[int, tuple[int, ...]]], batch_tokens: int, batch_answers: int
) -> None:
    examples = [encoded(*shape) for shape in shapes]
    batches = equal_prefix_batches(examples, batch_tokens=batch_tokens, batch_answers=batch_answers)
    assert sorted(index for batch in batches for index in batch) == list(range(len(examples)))
    lengths = [{len(examples[index].prefix) for index in batch} for batch in batches]
    assert all(len(found) == 1 for found in lengths)
    assert [found.pop() for found in lengths] == sorted(
        (len(examples[batch[0]].prefix) for batch in batches), reverse=True
    )
    for batch in batches:
        cost = sum(examples[i].longest_tokens * len(examples[i].continuations) for i in batch)
        assert len(batch) == 1 or cost <= batch_tokens
        assert len(batch) == 1 or sum(sum(map(len, examples[i].continuations)) for i in batch) <= batch_answers


def test_a_large_vocabulary_makes_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    model = tiny.make_model()
    usual = answer_logprobs(model, EXAMPLES)
    monkeypatch.setattr(logprobs, "BATCH_LOGITS", 20 * model.config.vocab_size)
    assert largest_difference(answer_logprobs(model, EXAMPLES, on_scored=told.append), usual) < 1e-5
    assert max(after - before for before, after in pairwise([0, *told])) <= 10


def test_a_large_vocabulary_leaves_bins_long_where_a_gpu_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a prompt only the end predicts, so its rows of logits are few where its nodes are many."""
    sizes: list[tuple[int, int]] = []
    usual_logits = tree_attention.logits_at

    def watched(model: Any, tree: TokenTree, nodes: list[int], **options: Any) -> torch.Tensor:
        sizes.append((len(tree), len(nodes)))
        return usual_logits(model, tree, nodes, **options)

    monkeypatch.setattr(trees, "logits_at", watched)
    model = tiny.make_model()
    monkeypatch.setattr(logprobs, "BATCH_LOGITS", 60 * model.config.vocab_size)
    expected = answer_logprobs(model, EXAMPLES)
    assert max(nodes for nodes, _ in sizes) <= 60  # as it was, so that scores of a CPU keep their bits
    few = len(sizes)
    sizes.clear()
    monkeypatch.setattr(logprobs, "_on_cpu", lambda _: False)
    assert largest_difference(answer_logprobs(model, EXAMPLES), expected) < 1e-5
    assert len(sizes) < few
    assert max(nodes for nodes, _ in sizes) > 60
    assert max(rows for _, rows in sizes) <= 60
