"""`ForgettingCallback` in a plain `transformers.Trainer`: it sees what there is to see, and changes nothing."""

import random
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, default_data_collator

from chaintune import ForgettingCallback
from chaintune.callback.live import encode_task, score_live
from chaintune.errors import ConfigError, DataError, ModelError
from chaintune.gate import judge
from chaintune.models import LoadedModel
from chaintune.models.adapters import new_adapter
from chaintune.records import Gate, Scores, Task
from tests import tiny
from tests.reference import random_states
from tests.unit.tuning.mitigations.plain_trainer import TOKENIZER, Texts, arguments, weights

TASK = Task("colours", "safety", "1", (), tuple(tiny.examples(24)), ("owner",), "made up", "none")
DATA = Texts(16, "box")
STRICT = "budgets: [{task: colours, forgetting: -0.9}]"
WIDE = "budgets: [{task: colours, forgetting: 0.99}]"


def test_tasks_may_be_the_file_of_a_study(tmp_path: Path) -> None:
    tiny.write_task(tmp_path / "items.jsonl", count=24)
    own = "path: items.jsonl, columns: {groups: {whose: groups.owner}}, train: none"
    file = tmp_path / "mine.yaml"
    file.write_text(f"tasks:\n  mine: {{{own}, test: 6}}\n  more: {{{own}}}\n")
    for tasks in (file, str(file)):
        ForgettingCallback(tasks, by=["whose"])
        with pytest.raises(ConfigError, match=r"no example has a group on 'owner'; .*whose"):
            ForgettingCallback(tasks, by=["owner"], test=8)
    with pytest.raises(DataError, match="100 "):
        ForgettingCallback(file, test=100)


class Tracker(TrainerCallback):
    """What a tracker is told, beside the losses."""

    def __init__(self) -> None:
        self.told: list[tuple[int, dict[str, float]]] = []
        self.losses: list[tuple[int, float]] = []

    def on_log(self, _args: Any, state: Any, _control: Any, logs: Any = None, **_: Any) -> None:
        ours = {name: value for name, value in logs.items() if "/" in name}
        if ours:
            self.told.append((state.global_step, ours))
        if "loss" in logs:
            self.losses.append((state.global_step, logs["loss"]))


def make_trainer(folder: Path, model: Any, tracker: Tracker | None = None, **options: Any) -> Trainer:
    """Two passes over 16 rows, 8 steps; every one of them logged."""
    given = {"logging_strategy": "steps", "logging_steps": 1, "learning_rate": 2e-2} | options
    trackers = [tracker] if tracker else []
    return Trainer(
        model=model,
        args=arguments(folder, **given),
        train_dataset=DATA,
        data_collator=default_data_collator,
        processing_class=TOKENIZER,
        callbacks=trackers,
    )


def dropping(kind: str) -> Any:
    """A model in which dropout makes every step depend on the random state."""
    model = tiny.make_model("gpt2")
    if kind == "lora":
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return new_adapter(model, LoraConfig(task_type="CAUSAL_LM", r=4, lora_dropout=0.2, fan_in_fan_out=True))
    return model


def seeded() -> None:
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002 - what the test is about
    torch.manual_seed(5)


def policy(folder: Path, text: str) -> Path:
    path = folder / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("full", {}),
        ("full", {"activation_checkpointing": True, "gradient_accumulation_steps": 2}),
        ("full", {"bf16": True}),
        ("lora", {"activation_checkpointing": True}),
    ],
)
def test_training_ends_with_the_same_bits_and_losses(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    ends: list[tuple[Mapping[str, torch.Tensor], Any, Any]] = []
    known = replace(TASK, test=tuple(tiny.known_to(dropping(kind).eval(), TOKENIZER, TASK.test)))
    for watched in (False, True):
        seeded()
        model, tracker = dropping(kind), Tracker()
        trainer = make_trainer(tmp_path / str(watched), model, tracker, **options)
        if watched:
            wide = policy(tmp_path, WIDE)
            watch = ForgettingCallback(known, every=3, by=["owner"], policy=wide, keep_best=True, resamples=200).attach(
                trainer
            )
        before = weights(model)
        trainer.train()
        assert any(not torch.equal(before[name], weight) for name, weight in weights(model).items())
        ends.append((weights(model), tracker.losses, random_states()))
    assert len(watch.scores_after["colours"]) == 24
    assert watch.kept_step == trainer.state.global_step == tracker.told[-1][0]
    for name, weight in ends[0][0].items():
        assert torch.equal(weight, ends[1][0][name]), name
    assert ends[0][1] == ends[1][1]
    assert ends[0][2] == ends[1][2]


def test_dropout_tells_random_states_apart(tmp_path: Path) -> None:
    """The test above could not fail if nothing drew."""
    ends = []
    for drawn in (0, 1):
        seeded()
        model = dropping("full")
        trainer = make_trainer(tmp_path, model)

        class Draws(TrainerCallback):
            def on_step_end(self, *_: Any, drawn: int = drawn, **__: Any) -> None:
                torch.rand(drawn)

        trainer.add_callback(Draws())
        trainer.train()
        ends.append(weights(model))
    assert not all(torch.equal(weight, ends[1][name]) for name, weight in ends[0].items())


def test_scores_are_those_of_scoring_and_logs_those_of_the_comparison(tmp_path: Path) -> None:
    model, tracker = tiny.make_model(), Tracker()
    start = tiny.score(LoadedModel(model, TOKENIZER, "fp32"), TASK.test, task="colours")
    trainer = make_trainer(tmp_path, model, tracker)
    watch = ForgettingCallback([TASK], every=3, by=["owner"], worst=2, resamples=200).attach(trainer)
    trainer.train()
    end = tiny.score(LoadedModel(model, TOKENIZER, "fp32"), TASK.test, task="colours")
    assert watch.scores_before["colours"].table == start.table
    assert watch.scores_after["colours"].table == end.table
    assert [step for step, _ in tracker.told] == [0, 3, 6, 8]
    assert tracker.told[0][1]["accuracy/colours"] == pytest.approx(start.item_scores().mean())
    last, found = tracker.told[-1][1], watch.comparison
    assert last["forgetting/colours"] == found.overall.forgetting.value
    assert last["forgetting/colours/low"] == found.overall.forgetting.low
    told = {row.group for row in found.groups if f"forgetting/colours/owner/{row.group}" in last}
    lost = max(found.groups, key=lambda row: row.forgetting.value)
    assert lost.group in told
    assert last[f"biased_forgetting/colours/owner/{lost.group}/high"] == lost.biased_forgetting.high
    assert last["forgetting/seconds"] > 0
    assert [line["step"] for line in trainer.state.log_history if "forgetting/colours" in line] == [3, 6, 8]
    assert len(tracker.losses) == 8


def test_score_files_of_every_step_lie_in_the_output_folder(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, tiny.make_model())
    watch = ForgettingCallback(TASK, every=4).attach(trainer)
    trainer.train()
    assert sorted(path.name for path in (tmp_path / "forgetting").iterdir()) == [
        "step-000000",
        "step-000004",
        "step-000008",
    ]
    last = Scores.read(tmp_path / "forgetting" / "step-000008" / "colours.parquet")
    assert last.table == watch.scores_after["colours"].table
    assert last.provenance["step"] == "8"
    watch.write(tmp_path / "two")
    assert Scores.read(tmp_path / "two" / "before" / "colours.parquet").provenance["step"] == "0"


def test_a_budget_that_is_exceeded_ends_the_training(tmp_path: Path) -> None:
    trainer, tracker = make_trainer(tmp_path, tiny.make_model(), tracker := Tracker()), tracker
    watch = ForgettingCallback(TASK, every=2, policy=policy(tmp_path, STRICT), stop=True).attach(trainer)
    trainer.train()
    assert (trainer.state.global_step, watch.gate and watch.gate.answer, watch.kept_step) == (2, "fail", None)
    assert [step for step, _ in tracker.told] == [0, 2]
    assert tracker.told[-1][1]["gate/fail"] == 1.0


def test_without_stop_or_keep_a_policy_only_tells(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, tiny.make_model())
    watch = ForgettingCallback(TASK, every=4, policy=policy(tmp_path, STRICT)).attach(trainer)
    trainer.train()
    assert (trainer.state.global_step, watch.gate and watch.gate.answer) == (8, "fail")
    assert not (tmp_path / "forgetting" / "best").exists()


def test_the_kept_model_is_the_latest_that_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["pass", "pass", "inconclusive", "fail"])

    def as_told(*arguments: Any, looks: int) -> Gate:
        assert looks == 4  # that 8 steps make, the first among them too
        gate, answer = judge(*arguments, looks=looks), next(answers)
        return replace(gate, judgements=tuple(replace(one, answer=answer) for one in gate.judgements))  # type: ignore[arg-type]

    monkeypatch.setattr("chaintune.callback.callback.judge", as_told)
    trainer = make_trainer(tmp_path, tiny.make_model())
    watch = ForgettingCallback(TASK, every=2, policy=policy(tmp_path, WIDE), keep_best=True).attach(trainer)
    trainer.train()
    assert watch.kept_step == 4
    best = AutoModelForCausalLM.from_pretrained(tmp_path / "forgetting" / "best").eval()
    again = tiny.score(LoadedModel(best, TOKENIZER, "fp32"), TASK.test, task="colours")
    assert again.table == Scores.read(tmp_path / "forgetting" / "step-000004" / "colours.parquet").table
    assert not (tmp_path / "forgetting" / "best.partial").exists()


def test_a_resumed_training_is_held_against_its_first_start(tmp_path: Path) -> None:
    seeded()
    start = tiny.make_model()
    expected = tiny.score(LoadedModel(start, TOKENIZER, "fp32"), TASK.test, task="colours")
    saving: dict[str, Any] = {"save_strategy": "steps", "save_steps": 4, "save_only_model": False}
    trainer = make_trainer(tmp_path, start, max_steps=4, num_train_epochs=1, **saving)
    ForgettingCallback(TASK, every=4).attach(trainer)
    trainer.train()
    trainer = make_trainer(tmp_path, tiny.make_model(seed=9), **saving)
    watch = ForgettingCallback(TASK, every=4).attach(trainer)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert trainer.state.global_step == 8
    assert watch.scores_before["colours"].table == expected.table


def test_scores_of_an_earlier_model_can_be_given(tmp_path: Path) -> None:
    other = score_live(tiny.make_model(seed=4), encode_task(TASK, TOKENIZER, None))
    assert other is not None
    other.write(tmp_path / "other.parquet")
    trainer = make_trainer(tmp_path, tiny.make_model(), max_steps=1)
    watch = ForgettingCallback(TASK, before=tmp_path / "other.parquet").attach(trainer)
    trainer.train()
    assert watch.scores_before["colours"].table == other.table
    assert watch.comparison.overall.before.value == pytest.approx(other.item_scores().mean())


def test_what_is_frozen_in_evaluation_mode_stays_so(tmp_path: Path) -> None:
    model = tiny.make_model("gpt2").train()
    model.transformer.h[0].eval()
    model.config.use_cache = False
    attention = model.config._attn_implementation
    modes = [module.training for module in model.modules()]
    assert score_live(model, encode_task(TASK, TOKENIZER, 256)) is not None
    assert [module.training for module in model.modules()] == modes
    assert len(set(modes)) == 2
    assert (model.config.use_cache, model.config._attn_implementation) == (False, attention)
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
    model.train()(input_ids=torch.arange(8)[None], labels=torch.arange(8)[None]).loss.backward()


def test_a_model_that_breaks_is_told_and_not_compared(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Breaks(TrainerCallback):
        def on_step_end(self, *_: Any, model: Any = None, **__: Any) -> None:
            torch.nn.init.constant_(model.lm_head.weight, float("nan"))

    trainer = make_trainer(tmp_path, tiny.make_model(), tracker := Tracker(), max_steps=1)
    trainer.add_callback(Breaks())
    watch = ForgettingCallback(TASK, policy=policy(tmp_path, WIDE), keep_best=True).attach(trainer)
    trainer.train()
    assert "what the model says on colours is no number" in caplog.text
    assert (watch.comparisons, watch.kept_step) == ({}, None)
    assert tracker.told[-1][1]["gate/pass"] == 0.0
    with pytest.raises(ModelError, match="its weights are broken"):
        trainer.train()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"every": 0}, "at least 1"),
        ({"stop": True}, "name one as policy="),
        ({"by": ["ownr"]}, "did you mean 'owner'"),
        ({"by": ["owner x size"]}, "no example has a group on 'size'"),
        ({"by": ["owner  &  size"]}, "no example has a group on 'size'"),
        ({"level": 2}, "confidence level"),
        ({"tasks": []}, "at least one task"),
        ({"policy": "none.yaml"}, "cannot read the policy"),
    ],
)
def test_what_cannot_be_meant_is_said_before_training(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ForgettingCallback(**({"tasks": TASK} | options))


def test_trainers_that_it_cannot_watch(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"attach\(trainer\)"):
        Trainer(
            model=tiny.make_model(),
            args=arguments(tmp_path),
            train_dataset=DATA,
            callbacks=[ForgettingCallback(TASK)],
        ).train()
    trainer = make_trainer(tmp_path, tiny.make_model())
    trainer.processing_class = None
    with pytest.raises(ConfigError, match="no tokenizer"):
        ForgettingCallback(TASK).attach(trainer)
    trainer.model = torch.nn.Linear(2, 2)
    with pytest.raises(ModelError, match="no output layer"):
        ForgettingCallback(TASK).attach(trainer)


@pytest.mark.parametrize(
    ("where", "told", "said"),
    [
        ("accelerator.state", {"fsdp_plugin": SimpleNamespace(fsdp_version=1, cpu_offload=None)}, "uses FSDP1"),
        ("accelerator.state", {"parallelism_config": SimpleNamespace(tp_enabled=True)}, "uses tensor parallel"),
        ("accelerator.state", {"parallelism_config": SimpleNamespace(cp_enabled=True)}, "uses context parallel"),
        ("model.config", {"distributed_config": SimpleNamespace(tp_size=2)}, "uses tensor parallel"),
        ("model.config", {"distributed_config": SimpleNamespace(tp_size=1, pp_size=4)}, "uses pipeline parallel"),
        ("", {"is_fsdp_xla_enabled": True}, "uses FSDP of XLA"),
        ("", {"is_deepspeed_enabled": True}, "uses ZeRO stage 3"),
    ],
)
def test_weights_spread_in_ways_that_were_not_tried_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, told: dict[str, Any], said: str
) -> None:
    trainer = make_trainer(tmp_path, tiny.make_model())
    trainer.is_fsdp_enabled = "fsdp_plugin" in told
    monkeypatch.setattr("chaintune.callback.sharding.is_deepspeed_zero3_enabled", lambda: True)
    ForgettingCallback(TASK).attach(trainer)
    target = attrgetter(where)(trainer) if where else trainer
    for name, value in told.items():
        monkeypatch.setattr(target, name, value, raising=False)
    with pytest.raises(ConfigError, match=f"{said}; score its checkpoints instead"):
        ForgettingCallback(TASK).attach(trainer)


def test_scores_of_other_examples_are_refused(tmp_path: Path) -> None:
    fewer = Task("colours", "safety", "1", (), TASK.test[:8], ("owner",), "", "")
    other = score_live(tiny.make_model(), encode_task(fewer, TOKENIZER, None))
    assert other is not None
    trainer = make_trainer(tmp_path, tiny.make_model())
    ForgettingCallback(TASK, before=[other]).attach(trainer)
    with pytest.raises(DataError, match="of other examples"):
        trainer.train()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no score file"):
        ForgettingCallback(TASK, before=tmp_path / "empty")
    watch = ForgettingCallback(TASK)
    with pytest.raises(DataError, match="nothing was compared yet"):
        _ = watch.comparison


def test_of_several_tasks_the_first_is_the_comparison(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = replace(TASK, name="Colours/" + "x" * 300)
    trainer = make_trainer(tmp_path, tiny.make_model())
    watch = ForgettingCallback([TASK, other], every=8, resamples=200).attach(trainer)
    trainer.train()
    assert watch.comparison is watch.comparisons["colours"]
    assert "are in comparisons" in caplog.text
    assert len(list((tmp_path / "forgetting" / "step-000000").glob("*.parquet"))) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"every": None}, "every=None: expected a whole number, at least 1"),
        ({"every": 0}, "every=0: expected a whole number, at least 1"),
        ({"worst": "3"}, "worst='3': expected a whole number"),
        ({"batch_tokens": 0}, "batch_tokens=0: expected a whole number"),
        ({"by": 3}, "by 3: expected a name or a list of names"),
        ({"by": "ownr"}, "no example has a group on 'ownr'; did you mean 'owner'"),
        ({"policy": 3}, "policy=3: expected a path"),
        ({"out": ["x"]}, r"out=\['x'\]: expected a path"),
        ({"tasks": None}, "tasks=None: expected a task"),
        ({"tasks": [3]}, r"tasks=\[3\]: expected a task"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused_at_once(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        ForgettingCallback(**{"tasks": TASK} | arguments)


def test_two_tasks_of_one_name_are_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="'colours' is watched twice"):
        ForgettingCallback([TASK, TASK])


def test_a_chat_template_that_is_not_used_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = make_trainer(tmp_path, tiny.make_model())
    trainer.processing_class = deepcopy(TOKENIZER)
    assert "has a chat template" not in caplog.text
    ForgettingCallback(TASK).attach(trainer)
    assert "has a chat template" not in caplog.text
    trainer.processing_class.chat_template = (
        "{% for turn in messages %}{{ turn.role }}:\n{{ turn.content }}</s>{% endfor %}"
        "{% if add_generation_prompt %}assistant:\n{% endif %}"
    )
    ForgettingCallback([TASK, replace(TASK, name="again")]).attach(trainer)
    (told,) = [record.getMessage() for record in caplog.records if "has a chat template" in record.getMessage()]
    assert "the model has a chat template, and colours, again were asked as plain text; --chat on" in told
    watch = ForgettingCallback(TASK, chat="both", every=8).attach(trainer)
    trainer.train()
    assert caplog.text.count("has a chat template") == 1
    assert list(watch.comparisons) == ["colours", "colours-chat"]
    assert set(watch.comparisons["colours"].chat_agreement) == {"before", "after"}
    rows = {row.chat for row in watch.comparisons["colours-chat"].rows}
    assert rows == {"on"}
