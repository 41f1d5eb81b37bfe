"""Whoever follows the advice of an error is never led to another error of the same key."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from chaintune.errors import ConfigError
from chaintune.study.study import Study

GOOD: dict[str, Any] = yaml.safe_load("""\
base: smollm2-135m
tasks:
  bbq: {role: safety, train: 30 per category, test: 40, seed: 1, recipe: {epochs: 2.0}}
  own:
    role: capability
    path: x.jsonl
    columns: {prompt: "{q}", choices: [a, b], gold: g, groups: {owner: who}}
    test_share: 0.2
    measure: choice
    metric: [accuracy]
  hubby: {role: safety, hub: a/b, config: c, split: {train: a, test: b}}
  lm: {role: safety, lm_eval: x, fewshot: 2}
chains: [[bbq, own], all orders of 2]
recipe:
  {method: lora, learning_rate: 0.001, epochs: 1.0, batch_size: 16, micro_batch_size: 4, warmup_fraction: 0.1,
   schedule: cosine, weight_decay: 0.1, max_grad_norm: 1.0, lora_rank: 8, lora_alpha: 16.0, lora_dropout: 0.1,
   lora_targets: [q_proj], quantize: 4bit, gradient_checkpointing: true, keep_together: true, devices: 1, cpus: 1.0,
   gpus: 0.5, memory_gb: 4.0, report_to: tensorboard, objective: sft}
seed: 0
vary: {seed: [0, 1], recipe.learning_rate: [0.001, 0.002], tasks.own.recipe.epochs: [1.0, 2.0]}
precision: auto
backend: transformers
metric: accuracy
keep: all
level: 0.95
resamples: 1000
forgetting_from: best
mitigations:
  - replay: {task: bbq, dose: [0.1, 0.2], who: balanced, by: category, recipe: {epochs: 3.0}}
  - ewc: {task: bbq, strength: [1.0, 10.0], examples: 8}
  - interpolate: {task: bbq, fraction: [0.5], toward: base}
curvature: {examples: 8, space: full, batches: 2, tolerance: 0.01, basis: 6}
""")
WRONG: tuple[Any, ...] = (
    True,
    -1,
    0,
    3.5,
    10**30,
    float("inf"),
    float("nan"),
    "zzz",
    "bse",
    "",
    [],
    [[]],
    ["zzz"],
    {"a": 1},
    {},
    None,
)

Place = tuple[str | int, ...]


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for part, one in inner:
        yield (*at, part)
        yield from places(one, (*at, part))


def changed(value: Any, at: Place, new: Any) -> Any:
    """A copy with another value at a place."""
    if not at:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = changed(value[at[0]], at[1:], new)
    return copy


def sentence_at(mapping: Any, at: Place) -> str:
    """The complaint about a key itself; empty when there is none."""
    try:
        Study.from_mapping(mapping)
    except ConfigError as error:
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in at).removeprefix(".")
        lines = [line.strip().removeprefix("study: ") for line in str(error).splitlines()]
        return next((line.removeprefix(f"{key}: ") for line in lines if line.startswith(f"{key}: ")), "")
    return ""


def advised(sentence: str, value: Any, good: Any) -> list[Any]:
    """Every value that the sentence tells to write; a shape that it asks for is that of the good value."""
    if "put it in quotes" in sentence:
        return [str(value)]
    if named := re.search(r"did you mean '([^']+)'", sentence):
        return [named[1]]
    if "name it once" in sentence:
        return []
    if "no 'path' is given" in sentence:
        return [{"path": "x.jsonl"}]
    if named := re.search(r"valid: ([^,;]+)", sentence):
        return [named[1]]
    if example := re.search(r"such as (.+?)(?:, got|$)", sentence):
        return [yaml.safe_load(example[1]), *re.findall(r"'(all orders[^']*2)'", sentence)]
    if kind := re.search(r"(a whole number|a number)(?:(?: of)?(.*?))?(?:, got|, or|$)", sentence):
        return numbers(kind[2] or "", whole=kind[1] == "a whole number")
    if named := re.search(r"needs a role, '(\w+)'", sentence):
        return [named[1]]
    if "write at least 1" in sentence:
        return [1]
    if "valid boolean" in sentence:
        return [True, False]
    assert re.search(r"expected (a|at least one|text)\b", sentence), f"no advice: {sentence}"
    return [good]


def numbers(limits: str, *, whole: bool) -> list[float]:
    """The least and the largest number within limits that a sentence names."""
    found = re.findall(r"(from|to|greater than|at least|at most|less than) ([\d.,]*\d)", limits)
    ends = {word: float(end.replace(",", "")) for word, end in found}
    low = ends.get("from", ends.get("at least", ends.get("greater than", -1e3) + 1e-6))
    high = ends.get("to", ends.get("at most", ends.get("less than", 1e3) - 1e-6))
    return [int(low), int(high)] if whole else [low, high]


def test_the_study_is_valid() -> None:
    Study.from_mapping(GOOD)


@pytest.mark.parametrize("at", list(places(GOOD)), ids=lambda at: ".".join(map(str, at)))
def test_following_an_advice_leads_to_no_other_error_of_the_key(at: Place) -> None:
    good: Any = GOOD
    for part in at:
        good = good[part]
    for wrong in WRONG:
        sentence = sentence_at(changed(GOOD, at, wrong), at)
        for value in advised(sentence, wrong, good) if sentence else ():
            then = sentence_at(changed(GOOD, at, value), at)
            # A list may hold the advised value already.
            assert not then or re.search("listed twice|in an earlier item too", then), (
                f"{wrong!r}: {sentence} -> {value!r}: {then}"
            )
