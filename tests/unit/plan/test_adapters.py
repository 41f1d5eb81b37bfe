"""What becomes of a parent's adapter, as far as a plan tells."""

from typing import Any

import pytest

from chaintune.errors import ConfigError
from chaintune.plan.adapters import nothing_to_continue
from chaintune.plan.plan import Plan, compile_plan
from tests.dummy_engine import BASE_KEY, make_plan, make_study, make_task

OFT: dict[str, Any] = {"method": "peft", "peft": {"peft_type": "OFT", "oft_block_size": 4}}


def plan(first: dict[str, Any], second: dict[str, Any]) -> Plan:
    tasks = {name: {"path": "x", "role": "safety", "recipe": own} for name, own in (("a", first), ("b", second))}
    return make_plan(make_study(tasks=tasks, chains=[["a", "b"]]))


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        ({}, OFT | {"adapter": "continue"}, "finds none like its own, as of 'a, seed 0' all weights are stored"),
        (
            OFT,
            {"method": "lora", "adapter": "continue"},
            "finds none like its own, as of 'a, seed 0' the adapter has other settings; give both the same",
        ),
        (
            OFT | {"peft": {"peft_type": "LORA", "init_lora_weights": "pissa"}},
            {"method": "peft", "peft": {"peft_type": "LORA", "init_lora_weights": "pissa"}, "adapter": "continue"},
            "all weights are stored",
        ),
        (OFT, {"adapter": "fresh"}, "'fresh' trains an adapter, and the stage 'a>b, seed 0' trains all weights"),
        (OFT, {"adapter": "continue"}, "'continue' trains an adapter, and the stage"),
        (
            {"method": "lora"},
            {"method": "lora", "quantize": "4bit", "adapter": "merge"},
            "'merge' merges the parent's adapter, which weights in 4 bits cannot take in",
        ),
    ],
)
def test_what_cannot_become_of_an_adapter_is_refused(
    first: dict[str, Any], second: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        plan(first, second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (OFT, OFT | {"adapter": "continue"}),
        (OFT, OFT | {"adapter": "fresh"}),
        (OFT, {"adapter": "merge"}),
        ({"method": "lora"}, {"method": "lora", "lora_targets": ["q_proj"], "adapter": "continue"}),
        (OFT | {"adapter": "continue"}, OFT),
    ],
)
def test_what_can_is_not(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert len(plan(first, second).stages) == 2


def test_stages_on_a_bare_base_are_one_whatever_would_become_of_an_adapter() -> None:
    study = make_study(recipe=OFT, chains=[["a", "b"]], vary={"recipe.adapter": ["continue", "fresh"]})
    tasks = {name: make_task(name) for name in "ab"}
    how: dict[str, Any] = {"base_keys": {"tiny": BASE_KEY}, "tasks": tasks, "precision": "fp32"}
    assert [len(compile_plan(study, **how, bare=bare).stages) for bare in ((), [BASE_KEY])] == [4, 3]


@pytest.mark.parametrize(
    ("recipe", "vary", "bare", "told"),
    [
        (OFT | {"adapter": "continue"}, {}, ["tiny"], True),
        (OFT, {"recipe.adapter": ["fresh", "continue"]}, ["tiny"], True),
        (OFT | {"adapter": "continue"}, {}, [], False),
        (OFT | {"adapter": "fresh"}, {}, ["tiny"], False),
        (OFT, {}, ["tiny"], False),
    ],
)
def test_a_first_stage_that_finds_nothing_to_continue_is_told(
    recipe: dict[str, Any], vary: dict[str, Any], bare: list[str], told: bool
) -> None:
    sentence = nothing_to_continue(make_study(recipe=recipe, chains=[["a", "b"]], vary=vary), bare)
    assert ("begins a new adapter on tiny, which has none" in sentence) is told


def test_a_stage_further_on_that_continues_is_nothing_to_tell() -> None:
    own: dict[str, Any] = {"path": "x", "role": "safety"}
    tasks = {"a": own | {"recipe": OFT}, "b": own | {"recipe": OFT | {"adapter": "continue"}}}
    assert not nothing_to_continue(make_study(tasks=tasks, chains=[["a", "b"]]), ["tiny"])


def test_settings_of_an_adapter_are_varied() -> None:
    vary = {"recipe.peft.oft_block_size": [2, 4]}
    study = make_study("a", recipe=OFT, chains=[["a"]], vary=vary)
    assert [variant.labels for variant in study.variants()] == [
        (("peft.oft_block_size", "2"),),
        (("peft.oft_block_size", "4"),),
    ]
    adapters = [node.recipe.peft for node in make_plan(study).stages]
    assert [one.content() for one in adapters if one] == [OFT["peft"] | {"oft_block_size": size} for size in (2, 4)]
    assert len({node.work for node in make_plan(study).stages}) == 1


def test_whole_adapters_are_varied() -> None:
    kinds = [{"peft_type": "OFT"}, {"peft_type": "IA3", "target_modules": ["k_proj"]}]
    study = make_study("a", recipe={"method": "peft"}, chains=[["a"]], vary={"recipe.peft": kinds})
    assert [dict(variant.labels)["peft"] for variant in study.variants()] == [
        "peft_type:OFT",
        "peft_type:IA3+target_modules:k_proj",
    ]
    assert [node.recipe.peft and node.recipe.peft.content() for node in make_plan(study).stages] == kinds
    assert type(study).from_mapping(study.to_mapping()) == study


def test_a_tasks_own_adapter_comes_before_what_varies() -> None:
    tasks = {name: {"path": "x", "role": "safety"} for name in "ab"}
    tasks["b"] |= {"recipe": {"peft": {"peft_type": "IA3"}}}  # type: ignore[dict-item]
    study = make_study(tasks=tasks, recipe=OFT, chains=[["a", "b"]], vary={"recipe.peft.oft_block_size": [2]})
    assert [node.recipe.peft and node.recipe.peft.content() for node in make_plan(study).stages] == [
        {"peft_type": "OFT", "oft_block_size": 2},
        {"peft_type": "IA3"},
    ]
