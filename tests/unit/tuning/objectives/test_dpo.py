"""DPO's loss and reference beside the definitions, written out, and beside TRL's trainer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from chaintune.errors import ModelError
from chaintune.models import LoadedModel, load
from chaintune.models.taught import encode_taught
from chaintune.records import Example, Message, Preference, Recipe
from chaintune.scoring.backends.transformers import TransformersBackend
from chaintune.scoring.checkpoint import measure_checkpoint
from chaintune.scoring.divergence import divergence
from chaintune.scoring.measures import MEASURES
from chaintune.tuning.objectives import Objective, objective_of
from chaintune.tuning.objectives.dpo import OBJECTIVE, Pair
from chaintune.tuning.tokenized import prepared, tokenized
from chaintune.tuning.tune import tune
from tests import tiny
from tests.conftest import MakeModel
from tests.reference import reference_logprobs

PAIRS = [
    replace(pair, prompt=f"{'Ann met Bob. ' * 3}{pair.prompt}", id=f"p{n:02}") for n, pair in enumerate(tiny.pairs(12))
]
TALKS = [
    replace(pair, prompt=(Message("user", pair.prompt_text),), target=Preference("red", "black, or blue"))
    for pair in PAIRS
]


def parent(model_folder: MakeModel) -> LoadedModel:
    loaded = load(model_folder(), precision="fp32")
    loaded.tokenizer.chat_template = tiny.CHAT
    loaded.model.set_attn_implementation("eager")
    return loaded


def pairs_of(loaded: LoadedModel, examples: list[Example], objective: Objective = OBJECTIVE) -> list[Pair]:
    """The pairs as a stage reads them."""
    pairs = []
    for pair in prepared(loaded, tokenized(loaded, examples, objective, task="pairs"), objective):
        assert isinstance(pair, Pair)
        pairs.append(pair)
    return pairs


def by_hand(before: list[list[float]], now: list[list[float]], lengths: list[list[int]], recipe: Recipe) -> list[float]:
    losses = []
    for old, new, tokens in zip(before, now, lengths, strict=True):
        moved = [b - a for a, b in zip(old, new, strict=True)]
        if recipe.loss == "ipo":
            margin = moved[0] / tokens[0] - moved[1] / tokens[1]
            losses.append((margin - 1 / (2 * recipe.beta)) ** 2)
            continue
        margin = torch.tensor(recipe.beta * (moved[0] - moved[1]), dtype=torch.float64)
        right, wrong = (float(torch.nn.functional.logsigmoid(sign * margin)) for sign in (1, -1))
        losses.append(-(1 - recipe.label_smoothing) * right - recipe.label_smoothing * wrong)
    return losses


@pytest.mark.parametrize("examples", [PAIRS, TALKS], ids=["text", "turns"])
@pytest.mark.parametrize("along_tree", [False, True])
@pytest.mark.parametrize("settings", [{}, {"beta": 0.5, "label_smoothing": 0.2}, {"loss": "ipo", "beta": 0.3}])
def test_the_loss_is_that_of_its_definition(
    settings: dict[str, Any], along_tree: bool, examples: list[Example], model_folder: MakeModel
) -> None:
    loaded = parent(model_folder)
    recipe = Recipe(objective="dpo", **settings)
    objective = objective_of(recipe)
    encoded = [one for (one,) in encode_taught(loaded.tokenizer, examples)]
    before = reference_logprobs(loaded.model, encoded)
    pairs = pairs_of(loaded, examples, objective)
    assert [pytest.approx(pair.reference, rel=1e-5) for pair in pairs] == [tuple(row) for row in before]
    with torch.no_grad():
        for weight in loaded.model.parameters():
            weight.mul_(1.05)
    now = reference_logprobs(loaded.model, encoded)
    lengths = [[len(answer) for answer in one.continuations] for one in encoded]
    expected = by_hand(before, now, lengths, recipe)
    collate = objective.collate_tree if along_tree else objective.collate
    assert collate
    batch = collate(pairs)
    assert batch["items"] == len(pairs)
    with torch.no_grad():
        assert float(objective.loss(loaded.model, batch)) == pytest.approx(sum(expected) / len(expected), rel=1e-4)
        assert float(objective.loss(loaded.model, batch, torch.tensor(3.0))) == pytest.approx(
            sum(expected) / 3, rel=1e-4
        )


def test_shares_of_a_step_add_up_to_it(model_folder: MakeModel) -> None:
    loaded = parent(model_folder)
    pairs = [replace(pair, reference=(-3.0, -4.0)) for pair in pairs_of(loaded, PAIRS)]
    with torch.no_grad():
        whole = float(OBJECTIVE.loss(loaded.model, OBJECTIVE.collate(pairs)))
        items = torch.tensor(float(len(pairs)))
        parts = [OBJECTIVE.collate(part) for part in (pairs[:5], pairs[5:], [])]
        assert sum(float(OBJECTIVE.loss(loaded.model, part, items)) for part in parts) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("collate", [OBJECTIVE.collate, OBJECTIVE.collate_tree])
def test_an_empty_micro_batch_teaches_nothing(collate: Any) -> None:
    model = tiny.make_model()
    batch = collate([])
    assert batch["items"] == batch["tokens"] == 0
    loss = OBJECTIVE.loss(model, batch, torch.tensor(4.0))
    loss.backward()
    assert loss.item() == 0


def test_a_reference_that_is_known_is_not_asked_again(model_folder: MakeModel) -> None:
    loaded = parent(model_folder)
    known = [replace(pair, extra={"reference": [-1.0, -2.0]}) for pair in PAIRS[:2]]
    found = pairs_of(loaded, [*known, *PAIRS[2:]])
    assert [pair.reference for pair in found[:2]] == [(-1.0, -2.0)] * 2
    assert all(pair.reference and pair.reference[0] < -2 for pair in found[2:])


def test_what_cannot_be_read_names_its_task(model_folder: MakeModel) -> None:
    loaded = load(model_folder(), precision="fp32")
    with pytest.raises(ModelError, match="task 'pairs': the model has no chat template"):
        tokenized(loaded, TALKS, OBJECTIVE, task="pairs")
    with pytest.raises(ModelError, match="task 'pairs': the model has no chat template"):
        TransformersBackend(loaded).ended_logprobs(TALKS, task="pairs")
    with pytest.raises(ModelError, match="task 'pairs': the model has no chat template"):
        divergence(loaded, loaded, TALKS, task="pairs")


def test_references_are_measured_without_a_second_look(model_folder: MakeModel) -> None:
    loaded = parent(model_folder)
    asking: dict[str, Any] = {"measure": MEASURES.get("reference"), "task": "pairs", "measure_rounding": True}
    measured = measure_checkpoint(TransformersBackend(loaded), PAIRS, **asking)
    rows = measured.table.select(["chosen_log_probability", "rejected_log_probability"]).to_pylist()
    references = [pair.reference for pair in pairs_of(loaded, PAIRS)]
    assert [tuple(row.values()) for row in rows] == [pytest.approx(pair, rel=1e-5) for pair in references]
    assert "rounding" not in measured.provenance


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_stage_takes_the_chosen_answers_away_from_the_rejected(
    method: Any, share: bool, model_folder: MakeModel, tmp_path: Path
) -> None:
    recipe = Recipe(
        method=method, learning_rate=1e-2, batch_size=4, epochs=3, share_prefixes=share, warmup_fraction=0.0
    )
    done = tune(parent(model_folder), PAIRS, task="pairs", recipe=recipe, seed=0, log=tmp_path / "log")
    assert done.first_loss == pytest.approx(0.6931, abs=1e-3)  # nothing has moved yet: log 2
    assert done.final_loss < done.first_loss - 0.01
