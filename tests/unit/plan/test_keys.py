"""What addresses a measurement and scores: each part changes the keys that it enters, and no other."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest

from chaintune.errors import ConfigError
from chaintune.plan.measurements import measured_content, measurement_key
from chaintune.plan.plan import compile_plan
from chaintune.records import CHOICE_METRICS, Choices, Example, ItemMetric, Preference, Reference, ScorerRef, Task
from chaintune.records.examples import Target
from chaintune.records.labels import TextLabels
from chaintune.scoring.backends import BACKENDS, DEFAULT
from chaintune.scoring.measures import MEASURES, Measure
from chaintune.scoring.reading import scores_key
from tests.dummy_engine import BASE_KEY, make_plan, make_study, make_task

CHOICE = MEASURES.get("choice")
PLAIN: dict[str, Any] = {
    "checkpoint": BASE_KEY,
    "task": make_task("a"),
    "measure": CHOICE,
    "precision": "fp32",
    "backend": DEFAULT,
    "asks_twice": True,
    "metric": CHOICE_METRICS["accuracy"],
}


def keys(**changes: Any) -> tuple[str, str]:
    """Of the measurement, and of its scores."""
    parts = PLAIN | changes
    content = measured_content(parts["task"], "test", parts["measure"])
    named = parts["checkpoint"], content, parts["precision"], parts["backend"]
    key = measurement_key(*named, asks_twice=parts["asks_twice"])
    return key, scores_key(key, parts["task"].test, parts["metric"])


def first(change: Callable[[Example], Example]) -> Task:
    task: Task = PLAIN["task"]
    return replace(task, test=(change(task.test[0]), *task.test[1:]))


def regold(example: Example) -> Example:
    return replace(example, target=replace(example.choices, gold=1 - example.choices.gold))


def reword(example: Example) -> Example:
    return replace(example, target=replace(example.choices, texts=(" yes", " never")))


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"checkpoint": "1" * 64}, (True, True)),
        ({"precision": "bf16"}, (True, True)),
        ({"asks_twice": False}, (True, True)),
        ({"measure": replace(CHOICE, version="2")}, (True, True)),
        ({"task": first(lambda example: replace(example, id="other"))}, (True, True)),
        ({"task": first(lambda example: replace(example, prompt="why?"))}, (True, True)),
        ({"task": first(reword)}, (True, True)),
        ({"task": replace(PLAIN["task"], test=PLAIN["task"].test[1:])}, (True, True)),
        ({"task": first(regold)}, (False, True)),
        ({"task": first(lambda example: replace(example, groups={"side": ("right",)}))}, (False, True)),
        ({"task": first(lambda example: replace(example, cluster="x"))}, (False, True)),
        ({"task": first(lambda example: replace(example, pair="p"))}, (False, True)),
        ({"task": first(lambda example: replace(example, extra={"expects": "refuse"}))}, (False, True)),
        ({"metric": CHOICE_METRICS["accuracy_per_byte"]}, (False, True)),
        ({"metric": replace(CHOICE_METRICS["accuracy"], version="2")}, (False, True)),
        ({"task": first(lambda example: replace(example, split="dev"))}, (False, False)),
        ({"task": replace(PLAIN["task"], test=PLAIN["task"].test[::-1])}, (False, False)),
        ({"task": replace(PLAIN["task"], name="b")}, (False, False)),
        (
            {"task": replace(PLAIN["task"], version="9", role="capability", metrics=("accuracy_per_byte",))},
            (False, False),
        ),
    ],
)
def test_each_part_enters_the_keys_that_hang_on_it(changes: dict[str, Any], changed: tuple[bool, bool]) -> None:
    assert tuple(one != other for one, other in zip(keys(), keys(**changes), strict=True)) == changed


def test_a_backend_enters_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    first, kind = keys(), BACKENDS.get(DEFAULT)
    monkeypatch.setattr(type(BACKENDS), "get", lambda *_: replace(kind, version="2"))
    assert all(one != other for one, other in zip(first, keys(), strict=True))


def test_scores_hang_on_the_target_of_whatever_kind() -> None:
    targets: list[Target] = [None, Choices(("a", "b"), 0), Reference("a"), Preference("a", "b")]
    assert {type(target) for target in targets} == set(get_args(Target))
    metric = ItemMetric("m")
    examples = [Example("e", "q", target, {}, "e") for target in targets]
    assert len({scores_key("k", [example], metric) for example in examples}) == len(targets)


def test_scores_of_a_model_lie_where_a_study_puts_its_bases() -> None:
    plan = make_plan(make_study(), {"a": PLAIN["task"], "b": make_task("b")})
    node = plan.scores[0]
    assert (node.checkpoint_key, node.task, node.key) == (BASE_KEY, "a", keys()[0])


def test_tasks_with_the_same_examples_are_measured_once() -> None:
    twin = replace(PLAIN["task"], name="b", role="capability")
    plan = make_plan(make_study(), {"a": PLAIN["task"], "b": twin})
    assert len(plan.scores) == len({node.checkpoint_key for node in plan.scores})
    for cell in plan.cells:
        assert cell.measurements["a"] == cell.measurements["b"]


def test_a_measure_says_what_it_asks() -> None:
    assert isinstance(CHOICE, Measure)
    assert measured_content(PLAIN["task"], "train", CHOICE) != measured_content(PLAIN["task"], "test", CHOICE)


def test_a_chat_template_enters_the_keys_of_what_it_renders_alone() -> None:
    study, tasks = make_study("ab"), {name: make_task(name) for name in "ab"}
    plans = [
        compile_plan(study, base_keys={"tiny": BASE_KEY}, tasks=tasks, precision="fp32", templates=templates)
        for templates in ({}, {("tiny", "a"): "1" * 64}, {("tiny", "a"): "2" * 64})
    ]
    plain, one, other = ({node.title: node.key for node in plan.nodes} for plan in plans)
    without = {"score base on b", "base on b", "stage b, seed 0", "b, seed 0", "b, seed 0 on b"}
    assert {title for title in plain if plain[title] == one[title]} == without & plain.keys()
    assert {title for title in one if one[title] == other[title]} == without & plain.keys()
    # As they were before there were templates.
    assert [plain[f"base on {name}"][:16] for name in "ab"] == ["91dad9d70cafd68a", "17c0955244c73f36"]


def test_ends_of_texts_enter_the_keys_of_measurements_by_texts_alone() -> None:
    study = make_study("ab")
    tasks = {"a": refusing(ScorerRef("refusal")), "b": make_task("b")}
    plans = [
        compile_plan(study, base_keys={"tiny": BASE_KEY}, tasks=tasks, precision="fp32", ends=ends)
        for ends in ({}, {"tiny": (2,)}, {"tiny": (2, 7)})
    ]
    plain, *others = ([(node.kind, node.task, node.key) for node in plan.nodes] for plan in plans)
    for other in others:
        changed = {(kind, task) for kind, task, _ in set(plain) ^ set(other)}
        assert changed == {("score", "a")}
    assert not {key for kind, task, key in others[0] if (kind, task) == ("score", "a")} & {key for *_, key in others[1]}


def refusing(scorer: ScorerRef, **about: Any) -> Task:
    """A task of texts that a scorer judges."""
    return replace(make_task("a"), measures=("generation",), scorers=(scorer,), **about)


def replayed(task: Task) -> list[str]:
    """Keys of the stages of a chain that loses the task and of one that gets back what its groups lost."""
    replay = {"replay": {"task": "a", "dose": [0.25], "who": "targeted"}}
    study = make_study("ab", chains=[["a", "b"]], mitigations=[replay])
    return [node.key for node in make_plan(study, {"a": task, "b": make_task("b")}).stages]


def test_what_judges_texts_enters_the_keys_of_stages_that_it_weighs() -> None:
    one, other = (ScorerRef("contains", {"any": [word]}) for word in ("red", "blue"))
    plain = replayed(refusing(one))
    assert replayed(refusing(one)) == plain
    assert [key == same for key, same in zip(plain, replayed(refusing(other)), strict=True)] == [True, True, False]
    labelled = refusing(one, labels=TextLabels({("a1", "a red one"): 1.0}))
    assert replayed(labelled) == plain  # people's labels change no score


def test_doses_are_not_weighed_by_what_training_examples_do_not_say_is_expected() -> None:
    task = refusing(ScorerRef("refusal"))
    asked = tuple(replace(example, extra={"expects": "refuse"}) for example in task.test)
    told = tuple(replace(example, extra={"expects": "refuse"}) for example in task.train)
    assert len(replayed(replace(task, test=asked, train=told))) == 3
    for train in (task.train, (*told[1:], task.train[0])):
        with pytest.raises(ConfigError, match=r"task 'a': 'who: targeted' .* not all of these say what is expected"):
            replayed(replace(task, test=asked, train=train))
    make_plan(make_study("ab", chains=[["a", "b"]]), {"a": replace(task, test=asked), "b": make_task("b")})
