"""The page: what it says, that nothing in it is markup by mistake, and how large it gets."""

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
import pyarrow as pa
import pytest

import chaintune
from chaintune.records import (
    Choices,
    Comparison,
    Example,
    Gate,
    Judgement,
    Message,
    Preference,
    Reference,
    Scores,
    items_table,
    plain_scores,
)
from chaintune.report.folder import read_results, read_rows
from chaintune.report.page import Page, Step, render, results_page
from chaintune.report.page.flips import MOST_FLIPS, examples_data
from chaintune.report.page.items import as_script, shares_of, weight
from chaintune.report.page.render import picture
from chaintune.report.page.steps import run_steps
from chaintune.report.results import Results
from tests import run_folders, synthetic
from tests.run_folders import HOSTILE


class Outline(HTMLParser):
    """Elements, text and attributes of a page, as a browser would see them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


LIBRARIES_AND_FIGURES = 5e6
TASKS = (run_folders.task("s"), run_folders.task("c"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_folders.run_folder(tmp_path_factory.mktemp("run") / "out", TASKS)


def page_of(folder: Path, *, known: bool = True, figures: int = 1) -> Page:
    return results_page(
        read_results(folder),
        tasks={one.name: one for one in TASKS} if known else {},
        figures=[run_folders.figure(f"made-{number}") for number in range(figures)],
    )


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    return render(page_of(folder))


def test_the_answer_comes_first_with_a_verdict_for_each_task(folder: Path) -> None:
    page = page_of(folder)
    assert [finding.about for finding in page.findings] == ["s after s>c", "c after c>s"]
    assert {finding.verdict for finding in page.findings} <= {"forgot", "kept", "gained", "inconclusive"}
    assert [heading for heading, _ in page.answer] == [
        "What was forgotten, and for whom",
        "Does the order matter?",
        "How sure this is",
    ]
    assert ("s", "s>c", "the whole") in [row[:3] for row in page.unseen.rows]
    assert {row[2] for row in page.unseen.rows} == {"the whole", "faith", "half"}


def test_everything_that_was_measured_is_on_the_page(html: str) -> None:
    text = Outline(html).text
    for words in (
        "Forgetting in the study made",
        "Accuracy",
        "Final score in both orders",
        "1,234 tokens, 2.00 device",
    ):
        assert words in text, words
    assert all(word in text for word in ("licence: CC0", "Python 3.11.7", "fp32", "assumptions of ours"))
    assert html.count('href="#made-0"') == 1
    assert html.count('id="made-0"') == 1


@pytest.mark.usefixtures("undrawn")
def test_contents_fold_what_is_many(folder: Path) -> None:
    for figures, folded in ((8, False), (9, True)):
        assert (f"<summary>{figures} figures</summary>" in render(page_of(folder, figures=figures))) is folded


def test_every_link_within_the_page_has_its_target_and_no_id_comes_twice(html: str) -> None:
    attributes = Outline(html).attributes
    ids = [value for name, value in attributes if name == "id"]
    targets = {value.removeprefix("#") for name, value in attributes if name == "href" and value and value[0] == "#"}
    assert targets
    assert targets <= set(ids)
    assert len(ids) == len(set(ids))


def test_nothing_from_data_becomes_an_element_or_an_attribute(html: str) -> None:
    found = Outline(html)
    assert "onerror" not in {name for name, _ in found.attributes}
    assert set(found.tags) >= {"main", "nav", "figure", "figcaption", "details", "table"}
    assert found.tags.count("img") == 1
    assert found.tags.count("script") == 3
    assert found.text.count(HOSTILE) >= 5


def test_nothing_is_fetched_and_only_what_is_inside_may_run(html: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    assert policy[1].startswith("default-src &#39;none&#39;; script-src &#39;sha256-")
    assert "unsafe" not in policy[1]
    addresses = [value or "" for name, value in Outline(html).attributes if name in ("src", "srcset", "href")]
    assert addresses
    assert all(value.startswith(("data:", "#")) for value in addresses)


def test_still_pictures_leave_room_for_wider_fonts() -> None:
    found = picture(run_folders.figure())
    for address in (found.light, found.dark):
        root = Xml.fromstring(base64.b64decode(address.partition("base64,")[2]))  # noqa: S314 - ours
        left, _, width, _ = map(float, root.attrib["viewBox"].split())
        assert -left == 18
        assert width == float(root.attrib["width"]) == 760 + 2 * 18


@pytest.mark.parametrize("text", ["</script>", "<!--", HOSTILE, "&lt;", "\u2028", "\u2029"])
def test_json_in_a_script_cannot_end_it_and_reads_back(text: str) -> None:
    written = as_script({text: [text]})
    assert not set("<>&\u2028\u2029") & set(written)
    assert json.loads(written) == {text: [text]}


def test_a_lone_surrogate_does_not_stop_the_page(folder: Path) -> None:
    found = page_of(folder, figures=0)
    html = render(Page("\ud800", "", found.findings, found.answer, found.unseen, examples={"items": ["\udfff"]}))
    assert "<h1>?</h1>" in html
    html.encode()


def test_the_same_results_make_the_same_bytes(folder: Path, html: str) -> None:
    assert render(page_of(folder)) == html


def test_steps_are_those_that_forgetting_speaks_about_and_their_flips_add_up(folder: Path) -> None:
    rows = read_rows(folder / "results.parquet")
    data = examples_data(run_steps(read_results(folder)), {})
    assert [step["name"] for step in data["steps"]] == ["s: from s to s>c", "c: from c to c>s"]
    for step, one in zip(data["steps"], ("s", "c"), strict=True):
        (lost,) = [r for r in rows if r.metric == "forgetting" and not r.dimension and r.task == one]
        assert (step["forgot"] - step["learned"]) / lost.estimate.n == pytest.approx(lost.estimate.value)
        assert step["shown"] == step["forgot"] + step["learned"] > 0


def test_scores_of_other_weights_than_the_results_speak_of_are_not_shown(folder: Path, tmp_path: Path) -> None:
    other = run_folders.run_folder(tmp_path / "out", TASKS)
    index = json.loads((other / "scores" / "index.json").read_text())
    index["s-c.on-s.parquet"]["checkpoint"] = "of another run"
    (other / "scores" / "index.json").write_text(json.dumps(index))
    steps = list(run_steps(replace(read_results(folder), folder=other)))
    assert [step.before.task for step in steps] == ["c"]


def test_texts_come_from_the_task_only_where_it_is_the_one_that_was_scored(folder: Path) -> None:
    known, unknown = page_of(folder).examples, page_of(folder, known=False).examples
    assert all("prompt" in item and len(item["choices"]) == 3 for item in known["items"])
    assert not any("prompt" in item for item in unknown["items"])
    other = {"s": run_folders.task("s", count=58), "c": TASKS[1]}
    mixed = results_page(read_results(folder), tasks=other).examples
    assert {item["task"] for item in mixed["items"] if "prompt" in item} == {"c"}


def test_probabilities_are_shares_among_the_choices_and_say_who_was_right(folder: Path) -> None:
    data = page_of(folder).examples
    for flip in data["flips"]:
        gold = data["items"][flip["item"]]["gold"]
        was, now = (max(range(3), key=side.__getitem__) == gold for side in (flip["before"], flip["after"]))
        assert (was, now) == (flip["forgot"], not flip["forgot"])
        assert sum(flip["before"]) == pytest.approx(1, abs=2e-3)


def test_a_metric_by_length_changes_what_counts_and_what_is_shown() -> None:
    one = synthetic.scores([True] * 4)
    lengths = one.table.column("choice_tokens").to_pylist()
    assert lengths[0] == [1, 1]
    assert examples_data([Step("x", one, one)], {}, metric="accuracy_per_token") == {}


def test_graded_scores_show_the_score() -> None:
    sides = [plain_scores("t", items_table(["a", "b"], values, [{}, {}])) for values in ([1.0, 0.5], [0.25, 0.5])]
    data = examples_data([Step("x", sides[0], sides[1])], {})
    assert [(flip["before"], flip["after"], flip["forgot"]) for flip in data["flips"]] == [([1.0], [0.25], True)]
    assert data["items"][0]["gold"] is None


def test_what_is_no_choice_is_shown_with_its_answers() -> None:
    turns = (Message("user", "Why?"),)
    steps = [Step("x", *(synthetic.lengths([value]) for value in (10.0, 20.0)))]
    for target, answers in (
        (Reference("So."), "reference: So."),
        (Preference("So.", "No."), "chosen: So.\n\nrejected: No."),
        (None, ""),
    ):
        example = Example("e0000", turns, target, {}, "e0000")
        (item,) = examples_data(steps, {"t": {"e0000": example}})["items"]
        assert item["prompt"] == "\n\n".join(filter(None, ["user: Why?", answers]))
        assert "choices" not in item


def test_a_sample_is_an_equal_share_and_the_same_items_everywhere() -> None:
    assert shares_of([5, 100, 100], 65) == [5, 30, 30]
    assert sum(shares_of([7, 9, 11], 10)) == 10
    assert shares_of([0, 3], 10) == [0, 3]
    before, after = synthetic.scores([True] * 500), synthetic.scores([False] * 500)
    data = examples_data([Step("x", before, after), Step("y", before, after)], {}, most=60)
    shown = [[flip["item"] for flip in data["flips"] if flip["step"] == number] for number in (0, 1)]
    assert len(data["items"]) == 30
    assert shown[0] == shown[1]
    assert [step["forgot"] for step in data["steps"]] == [500, 500]


def test_the_page_says_what_part_of_the_flips_it_holds() -> None:
    before, after = synthetic.scores([True] * 500), synthetic.scores([False] * 500)
    steps = [Step("x", before, after), Step("y", before, after)]
    empty = results_page(Results.of([chaintune.compare(before, before, resamples=200)]))
    for most, said in ((60, True), (5000, False)):
        html = render(replace(empty, examples=examples_data(steps, {}, most=most)))
        assert ("This page holds a sample: 60 of 1,000 of them" in html) is said


def test_long_texts_are_cut_and_say_so() -> None:
    long = Example("s/0", "x" * 5000 + "?", Choices((" yes", " no"), 0), {}, "1")
    before, after = synthetic.scores([True], ids=["s/0"], task="s"), synthetic.scores([False], ids=["s/0"], task="s")
    data = examples_data([Step("x", before, after)], {"s": {"s/0": long}})
    prompt = data["items"][0]["prompt"]
    assert len(prompt) < 1700
    assert prompt.endswith("x?")
    assert "characters left out" in prompt


def comparison(right_after: float = 0.5) -> tuple[Comparison, Scores, Scores]:
    rng = np.random.default_rng(0)
    groups = {"faith": [HOSTILE if number % 2 else "b" for number in range(60)]}
    before = synthetic.scores([True] * 60, groups=groups, noise=1)
    after = synthetic.scores((rng.random(60) < right_after).tolist(), groups=groups, noise=2)
    return chaintune.compare(before, after, by=["faith"], resamples=200), before, after


def test_a_comparison_has_a_page_too() -> None:
    found, before, after = comparison()
    found = replace(found, provenance_before={"rounding": '{"example_id": ["1", "2"], "nats": [1e-7, 2e-7]}'})
    budget: dict[str, Any] = {"dimension": "", "group": "", "statistic": "forgetting", "tier": "block", "budget": 0.1}
    gate = Gate("p.yaml", (Judgement(task="t", relative=False, answer="fail", value=0.5, **budget),))
    results = Results.of([found], gate, command=["chaintune", "compare"])
    page = results_page(results, steps=[Step("t", before, after)])
    html = render(page)
    text = Outline(html).text
    assert page.findings[0].scope == "60 examples, 60 clusters", "two checkpoints have no seeds"
    assert "rounding: measured on 2 examples, asked a second time" in text
    assert "FAIL: of one blocking budget 1 exceeded." in text
    assert "The later checkpoint forgot t" in text
    assert page.findings[0].verdict == "forgot"
    assert len(page.examples["flips"]) == found.overall.forgot
    assert "Budgets of p.yaml" in text
    assert HOSTILE in text


def test_without_flips_there_are_no_examples() -> None:
    same = synthetic.scores([True, False] * 20)
    page = results_page(Results.of([chaintune.compare(same, same, resamples=200)]), steps=[Step("t", same, same)])
    assert 'id="examples"' not in render(page)


def many(count: int, *, flipped: bool) -> Scores:
    """Scores of many examples in one go, all right or all wrong."""
    ids = [f"s/{number:06d}" for number in range(count)]
    logprobs = [-0.5, -2.0][:: -1 if flipped else 1]
    columns: dict[str, Any] = {
        "task": ["s"] * count,
        "example_id": ids,
        "cluster": ids,
        "groups": [[("faith", ["a"])]] * count,
        "gold": [0] * count,
        "choice_logprobs": [logprobs] * count,
        "choice_tokens": [[1, 1]] * count,
        "choice_bytes": [[1, 1]] * count,
        "choice_roles": [[]] * count,
        "prediction": [int(flipped)] * count,
        "correct": [not flipped] * count,
        "score": [float(not flipped)] * count,
    }
    schema = synthetic.scores([True]).table.schema
    columns |= {name: [None] * count for name in schema.names if name not in columns}
    return Scores("s", pa.Table.from_pydict(columns, schema=schema))


def test_a_hundred_checkpoints_of_sixty_thousand_items_stay_under_twenty_megabytes() -> None:
    count, words = 60_000, "\U0001f600<" * 1500
    before, after = many(count, flipped=False), many(count, flipped=True)
    choices = (" yes" + words, " no" + words)
    texts = {"s": {name: Example(name, words, Choices(choices, 0), {}, name) for name in before.example_ids}}
    data = examples_data((Step(f"s: {number}", before, after) for number in range(100)), texts)
    assert [step["forgot"] for step in data["steps"]] == [count] * 100
    assert sum(step["shown"] for step in data["steps"]) == len(data["flips"]) <= MOST_FLIPS
    unlike = examples_data([Step("s", before, after)], texts)
    assert len(unlike["items"]) == MOST_FLIPS
    assert 0 < sum("prompt" in item for item in unlike["items"]) < MOST_FLIPS
    assert max(weight(data), weight(unlike)) < 20e6 - LIBRARIES_AND_FIGURES
