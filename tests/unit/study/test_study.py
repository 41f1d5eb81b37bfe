"""What a study file means, and one clear sentence for each thing that it cannot mean."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from chaintune.errors import ConfigError
from chaintune.records import variant_label
from chaintune.study.data_spec import ColumnSpec
from chaintune.study.study import Study

GOOD = """\
base: smollm2-135m
tasks:
  bbq:  {role: safety, train: 30 per category, test: 40 per category}
  csqa: {role: capability, train: 400, test: 200}
chains: both orders
recipe: {method: full, learning_rate: 1e-4, epochs: 1, batch_size: 16}
vary: {seed: [0, 1, 2], recipe.learning_rate: [2e-5, 1e-4]}
mitigations:
  - replay: {task: bbq, dose: [0.01, 0.05, 0.10]}
"""
CIRCLE: dict[str, Any] = {}
CIRCLE["base"] = CIRCLE


def tasks(names: str) -> dict[str, Any]:
    return {name: {"role": "safety", "path": f"{name}.jsonl"} for name in names}


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def complaint(folder: Path, text: str, overrides: list[str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        Study.from_yaml(written(folder, text), overrides or [])
    return str(caught.value).replace(f"{folder}/", "")


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def test_a_study_file_means_what_it_says(tmp_path: Path) -> None:
    study = Study.from_yaml(written(tmp_path, GOOD))
    assert study.name == "mine"
    assert study.bases == ("smollm2-135m",)
    assert study.chains == (("bbq", "csqa"), ("csqa", "bbq"))
    assert study.tasks["bbq"].train == "30 per category"
    assert study.tasks["csqa"].test == 200
    assert tuple(value for _, value in study.mitigations[0].spec.settings) == (0.01, 0.05, 0.1)
    assert study.recipe.learning_rate == 1e-4  # YAML 1.1 reads 1e-4 as text
    assert (study.seed, study.keep, study.level, study.resamples) == (0, "all", 0.95, 10_000)
    assert study.forgetting_from == "trained"
    assert Study.from_yaml(written(tmp_path, GOOD + "forgetting_from: best\n")).forgetting_from == "best"
    assert study.seed_variance == "over_groups"
    assert Study.from_yaml(written(tmp_path, GOOD + "seed_variance: separate\n")).seed_variance == "separate"


def test_variants_are_every_setting_of_the_knobs_with_every_seed(tmp_path: Path) -> None:
    variants = Study.from_yaml(written(tmp_path, GOOD)).variants()
    assert [(dict(v.labels)["learning_rate"], v.seed) for v in variants] == [
        (rate, seed) for rate in ("2e-05", "0.0001") for seed in (0, 1, 2)
    ]


def test_two_values_have_two_labels() -> None:
    vary = {"recipe.learning_rate": [1e-4, 0.00010000001], "recipe.epochs": [1, 0.5]}
    study = Study.from_mapping({"base": "m", "tasks": tasks("a"), "chains": [["a"]], "vary": vary})
    assert [" ".join(dict(v.labels).values()) for v in study.variants()] == [
        "0.0001 1",
        "0.0001 0.5",
        "0.00010000001 1",
        "0.00010000001 0.5",
    ]


def test_without_knobs_there_is_one_variant() -> None:
    study = Study.from_mapping({"base": "m", "tasks": tasks("a"), "chains": [["a"]], "seed": 7})
    (variant,) = study.variants()
    assert (variant.labels, variant.seed) == ((), 7)


def test_the_resolved_study_reads_back_equal(tmp_path: Path) -> None:
    study = Study.from_yaml(written(tmp_path, GOOD), ["tasks.csqa.recipe={method: lora, lora_targets: [q, v]}"])
    again = Study.from_yaml(written(tmp_path, study.to_yaml()))
    assert again == study


def test_later_words_win_in_a_recipe() -> None:
    study = Study.from_mapping(
        {
            "base": "m",
            "tasks": {"a": tasks("a")["a"] | {"recipe": {"epochs": 3}}} | tasks("b"),
            "chains": "both orders",
            "recipe": {"learning_rate": 1e-5, "epochs": 2},
            "vary": {"recipe.learning_rate": [1e-3], "tasks.b.recipe.epochs": [5]},
        }
    )
    (variant,) = study.variants()
    assert [(study.recipe_of(t, variant).learning_rate, study.recipe_of(t, variant).epochs) for t in "ab"] == [
        (1e-3, 3.0),
        (1e-3, 5.0),
    ]
    assert study.recipe_of("a", variant, {"epochs": 9.0}).epochs == 9.0


@pytest.mark.parametrize(("batch", "micro", "fitted"), [(16, 8, 8), (4, 8, 4), (12, 8, 6), (7, 3, 1)])
def test_the_micro_batch_divides_the_batch(batch: int, micro: int, fitted: int) -> None:
    recipe = {"batch_size": batch, "micro_batch_size": micro}
    study = Study.from_mapping({"base": "m", "tasks": tasks("a"), "chains": [["a"]], "recipe": recipe})
    assert study.recipe.micro_batch_size == fitted


def test_a_data_path_starts_at_the_study_file_and_an_override_at_the_current_folder(tmp_path: Path) -> None:
    text = "base: m\ntasks:\n  mine: {role: safety, path: items.jsonl}\nchains: [[mine]]\n"
    path = written(tmp_path, text)
    assert Study.from_yaml(path).tasks["mine"].path == str(tmp_path / "items.jsonl")
    overridden = Study.from_yaml(path, ["tasks.mine.path=other.jsonl"])
    assert overridden.tasks["mine"].path == str(Path("other.jsonl").absolute())


def test_a_resolved_study_means_the_same_wherever_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "base: m\ntasks:\n  mine: {role: safety, path: items.jsonl}\nchains: [[mine]]\n")
    monkeypatch.chdir(tmp_path)
    study = Study.from_yaml(path.name)
    (tmp_path / "elsewhere").mkdir()
    resolved = tmp_path / "elsewhere" / "study.resolved.yaml"
    resolved.write_text(study.to_yaml())
    assert Study.from_yaml(resolved).tasks["mine"].path == study.tasks["mine"].path == str(tmp_path / "items.jsonl")


@pytest.mark.parametrize(
    ("chains", "expected"),
    [
        ("all orders", 6),
        ("all orders of 2", 6),
        (["all orders of 2", "all orders of 3"], 12),
        ([["a"], "a>b", "a > b", ["a", "b"]], 2),
        ([["a", "b", "a"]], 1),
        ("5 random orders", 5),
        ("6 random orders of 2", 6),
        (["3 random orders, seed 1", "3 random orders, seed 1"], 3),
    ],
)
def test_chains_can_be_words_or_lists(chains: Any, expected: int) -> None:
    study = Study.from_mapping({"base": "m", "tasks": tasks("abc"), "chains": chains})
    assert len(study.chains) == len(set(study.chains)) == expected


@pytest.mark.parametrize("names", ["abc", "abcd", "abcdefgh"])
@pytest.mark.parametrize("words", ["6 random orders", "5 random orders of 3, seed 7", "all orders of 2"])
def test_random_orders_have_every_task_at_every_place_equally_often(names: str, words: str) -> None:
    study = Study.from_mapping({"base": "m", "tasks": tasks(names), "chains": words})
    for place in range(len(study.chains[0])):
        counts = [sum(chain[place] == name for chain in study.chains) for name in names]
        assert max(counts) - min(counts) <= 1
    again = Study.from_mapping({"base": "m", "tasks": tasks(names), "chains": words, "seed": 3, "vary": {"seed": 2}})
    assert again.chains == study.chains, "the seed of training draws no other orders"


def test_the_first_square_of_random_orders_has_every_task_after_every_other() -> None:
    chains = Study.from_mapping({"base": "m", "tasks": tasks("abcdef"), "chains": "6 random orders"}).chains
    assert len({pair for chain in chains for pair in pairwise(chain)}) == 6 * 5


def test_a_number_of_seeds_is_so_many_seeds() -> None:
    study = Study.from_mapping({"base": "m", "tasks": tasks("a"), "chains": [["a"]]}, ["vary.seed=3"])
    assert [variant.seed for variant in study.variants()] == [0, 1, 2]


BAD = {
    "misspelled key": (
        changed("recipe:", "recipes:"),
        "mine.yaml:6: recipes: unknown key 'recipes'; did you mean 'recipe'? Valid: recipe, ",
    ),
    "misspelled recipe field": (
        changed("epochs: 1", "epoch: 1"),
        "mine.yaml:6: recipe.epoch: unknown key 'epoch'; did you mean 'epochs'?",
    ),
    "misspelled task field": (
        changed("train: 400", "trian: 400"),
        "mine.yaml:4: tasks.csqa.trian: unknown key 'trian'; did you mean 'train'?",
    ),
    "no base": (changed("base: smollm2-135m\n", ""), "mine.yaml:1: base: missing; it is needed"),
    "misspelled needed key": (
        changed("chains:", "chain:"),
        "mine.yaml:5: chain: unknown key 'chain'; did you mean 'chains'?",
    ),
    "base twice": (changed("base: smollm2-135m", "base: [m, m]"), "mine.yaml:1: base[1]: 'm' is listed twice"),
    "base without a name": (
        changed("base: smollm2-135m", "base: ['']"),
        "mine.yaml:1: base[0]: expected text of at least one letter, got ''",
    ),
    "doses that one name would stand for": (
        changed("[0.01,", "[0.05000000001,"),
        "mine.yaml:9: mitigations[0].replay.dose[1]: 0.05 is listed twice",
    ),
    "no chains": (changed("chains: both orders\n", ""), "mine.yaml:1: chains: missing; it is needed"),
    "no tasks": (
        "base: m\ntasks: {}\nchains: both orders\n",
        "mine.yaml:2: tasks: expected at least one, got {}",
    ),
    "unknown role": (
        changed("role: safety", "role: safe"),
        "mine.yaml:3: tasks.bbq.role: 'safe' is no valid value; did you mean 'safety'? Valid: safety, capability",
    ),
    "unknown method": (
        changed("method: full", "method: ful"),
        "mine.yaml:6: recipe.method: 'ful' is no valid value; did you mean 'full'? Valid: full, peft, lora",
    ),
    "rate that is no number": (
        changed("learning_rate: 1e-4", "learning_rate: fast"),
        "mine.yaml:6: recipe.learning_rate: expected a number greater than 0 and less than 10, got 'fast'",
    ),
    "rate of zero": (
        changed("learning_rate: 1e-4", "learning_rate: 0"),
        "mine.yaml:6: recipe.learning_rate: expected a number greater than 0 and less than 10, got 0",
    ),
    "rate that is NaN": (
        changed("learning_rate: 1e-4", "learning_rate: .nan"),
        "mine.yaml:6: recipe.learning_rate: expected a number greater than 0 and less than 10, got nan",
    ),
    "yes for a number": (
        changed("epochs: 1", "epochs: yes"),
        "mine.yaml:6: recipe.epochs: expected a number greater than 0 and at most 100,000, got True",
    ),
    "batch of zero": (
        changed("batch_size: 16", "batch_size: 0"),
        "mine.yaml:6: recipe.batch_size: expected a whole number from 1 to 10,000,000, got 0",
    ),
    "size that is none": (
        changed("train: 400", "train: many"),
        "mine.yaml:4: tasks.csqa.train: size 'many' is not understood; write a whole number from 1, or '30 per ",
    ),
    "size of zero": (
        changed("train: 400", "train: 0"),
        "mine.yaml:4: tasks.csqa.train: size 0 would leave the split empty",
    ),
    "chain names an unknown task": (
        changed("both orders", "[[bbq, cqsa]]"),
        "mine.yaml:5: chains[0][1]: no task is named 'cqsa'; did you mean 'csqa'? Valid: csqa, bbq",
    ),
    "same task twice in a row": (
        changed("both orders", "[[bbq, csqa, csqa]]"),
        "mine.yaml:5: chains[0]: 'csqa' twice in a row; train it once with more epochs instead",
    ),
    "both orders of one": (
        "base: m\ntasks: {bbq: {}}\nchains: both orders\n",
        "mine.yaml:3: chains: 'both orders' needs exactly 2 tasks, the study has 1; name the chain of one, [[bbq]]",
    ),
    "both orders of three": (
        changed("chains:", "  openbookqa: {}\nchains:"),
        "mine.yaml:6: chains: 'both orders' needs exactly 2 tasks, the study has 3; write 'all orders of 2'",
    ),
    "too many steps": (
        changed("both orders", "all orders of 3"),
        "mine.yaml:5: chains: 'orders of 3' of 2 tasks: expected 1 to 2",
    ),
    "more random orders than there are": (
        changed("both orders", "3 random orders"),
        "mine.yaml:5: chains: '3 random orders': there are 2 orders; write a number from 1 to 2, or 'all orders'",
    ),
    "a seed for what is not drawn": (
        changed("both orders", "all orders, seed 3"),
        "mine.yaml:5: chains: 'all orders, seed 3' draws nothing, so it takes no seed; leave it out",
    ),
    "words not known": (
        changed("both orders", "any order"),
        "mine.yaml:5: chains: expected 'both orders', 'all orders of N', '20 random orders', or a list of chains",
    ),
    "empty chain": (changed("both orders", "[[]]"), "mine.yaml:5: chains[0]: expected 'both orders'"),
    "abbreviated knob": (
        changed("recipe.learning_rate: [", "recipe.lr: ["),
        "mine.yaml:7: vary.recipe.lr: no such knob; did you mean 'recipe.learning_rate'?",
    ),
    "unknown knob": (
        changed("recipe.learning_rate: [", "recipe.learning_rte: ["),
        "mine.yaml:7: vary.recipe.learning_rte: no such knob; did you mean 'recipe.learning_rate'?",
    ),
    "knob without a list": (
        changed("seed: [0, 1, 2]", "seed: 0"),
        "mine.yaml:7: vary.seed: expected a number of seeds, or a list of values such as [0], got 0",
    ),
    "knob with a wrong value": (
        changed("[2e-5, 1e-4]", "[2e-5, -1]"),
        "mine.yaml:7: vary.recipe.learning_rate[1]: expected a number greater than 0 and less than 10, got -1",
    ),
    "value twice": (
        changed("[2e-5, 1e-4]", "[1e-4, 0.0001]"),
        "mine.yaml:7: vary.recipe.learning_rate[1]: 0.0001 is listed twice",
    ),
    "seed that is none": (
        changed("[0, 1, 2]", "[0, -1]"),
        "mine.yaml:7: vary.seed[1]: expected a whole number from 0 to 4294967295, got -1",
    ),
    "knob that turns nothing": (
        changed("recipe.learning_rate: [2e-5, 1e-4]", "recipe.lora_rank: [4, 8]"),
        "mine.yaml:7: vary.recipe.lora_rank: changes nothing, because no stage has 'method: lora'",
    ),
    "recipe with a misspelled field": (
        changed("recipe.learning_rate: [2e-5, 1e-4]", "recipe: [{epochs: 2}, {epocks: 3}]"),
        "mine.yaml:7: vary.recipe[1].epocks: unknown key 'epocks'; did you mean 'epochs'?",
    ),
    "recipe that sets nothing": (
        changed("recipe.learning_rate: [2e-5, 1e-4]", "recipe: [{epochs: 2}, {}]"),
        "mine.yaml:7: vary.recipe[1]: sets no field; name those that belong together",
    ),
    "recipes that set different fields": (
        changed("recipe.learning_rate: [2e-5, 1e-4]", "recipe: [{epochs: 2}, {method: lora}]"),
        "mine.yaml:7: vary.recipe[1]: sets method, and the first recipe epochs; set the same fields",
    ),
    "field in a recipe and by itself": (
        changed("recipe.learning_rate: [2e-5, 1e-4]", "recipe.epochs: [1], recipe: [{epochs: 2}]"),
        "mine.yaml:7: vary.recipe.epochs: is set by 'vary.recipe' too; keep one of the two",
    ),
    "adapter without a type": (
        changed("method: full", "method: peft, peft: {r: 8}"),
        "mine.yaml:6: recipe.peft.peft_type: missing; it is needed",
    ),
    "adapter that is no mapping": (
        changed("method: full", "method: peft, peft: OFT"),
        "mine.yaml:6: recipe.peft: expected a mapping, got 'OFT'",
    ),
    "adapter that is a prompt": (
        changed("method: full", "method: peft, peft: {peft_type: prefix_tuning}"),
        "mine.yaml:6: recipe.peft.peft_type: an adapter of type PREFIX_TUNING learns a prompt, which cannot",
    ),
    "adapter that is routed": (
        changed("method: full", "method: peft, peft: {peft_type: XLORA}"),
        "mine.yaml:6: recipe.peft.peft_type: an adapter of type XLORA chooses among adapters",
    ),
    "adapter for scoring": (
        changed("method: full", "method: peft, peft: {peft_type: OFT, inference_mode: true}"),
        "mine.yaml:6: recipe.peft.inference_mode: got True, and the stage that trains",
    ),
    "adapter for another task": (
        changed("method: full", "method: peft, peft: {peft_type: OFT, task_type: SEQ_CLS}"),
        "mine.yaml:6: recipe.peft.task_type: every stage trains a causal language model; write CAUSAL_LM",
    ),
    "setting that is a date": (
        changed("method: full", "method: peft, peft: {peft_type: OFT, r: 2020-01-01}"),
        "mine.yaml:6: recipe.peft.r: expected text, a number, a list or a mapping, got datetime.date",
    ),
    "setting that is infinite": (
        changed("method: full", "method: peft, peft: {peft_type: OFT, eps: .inf}"),
        "mine.yaml:6: recipe.peft.eps: expected a finite number, got inf",
    ),
    "fate of an adapter": (
        changed("method: full", "method: lora, adapter: kept"),
        "mine.yaml:6: recipe.adapter: 'kept' is no valid value; valid: ",
    ),
    "setting of no adapter": (
        changed("recipe.learning_rate: [2e-5, 1e-4]", "recipe.peft.r: [4, 8]"),
        "mine.yaml:7: vary.recipe.peft.r: changes nothing, because no stage has 'method: peft'",
    ),
    "setting of an adapter beside it": (
        changed("recipe.learning_rate: [2e-5, 1e-4]", "recipe.peft: [{peft_type: OFT}], recipe.peft.r: [4]").replace(
            "method: full", "method: peft"
        ),
        "mine.yaml:7: vary.recipe.peft.r: is set by 'vary.recipe.peft' too; keep one of the two",
    ),
    "adapters that are nothing": (
        changed("recipe.learning_rate: [2e-5, 1e-4]", "recipe.peft: []"),
        "mine.yaml:7: vary.recipe.peft: expected a list of values such as [{peft_type: OFT}, {peft_type: IA3}], got []",
    ),
    "replay of an unknown task": (
        changed("task: bbq,", "task: bqb,"),
        "mine.yaml:9: mitigations[0].replay.task: no task is named 'bqb'; did you mean 'bbq'?",
    ),
    "replay of what was never lost": (
        changed("both orders", "[[csqa, bbq]]"),
        "mine.yaml:9: mitigations[0].replay.task: no chain learns 'bbq' and then another task, so there is nothing",
    ),
    "dose above 1": (
        changed("0.10]", "10]"),
        "mine.yaml:9: mitigations[0].replay.dose[2]: expected a number greater than 0 and at most 1, got 10",
    ),
    "dose of zero": (
        changed("[0.01,", "[0,"),
        "mine.yaml:9: mitigations[0].replay.dose[0]: expected a number greater than 0 and at most 1, got 0",
    ),
    "dose twice": (
        changed("[0.01,", "[0.05,"),
        "mine.yaml:9: mitigations[0].replay.dose[1]: 0.05 is listed twice",
    ),
    "unknown mitigation": (
        changed("replay:", "reply:"),
        "mine.yaml:9: mitigations[0].reply: unknown key 'reply'; did you mean 'replay'?",
    ),
    "file without a role": (
        GOOD.replace("csqa: {role: capability, train: 400, test: 200}", "own: {path: x.jsonl}"),
        "mine.yaml:4: tasks.own.role: a file of your own needs a role, 'safety' or 'capability'",
    ),
    "columns of a known task": (
        changed("train: 400", "columns: {id: key}"),
        "mine.yaml:4: tasks.csqa.columns: a known task has a shape of its own and takes no 'columns'",
    ),
    "unknown task": (
        changed("csqa: {", "cqsa: {"),
        "mine.yaml:4: tasks.cqsa: no task is known as 'cqsa' and no 'path' is given; did you mean 'csqa'? Valid: csqa",
    ),
    "key twice": (
        GOOD + "chains: all orders\n",
        "mine.yaml:10: chains: the key is written twice, first on line 5; remove one",
    ),
    "task name with a dot": (
        changed("csqa: {", "cs.qa: {path: x, "),
        "mine.yaml:4: tasks.cs.qa: 'cs.qa' cannot name a task; use letters, digits, '-' and '_', and not 'base'",
    ),
    "task name that is a number": (
        changed("csqa: {", "7: {path: x, "),
        "mine.yaml:4: tasks.7: expected a name, got the int 7; put it in quotes",
    ),
    "level in percent": (
        GOOD + "level: 95\n",
        "mine.yaml:10: level: expected a number greater than 0.5 and less than 1, got 95",
    ),
    "unknown checkpoint to count from": (
        GOOD + "forgetting_from: bse\n",
        "mine.yaml:10: forgetting_from: 'bse' is no valid value; did you mean 'base'? Valid: base, best,",
    ),
    "unknown keep": (
        GOOD + "keep: al\n",
        "mine.yaml:10: keep: 'al' is no valid value; did you mean 'all'? Valid: all, final, none",
    ),
    "not YAML": ("base: [m\ntasks: {}\n", "mine.yaml:2: not YAML: expected ',' or ']', but got ':'"),
    "not a mapping": ("- base\n", "mine.yaml: expected a mapping with 'base', 'tasks' and 'chains' at the top"),
    "empty": ("", "mine.yaml: expected a mapping with 'base', 'tasks' and 'chains' at the top, got nothing"),
    "a Python object": (
        "base: !!python/object/apply:os.system [true]\n",
        "mine.yaml:1: not YAML: could not determine a constructor",
    ),
    "several recipes without vary": (
        changed("recipe: {method: full, learning_rate: 1e-4, epochs: 1, batch_size: 16}", "recipe: [{method: full}]"),
        "mine.yaml:6: recipe: expected a mapping of recipe fields, got a list; several recipes are varied: write",
    ),
    "a template without quotes": (
        GOOD.replace("csqa: {role: capability,", "own: {role: capability, path: x, columns: {prompt: {user}},"),
        "mine.yaml:4: tasks.own.columns.prompt: expected text, got {'user': None}; put it in quotes",
    ),
    "more keys than a study has": (
        f"{GOOD}more: [{'1, ' * 20_000}]\n",
        "mine.yaml: has more than 20,000 keys and values, too many to be a study file",
    ),
    "a file that is no study": ("#" * 1_000_001, "mine.yaml: more than 1,000,000 bytes, too many for a study file"),
    "a long value": (GOOD + f"keep: {'x' * 5000}\n", "mine.yaml:10: keep: 'xxx"),
    "aliases in a circle": ("base: &b [*b]\ntasks: {}\n", "mine.yaml: nested too deeply to be a study file"),
    "deep nesting": ("[" * 600, "mine.yaml: nested too deeply to be a study file"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_sentence_with_its_line(case: str, tmp_path: Path) -> None:
    text, sentence = BAD[case]
    found = complaint(tmp_path, text)
    assert found.startswith(sentence)
    assert "\n" not in found


def test_a_knob_with_one_value_needs_no_list(tmp_path: Path) -> None:
    def vary(**knobs: Any) -> tuple[Any, ...]:
        written = {"base": "m", "tasks": tasks("a"), "chains": [["a"]], "vary": knobs}
        return Study.from_mapping(written).vary

    alone = {"recipe.learning_rate": 1e-3, "recipe": {"method": "lora", "lora_rank": 2}, "recipe.schedule": "cosine"}
    assert vary(**alone) == vary(**{name: [value] for name, value in alone.items()})
    wrong = changed("[2e-5, 1e-4]", "-1")
    assert complaint(tmp_path, wrong).startswith(
        "mine.yaml:7: vary.recipe.learning_rate: expected a number greater than 0 and less than 10, got -1"
    )
    nothing = changed("[2e-5, 1e-4]", "")
    assert complaint(tmp_path, nothing).startswith("mine.yaml:7: vary.recipe.learning_rate: expected a list of values")


def test_all_problems_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = GOOD
    for old, new in [("role: safety", "role: safe"), ("both orders", "[[bbq, x]]"), ("method: full", "method: f")]:
        text = text.replace(old, new)
    text = text.replace("seed: [", "sed: [").replace("0.10]", "2]")
    lines = complaint(tmp_path, text).splitlines()
    assert lines[0] == "mine.yaml: 5 problems"
    assert [line.split(": ")[0].strip() for line in lines[1:]] == [f"mine.yaml:{n}" for n in (3, 5, 6, 7, 9)]


def test_no_more_than_fifty_problems_are_told(tmp_path: Path) -> None:
    lines = complaint(tmp_path, GOOD + "".join(f"k{number}: 1\n" for number in range(10_000))).splitlines()
    assert lines[0] == "mine.yaml: 50 or more problems"
    assert len(lines) == 51


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ({"path": 3}, "study file 3: expected a path; Study.from_mapping takes a mapping"),
        ({"path": {"base": "m"}}, "expected a path"),
        ({"path": "a\0b"}, "cannot read the study file"),
        ({"mapping": [1]}, "study: expected a mapping with 'base', 'tasks' and 'chains', got list"),
        ({"mapping": None}, "got NoneType"),
        ({"mapping": CIRCLE}, "nested too deeply"),
        ({"mapping": {}, "overrides": pd.NA}, "overrides <NA>: expected texts"),
        ({"mapping": {}, "overrides": pl.LazyFrame()}, "expected texts such as"),
        ({"mapping": {"recipe": pd.NA}}, "recipe: expected a mapping of recipe fields, got <NA>"),
        ({"mapping": {}, "overrides": 3}, "overrides 3: expected texts such as 'recipe.learning_rate=1e-4'"),
        ({"mapping": {}, "overrides": [3]}, "expected texts such as"),
        ({"mapping": {}, "name": None}, "name None: expected a name for the study"),
    ],
)
def test_arguments_of_python_are_refused_in_a_sentence(argument: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        (Study.from_yaml if "path" in argument else Study.from_mapping)(**argument)


def test_paths_ranges_and_arrays_are_what_they_hold(tmp_path: Path) -> None:
    own = {"mine": {"role": "safety", "path": tmp_path / "x.jsonl"}}
    knobs = {"seed": range(3), "recipe.epochs": np.array([1.0, 2.0])}
    study = Study.from_mapping({"base": tmp_path / "m", "tasks": own, "chains": [("mine",)], "vary": knobs})
    assert study.tasks["mine"].path == str(tmp_path / "x.jsonl")
    assert study.vary == (("seed", (0, 1, 2)), ("recipe.epochs", (1.0, 2.0)))


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("{user}", "{user}"),
        ("'{user}'", "{user}"),
        ("Question: {user}", "Question: {user}"),
        ("{a} or {b}?", "{a} or {b}?"),
        ("{{user}}", "{{user}}"),
    ],
)
def test_an_override_may_be_a_template(value: str, meaning: str) -> None:
    written = {"base": "m", "tasks": {"own": {"role": "safety", "path": "x"}}, "chains": [["own"]]}
    study = Study.from_mapping(
        written, [f"tasks.own.columns.prompt={value}", f"tasks.own.columns.choices=[{value}, b]"]
    )
    assert study.tasks["own"].columns is not None
    assert study.tasks["own"].columns.prompt == meaning
    whole = Study.from_mapping(written, ["tasks.own={role: safety, path: x, columns: {groups: {owner: who}}}"])
    assert whole.tasks["own"].columns == ColumnSpec(groups={"owner": "who"})


def test_an_override_may_name_tasks_without_more(tmp_path: Path) -> None:
    assert list(Study.from_yaml(written(tmp_path, GOOD), "tasks={bbq, csqa}").tasks) == ["bbq", "csqa"]


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot read the study file \(No such file"):
        Study.from_yaml(tmp_path / "none.yaml")


def test_not_text(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"base: \xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        Study.from_yaml(path)


def test_recipes_that_belong_together_are_one_knob() -> None:
    recipes = [{"method": "full", "learning_rate": 1e-4}, {"method": "lora", "learning_rate": 1e-3}]
    written = {"base": "m", "tasks": tasks("a"), "chains": [["a"]], "vary": {"recipe": recipes, "seed": [0, 1]}}
    study = Study.from_mapping(written)
    assert [(dict(v.labels), v.seed) for v in study.variants()] == [
        ({"method": method, "learning_rate": rate}, seed)
        for method, rate in [("full", "0.0001"), ("lora", "0.001")]
        for seed in (0, 1)
    ]
    made = [study.recipe_of("a", variant) for variant in study.variants()]
    assert [(recipe.method, recipe.learning_rate) for recipe in made[::2]] == [("full", 1e-4), ("lora", 1e-3)]
    assert Study.from_mapping(study.to_mapping()) == study


@pytest.mark.parametrize(
    ("vary", "names"),
    [
        ({"recipe": [{"method": "full", "learning_rate": 1e-4, "epochs": 1},
                     {"method": "lora", "learning_rate": 1e-3, "epochs": 1}]}, ["full lr=1e-4", "lora lr=1e-3"]),
        ({"recipe.learning_rate": [2e-5, 0.00015, 0.05], "seed": [0, 1]}, ["lr=2e-5", "lr=1.5e-4", "lr=0.05"]),
        ({"recipe.epochs": [1, 0.5], "tasks.a.recipe.lora_rank": [4, 8], "recipe.method": ["lora"]},
         ["epochs=1 a rank=4", "epochs=1 a rank=8", "epochs=0.5 a rank=4", "epochs=0.5 a rank=8"]),
        ({"recipe": [{"name": "small steps", "learning_rate": 1e-4}, {"name": "large", "learning_rate": 1e-3}],
          "recipe.batch_size": [8, 16]}, ["small steps bs=8", "small steps bs=16", "large bs=8", "large bs=16"]),
        ({"recipe": [{"name": "full", "method": "lora"}, {"method": "full"}]}, ["full", "full number=2"]),
        ({"recipe.learning_rate": [1e-3], "seed": [0, 1]}, [""]),
    ],
)  # fmt: skip
def test_a_variant_is_named_by_what_differs_and_by_nothing_else(vary: dict[str, Any], names: list[str]) -> None:
    study = Study.from_mapping({"base": "m", "tasks": tasks("a"), "chains": [["a"]], "vary": vary})
    assert list(dict.fromkeys(variant_label(one.labels) for one in study.variants())) == names
    assert Study.from_mapping(study.to_mapping()) == study


@pytest.mark.parametrize(
    ("recipes", "problem"),
    [
        ([{"name": "", "epochs": 1}], r"vary\.recipe\[0\]\.name: expected a name of 1 to 40 characters in one line"),
        ([{"name": "x" * 41, "epochs": 1}], "expected a name of 1 to 40 characters in one line"),
        ([{"name": "a"}], "sets no field"),
        ([{"name": "a", "epochs": 1}, {"name": "a", "epochs": 2}], "'a' is listed twice"),
        ([{"name": "a", "epochs": 1}, {"name": "b", "epochs": 1}], "is listed twice"),
        ([{"name": "a", "epochs": 1}, {"name": "b", "batch_size": 2}], "sets batch_size, and the first recipe epochs"),
    ],
)
def test_names_of_recipes_are_refused(recipes: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Study.from_mapping({"base": "m", "tasks": tasks("a"), "chains": [["a"]], "vary": {"recipe": recipes}})


def test_overrides_set_dotted_keys(tmp_path: Path) -> None:
    study = Study.from_yaml(
        written(tmp_path, GOOD),
        [
            "recipe.epochs=3",
            "tasks.bbq.train=10 per category",
            "vary.recipe.learning_rate=[1e-3]",
            "keep=none",
        ],
    )
    assert study.recipe.epochs == 3
    assert study.tasks["bbq"].train == "10 per category"
    assert dict(study.vary)["recipe.learning_rate"] == (1e-3,)
    assert study.keep == "none"


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("recipe.lerning_rate=1", "--set recipe.lerning_rate=1: recipe.lerning_rate: unknown key 'lerning_rate'; did"),
        (
            "recipe.epochs=0",
            "--set recipe.epochs=0: recipe.epochs: expected a number greater than 0 and at most 100,000, got 0",
        ),
        ("nothing", "--set nothing: expected key=value with a dotted key"),
        ("=3", "--set =3: expected key=value with a dotted key"),
        ("keep=[", "--set keep=[: keep: the value '[' is not YAML"),
        ("base.x=1", "--set base.x=1: base.x: 'base' is not a mapping, it has no keys"),
        ("vary.seed=[0, 0]", "--set vary.seed=[0, 0]: vary.seed[1]: 0 is listed twice"),
    ],
)
def test_a_bad_override_is_named(override: str, sentence: str, tmp_path: Path) -> None:
    assert complaint(tmp_path, GOOD, [override]).startswith(sentence)


def test_a_mapping_has_no_lines() -> None:
    with pytest.raises(ConfigError) as caught:
        Study.from_mapping({"base": "m", "tasks": tasks("a"), "chains": [["b"]]}, name="here")
    assert str(caught.value) == "here: chains[0][0]: no task is named 'b'; valid: a"


def test_the_mapping_is_not_changed() -> None:
    mapping = {"base": "m", "tasks": tasks("a"), "chains": [["a"]]}
    Study.from_mapping(mapping, ["tasks.a.train=3"])
    assert mapping == {"base": "m", "tasks": tasks("a"), "chains": [["a"]]}


@pytest.mark.parametrize(("gpus", "fine"), [(0.5, True), (1, True), (2, True), (1.5, False)])
def test_gpus_are_whole_or_a_part_of_one(gpus: float, fine: bool) -> None:
    mapping = {"base": "m", "tasks": tasks("ab"), "chains": "both orders", "recipe": {"gpus": gpus}}
    if fine:
        assert Study.from_mapping(mapping).stage.resources.gpus == gpus
    else:
        with pytest.raises(ConfigError, match="expected a whole number of GPUs, or a part of one such as"):
            Study.from_mapping(mapping)


def test_a_base_that_lies_beside_the_file_is_found_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here / "m0", here / "adapters" / "a", there / "m1"):
        folder.mkdir(parents=True)
    (here / "m.gguf").touch()
    monkeypatch.chdir(there)
    path = written(here, changed("smollm2-135m", "[m0, m.gguf, m0+adapters/a, owner/name, m0+owner/a, smollm2-135m]"))
    study = Study.from_yaml(path)
    m0 = str(here / "m0")
    assert study.bases == ("m0", "m.gguf", "m0+a", "owner/name", "m0+owner/a", "smollm2-135m")
    assert [study.located(base) for base in study.bases] == [
        m0, str(here / "m.gguf"), f"{m0}+{here / 'adapters' / 'a'}", "owner/name", f"{m0}+owner/a", "smollm2-135m"
    ]  # fmt: skip
    assert Study.from_yaml(written(there, study.to_yaml())).places == study.places
    assert Study.from_yaml(path, "base=m1").located("m1") == str(there / "m1")


def test_a_study_that_is_written_down_elsewhere_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "runs" / "mine"
    (here / "m").mkdir(parents=True)
    there.mkdir(parents=True)
    text = GOOD.replace("base: smollm2-135m", "base: m").replace("csqa: {", "csqa: {path: d/x.csv, ")
    study = Study.from_yaml(written(here, text))
    moved = study.to_yaml(there)
    assert str(tmp_path) not in moved
    again = Study.from_yaml(written(there, moved))
    assert (again.bases, again.variants()) == (study.bases, study.variants())
    assert Path(again.located("m")).resolve() == here / "m"
    assert study.tasks["csqa"].path is not None
    assert again.tasks["csqa"].path is not None
    assert Path(again.tasks["csqa"].path).resolve() == Path(study.tasks["csqa"].path)


def test_fields_of_lora_without_lora_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Study.from_yaml(written(tmp_path, changed("method: full", "lora_rank: 4")))
    assert "recipe.lora_rank changes nothing, because no stage has 'method: lora'" in caplog.text
    caplog.clear()
    for text in (
        changed("method: full", "method: lora, lora_rank: 4"),
        Study.from_yaml(written(tmp_path, GOOD)).to_yaml(),
    ):
        Study.from_yaml(written(tmp_path, text))
    assert not caplog.text
