"""Each key of `recipe`: whether it is part of a stage's key, and that something is done with it."""

from dataclasses import fields
from typing import Any

import pytest

from chaintune.errors import ConfigError
from chaintune.records import Recipe, Resources
from chaintune.study.stage_settings import RECIPE_FIELDS, RESOURCE_FIELDS, STAGE_FIELDS, StageSettings
from tests.conftest import Install
from tests.dummy_engine import make_plan, make_study
from tests.howto_packages import CONTRAST

OTHER: dict[str, Any] = {
    "objective": "contrast",
    "turns": "last",
    "teach": "rejected",
    "beta": 0.5,
    "label_smoothing": 0.2,
    "loss": "sigmoid",
    "method": "full",
    "learning_rate": 1e-3,
    "epochs": 2.0,
    "batch_size": 8,
    "micro_batch_size": 2,
    "warmup_fraction": 0.5,
    "schedule": "cosine",
    "weight_decay": 0.1,
    "max_grad_norm": 0.5,
    "lora_rank": 4,
    "lora_alpha": 8.0,
    "lora_dropout": 0.1,
    "lora_targets": ("q_proj", "v_proj"),
    "peft": {"peft_type": "OFT", "r": 2},
    "adapter": "continue",
    "quantize": "4bit",
    "gradient_checkpointing": True,
    "share_prefixes": False,
    "keep_together": True,
    "fp32_masters": False,
    "devices": 2,
    "report_to": ("wandb",),
    "cpus": 3.0,
    "gpus": 0.5,
    "memory_gb": 2.0,
}
# Written by hand, so that a new field is a decision about keys.
IN_THE_KEY = [
    "objective", "turns", "teach", "method", "learning_rate", "epochs", "batch_size", "micro_batch_size",
    "warmup_fraction", "schedule", "weight_decay", "max_grad_norm", "lora_rank", "lora_alpha", "lora_dropout",
    "lora_targets", "peft", "adapter", "quantize",
    "gradient_checkpointing", "share_prefixes", "keep_together", "fp32_masters", "devices",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _offered(install: Install) -> None:
    install(*CONTRAST)


def test_every_field_is_named_once() -> None:
    assert set(OTHER) == set(STAGE_FIELDS)
    assert len(STAGE_FIELDS) == len(set(STAGE_FIELDS)) == 31
    assert set(RECIPE_FIELDS) == {field.name for field in fields(Recipe)} - {"regulariser"}
    assert set(RESOURCE_FIELDS) == {field.name for field in fields(Resources)}


@pytest.mark.parametrize("name", STAGE_FIELDS)
def test_the_key_of_a_stage_is_made_of_the_allow_list(name: str) -> None:
    usual = {"method": "peft", "peft": {"peft_type": "OFT"}} if name == "peft" else {"method": "lora"}

    def stage(**recipe: Any) -> Any:
        return make_plan(make_study("ab", recipe=usual | recipe)).stages[0]

    changed = stage(**{name: OTHER[name]})
    assert (changed.key != stage().key) == (name in IN_THE_KEY)
    settings = StageSettings(changed.recipe, changed.resources, changed.report_to)
    assert settings.to_mapping()[name] == OTHER[name]


@pytest.mark.parametrize("name", ["lora_rank", "lora_alpha", "lora_dropout", "lora_targets", "peft"])
def test_the_shape_of_an_adapter_is_in_no_key_of_full_tuning(name: str) -> None:
    keys = [make_plan(make_study("ab", recipe=recipe)).stages[0].key for recipe in ({}, {name: OTHER[name]})]
    assert keys[0] == keys[1]


@pytest.mark.parametrize("change", [{"beta": 0.5}, {"label_smoothing": 0.2}, {"loss": "ipo"}])
def test_what_dpo_alone_reads_is_in_its_keys_alone(change: dict[str, Any]) -> None:
    changed = {name: Recipe(objective=name, **change).content() for name in ("sft", "dpo", "contrast")}
    usual = {name: Recipe(objective=name).content() for name in changed}
    assert [changed[name] != usual[name] for name in changed] == [False, True, True]
    assert "turns" not in usual["dpo"]


def test_settings_are_flat_and_come_back() -> None:
    settings = StageSettings().changed(OTHER | {"method": "lora"})
    assert settings.to_mapping() == OTHER | {"method": "lora"}
    assert StageSettings().changed(settings.to_mapping()) == settings
    assert settings.changed({"cpus": 1.0}).recipe == settings.recipe
    with pytest.raises(ConfigError, match=r"recipe\.quantize"):
        settings.changed({"method": "full"})


def test_keys_of_recipes_without_peft_are_those_of_before() -> None:
    usual, lora = Recipe().content(), Recipe(method="lora").content()
    assert not {"peft", "adapter"} & {*usual, *lora}
    assert "lora_rank" not in usual
    assert lora["lora_targets"] == "all-linear"


def test_one_setting_of_an_adapter_is_changed_alone() -> None:
    settings = StageSettings().changed({"method": "peft", "peft": {"peft_type": "OFT", "task_type": "CAUSAL_LM"}})
    assert settings.recipe.content()["peft"] == {"peft_type": "OFT"}
    changed = settings.changed({"peft.r": 2})
    assert changed.recipe.content()["peft"] == {"peft_type": "OFT", "r": 2}
    assert changed.changed({"peft": {"peft_type": "IA3"}}).recipe.content()["peft"] == {"peft_type": "IA3"}


def test_a_method_without_its_adapter_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"recipe\.peft: method 'peft' needs the settings of an adapter"):
        make_plan(make_study("ab", recipe={"method": "peft"}))


def test_fresh_and_merge_are_one_key_under_an_adapter() -> None:
    fresh, merge = (Recipe(method="lora", adapter=adapter).content() for adapter in ("fresh", "merge"))
    assert fresh == merge != Recipe(method="lora").content()
