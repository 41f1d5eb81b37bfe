"""`ForgettingCallback` on texts that the live model writes: judged, logged, and training is not disturbed by it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from chaintune import ForgettingCallback
from chaintune.callback.live import encode_task, score_live
from chaintune.errors import ConfigError, DataError, ModelError
from chaintune.models.undisturbed import caches_kept
from chaintune.records import Example, Generation, ScorerRef, Task
from tests import tiny
from tests.reference import random_states
from tests.unit.callback.test_callback import Tracker, dropping, make_trainer, seeded
from tests.unit.tuning.mitigations.plain_trainer import TOKENIZER, weights

PROMPTS = tuple(
    Example(item.id, item.prompt, None, {"owner": item.groups["owner"]}, item.cluster) for item in tiny.examples(12)
)
TASK = Task(
    "said", "safety", "1", (), PROMPTS, ("owner",), "made up", "none",
    measures=("generation",), generation=Generation(max_new_tokens=6), scorers=(ScorerRef("contains", {"any": ["e"]}),),
)  # fmt: skip
SAMPLED = replace(TASK, generation=Generation(max_new_tokens=4, samples=2, temperature=1.0, seed=3))


@pytest.mark.parametrize(
    ("task", "options"),
    [
        (TASK, {}),
        (SAMPLED, {}),
        (TASK, {"activation_checkpointing": True}),
    ],
)
def test_training_ends_with_the_same_bits_and_losses(tmp_path: Path, task: Task, options: dict[str, Any]) -> None:
    ends = []
    for watched in (False, True):
        seeded()
        model, tracker = dropping("full"), Tracker()
        model.config.use_cache = not options
        trainer = make_trainer(tmp_path / str(watched), model, tracker, **options)
        modes = []
        if watched:
            watch = ForgettingCallback(task, every=3, by=["owner"], resamples=200).attach(trainer)
        trainer.train()
        modes = [module.training for module in model.modules()]
        flags = (model.config.use_cache, model.generation_config.to_json_string())
        ends.append((weights(model), tracker.losses, random_states(), modes, flags))
    for name, weight in ends[0][0].items():
        assert torch.equal(weight, ends[1][0][name]), name
    assert ends[0][1:] == ends[1][1:]
    texts = watch.scores_after["said"].table.column("texts").to_pylist()
    assert [len(own) for own in texts] == [task.generation.samples] * 12
    assert watch.scores_before["said"].table.column("texts").to_pylist() != texts
    told = tracker.told[-1][1]
    assert told["accuracy/said"] == pytest.approx(watch.scores_after["said"].item_scores().mean())
    assert "forgetting/said" in told


def test_the_same_model_writes_the_same_and_its_flags_stay() -> None:
    model = tiny.make_model().train()
    model.config.use_cache = False
    encoded = encode_task(SAMPLED, TOKENIZER, 256)
    once, again = (score_live(model, encoded) for _ in range(2))
    assert once is not None
    assert again is not None
    assert once.table == again.table
    assert model.training
    assert model.config.use_cache is False


def test_flags_that_writing_changes_are_put_back() -> None:
    model = tiny.make_model()
    before = model.generation_config.to_dict()
    with caches_kept(model):
        model.config.use_cache = False
        model.generation_config.pad_token_id = 7
    assert model.config.use_cache is True
    assert model.generation_config.to_dict() == before


def test_shares_of_outcomes_are_logged(tmp_path: Path) -> None:
    tracker = Tracker()
    task = replace(TASK, scorers=(ScorerRef("refusal", {}),))
    trainer = make_trainer(tmp_path, tiny.make_model(), tracker)
    watch = ForgettingCallback(task, every=100, resamples=200).attach(trainer)
    trainer.train()
    for _, told in (tracker.told[0], tracker.told[-1]):
        shares = {name: value for name, value in told.items() if name.startswith("answers/said/")}
        assert shares
        assert sum(shares.values()) == pytest.approx(1)
    assert watch.comparison.overall.answers_after.n_outcomes == 12


def test_a_model_that_breaks_is_noted_and_training_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Breaks(TrainerCallback):
        def on_step_end(self, *_: Any, model: Any = None, **__: Any) -> None:
            torch.nn.init.constant_(model.lm_head.weight, float("nan"))

    trainer = make_trainer(tmp_path, tiny.make_model(), tracker := Tracker(), max_steps=2)
    trainer.add_callback(Breaks())
    watch = ForgettingCallback(TASK, every=1, resamples=200).attach(trainer)
    trainer.train()
    assert trainer.state.global_step == 2
    assert tracker.told
    assert "what the model says on said is no number" in caplog.text
    assert watch.comparisons == {}
    with pytest.raises(ModelError, match="its weights are broken"):
        trainer.train()


def test_the_scorer_that_decides_must_not_ask_a_model(tmp_path: Path) -> None:
    asks, words = ScorerRef("classifier", {"model": "toxic", "label": "toxic"}), ScorerRef("refusal", {})
    decided = replace(TASK, scorers=(asks, words), metrics=("refusal",))
    assert encode_task(decided, TOKENIZER, 256).metric.name == "refusal"
    with pytest.raises(ConfigError, match="scorer 'classifier' asks a model of its own"):
        encode_task(replace(TASK, scorers=(words, asks), metrics=("classifier",)), TOKENIZER, 256)
    unknown = ScorerRef(f"{tmp_path / 'own.py'}:own", {})
    (tmp_path / "own.py").write_text("raise SystemError\n")
    with pytest.raises(ConfigError, match="trust"):
        encode_task(replace(TASK, scorers=(words, unknown), metrics=("refusal",)), TOKENIZER, 256)


def test_scores_of_texts_that_were_written_otherwise_are_no_start(tmp_path: Path) -> None:
    longer = replace(TASK, generation=Generation(max_new_tokens=9))
    before = score_live(tiny.make_model(), encode_task(longer, TOKENIZER, None))
    assert before is not None
    assert before.provenance["generation"] == longer.generation.to_json()
    watch = ForgettingCallback(TASK, before=[before])
    trainer = make_trainer(tmp_path, tiny.make_model())
    watch.attach(trainer)
    with pytest.raises(DataError, match=r"task 'said': .* texts that were written by .*9.*would write by .*6"):
        trainer.train()


def test_a_scorer_that_asks_a_model_is_refused_in_a_sentence(tmp_path: Path) -> None:
    task = replace(TASK, scorers=(ScorerRef("classifier", {"model": "toxic", "label": "toxic"}),))
    trainer = make_trainer(tmp_path, tiny.make_model())
    with pytest.raises(ConfigError, match="task 'said': scorer 'classifier' asks a model of its own, and a training"):
        ForgettingCallback(task).attach(trainer)
