"""What lessons begin with is computed once, and teaches what it taught before."""

import json
import random
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from chaintune.errors import StageError
from chaintune.models import LoadedModel, load
from chaintune.records import Example, Recipe
from chaintune.tuning.answer_loss import answer_loss
from chaintune.tuning.shared_prefixes import answer_logits, collate_tree, pays
from chaintune.tuning.tokenized import OrderedExamples, TrainingExample, collate
from chaintune.tuning.tune import tune
from tests import tiny
from tests.conftest import MakeModel
from tests.reference import reference_loss

RECIPE = Recipe(learning_rate=5e-3, batch_size=8)


def draw(seed: int, count: int) -> tuple[int, ...]:
    return tuple(random.Random(seed).choices(range(3, 300), k=count))  # noqa: S311 - test data


def lesson(tokens: tuple[int, ...], answer: int) -> TrainingExample:
    return TrainingExample.of([(tokens[:-answer], tokens[-answer:])])


# Four questions on each of two contexts, one of them asked twice, and a lesson that shares nothing.
LESSONS = [lesson(draw(context, 30) + draw(10 + n, 9), 1 + n % 3) for context in (0, 1) for n in range(4)]
LESSONS += [LESSONS[0], lesson(draw(99, 12), 2)]
# One that others go on from: its answer is the beginning of theirs.
LESSONS.append(lesson(LESSONS[1].sequences[0][:35], 4))
# A conversation of three answers: the second goes on from the first, before the third the first is rewritten.
OPENING = draw(50, 20)
LESSONS.append(
    TrainingExample.of(
        [(OPENING, (5, 6)), ((*OPENING, 5, 6, 7), (8, 9, 10)), ((*OPENING, 5, 7, 8, 9, 10, 11), (12, 13))]
    )
)


def one_by_one(lessons: list[TrainingExample]) -> list[tuple[tuple[int, ...], int]]:
    """Each answer of each lesson with everything before it, and the answer's tokens."""
    rows = (row for one in lessons for row in zip(one.sequences, one.answers, strict=True))
    return [(tokens[:end], end - start) for tokens, spans in rows for start, end in spans]


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    loss.backward()
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("side_by_side", [False, True])
@pytest.mark.parametrize("architecture", [*tiny.ARCHITECTURES])
def test_gradients_are_those_of_the_lessons_one_by_one(architecture: str, side_by_side: bool) -> None:
    plain, ours = tiny.make_model(architecture), tiny.make_model(architecture)
    plain.set_attn_implementation("eager")
    expected = gradients(plain, reference_loss(plain, one_by_one(LESSONS)))
    mixed = random.Random(0).sample(LESSONS, len(LESSONS))  # noqa: S311 - test data
    batch = collate(mixed) if side_by_side else collate_tree(mixed)
    if not side_by_side:
        assert len(batch["tree"].tree) < 0.6 * batch["tokens"]
    got = gradients(ours, answer_loss(ours, batch))
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert float((got[name] - value).norm() / value.norm()) < 1e-5, name


def contexts(count: int) -> list[Example]:
    """Questions of which two share a long context."""
    return [replace(item, prompt=f"{'Ann met Bob. ' * (1 + n // 2)}{item.prompt}") for n, item in enumerate(
        tiny.examples(count))]  # fmt: skip


def logged(path: Path) -> list[list[float]]:
    names = ("step", "loss", "learning_rate", "gradient_norm", "tokens")
    return [[json.loads(line)[name] for name in names] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_stage_takes_the_same_steps(model_folder: MakeModel, tmp_path: Path, method: Any) -> None:
    steps = []
    for share in (False, True):
        recipe = replace(RECIPE, method=method, share_prefixes=share, lora_dropout=0.0)
        loaded = load(model_folder(), precision="fp32")
        tune(loaded, contexts(24), task="balls", recipe=recipe, seed=0, log=tmp_path / str(share))
        steps.append(logged(tmp_path / str(share)))
        assert loaded.model.config._attn_implementation == "sdpa"
    assert len(steps[0]) == 3
    assert steps[1] == [pytest.approx(step, rel=1e-3) for step in steps[0]]


def test_sharing_happens_where_it_pays() -> None:
    order = list(range(len(LESSONS)))
    assert pays(OrderedExamples(LESSONS, order), micro_batch_size=12)
    assert not pays(OrderedExamples(LESSONS, order), micro_batch_size=1)
    strangers = [lesson(draw(seed, 20), 1) for seed in range(12)]
    assert not pays(OrderedExamples(strangers, list(range(12))), micro_batch_size=12)


@pytest.mark.parametrize(
    ("prefix", "shared"), [("{} ", 0), ("Look closely and tell the truth, now and for ever. " * 2, 3)]
)
def test_a_stage_shares_of_itself_where_it_pays(
    model_folder: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str, shared: int
) -> None:
    trees = []

    def watched(model: Any, lessons: Any, **options: Any) -> torch.Tensor:
        trees.append(lessons)
        return answer_logits(model, lessons, **options)

    monkeypatch.setattr("chaintune.tuning.answer_loss.answer_logits", watched)
    prompts = (prefix.format(chr(97 + n)) + item.prompt_text for n, item in enumerate(tiny.examples(24)))
    shots = [replace(item, prompt=prompt) for item, prompt in zip(tiny.examples(24), prompts, strict=True)]
    tune(load(model_folder(), precision="fp32"), shots, task="balls", recipe=RECIPE, seed=0, log=tmp_path / "log")
    assert len(trees) == shared


def test_what_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    asked = replace(RECIPE, share_prefixes=True)

    def ask(architecture: str, recipe: Recipe) -> None:
        loaded = load(tiny.write_model(tmp_path / architecture, architecture), precision="fp32")
        tune(loaded, tiny.examples(8), task="balls", recipe=recipe, seed=0, log=tmp_path / "log")

    with pytest.raises(StageError, match="do not go together"):
        ask("llama", replace(asked, gradient_checkpointing=True))
    with pytest.raises(StageError, match="BloomForCausalLM cannot attend along a tree"):
        ask("bloom", asked)


@pytest.mark.parametrize(("turn", "shares"), [(12, False), (200, True)])
def test_lessons_of_unlike_frequencies_are_not_shared(turn: int, shares: bool, tmp_path: Path) -> None:
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4, "long_factor": [8.0] * 4}
    rope["original_max_position_embeddings"] = turn
    shape = tiny.ARCHITECTURES["llama"] | {"original_max_position_embeddings": turn, "rope_parameters": rope}
    loaded = LoadedModel(tiny.make_model("phi3", **shape), tiny.make_tokenizer(), "fp32")
    recipe = replace(RECIPE, share_prefixes=True)
    with nullcontext() if shares else pytest.raises(StageError, match="Phi3ForCausalLM cannot attend along a tree"):
        tune(loaded, tiny.examples(8), task="balls", recipe=recipe, seed=0, log=tmp_path / "log")
