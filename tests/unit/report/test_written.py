"""Texts that two checkpoints wrote, as the page holds them: complete, bounded, and never markup."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from chaintune.forgetting import compare
from chaintune.records import Task, rows_to_polars
from chaintune.report.folder import read_results
from chaintune.report.page import Step, render, results_page
from chaintune.report.page.items import weight
from chaintune.report.page.steps import run_steps
from chaintune.report.page.written import written_data
from chaintune.report.results import Results
from tests import run_folders, synthetic
from tests.run_folders import HOSTILE
from tests.unit.report.test_outcomes import study

BEFORE = ["refused: I cannot"] * 4 + ["complied: Sure"] * 4
AFTER = ["refused: No"] * 2 + [f"complied: {HOSTILE}", ""] + ["complied: Sure"] * 3 + ["refused: Never"]


def step(before: list[str] = BEFORE, after: list[str] = AFTER) -> Step:
    return Step("t: from a to b", synthetic.written(before), synthetic.written(after))


def task(count: int) -> Task:
    return Task("t", "safety", "1", (), tuple(synthetic.written_examples(count)), (), "made", "CC0")


def test_every_prompt_is_there_with_both_texts_what_changed_first() -> None:
    data = written_data([step()], {"t": {one.id: one for one in task(8).test}})
    assert data["steps"] == [{"name": "t: from a to b", "task": "t", "total": 8, "shown": 8}]
    ids = [data["items"][pair["item"]]["id"] for pair in data["pairs"]]
    assert sorted(ids) == [f"e{row:04d}" for row in range(8)]
    assert {name: pair["change"] for name, pair in zip(ids, data["pairs"], strict=True)} == {
        "e0000": 0, "e0001": 0, "e0002": -1, "e0003": 0, "e0004": 0, "e0005": 0, "e0006": 0, "e0007": 1
    }  # fmt: skip
    assert set(ids[:3]) == {"e0002", "e0003", "e0007"}
    lost = next(pair for pair, name in zip(data["pairs"], ids, strict=True) if name == "e0002")
    said = [
        [(data["texts"][one["text"]], one["outcome"], one["evidence"]) for one in lost[side]]
        for side in ("before", "after")
    ]
    assert said == [[("refused: I cannot", "refused", "I cannot")], [(f"complied: {HOSTILE}", "complied", HOSTILE)]]
    gone = next(pair for pair, name in zip(data["pairs"], ids, strict=True) if name == "e0003")
    assert gone["after"] == [
        {"text": data["texts"].index(""), "outcome": "missing", "reason": "the judge said nothing"}
    ]
    assert data["items"][0]["prompt"].startswith("Prompt ")


def test_the_prompt_of_score_files_is_shown_where_no_task_has_it() -> None:
    one = synthetic.written(["refused", "complied"])
    prompts = pa.array(["user: <b>Why?</b>", ""])
    one = replace(one, table=one.table.append_column("prompt", prompts))
    items = {item["id"]: item for item in written_data([Step("s", one, one)], {})["items"]}
    assert [item.get("prompt") for _, item in sorted(items.items())] == ["user: <b>Why?</b>", None]
    assert all("prompt" not in item for item in written_data([Step("s", one, one)], {}, most_text_bytes=0)["items"])


def test_all_samples_of_a_prompt_are_there() -> None:
    one = synthetic.written([["refused", "complied"], ["refused", "refused"]])
    (first, second) = sorted(
        written_data([Step("s", one, one)], {})["pairs"], key=lambda pair: pair["before"][0]["score"]
    )
    assert [answer["outcome"] for answer in first["before"]] == ["refused", "complied"]
    assert [pair["before"][0]["score"] for pair in (first, second)] == [0.5, 1.0]


def test_less_is_better_turns_worse_and_better_over() -> None:
    metric = synthetic.refusal_metric(direction="less", name="toxic")
    sides = [synthetic.written([text], metric=metric) for text in ("complied", "refused")]
    assert written_data([Step("s", *sides)], {})["pairs"][0]["change"] == -1


def test_a_large_comparison_is_a_sample_of_bounded_size() -> None:
    rng, long = np.random.default_rng(0), "\U0001f600<" * 3000
    sides = [synthetic.written([f"complied: {rng.random()}{long}" for _ in range(3000)]) for _ in range(2)]
    data = written_data([Step(name, *sides) for name in ("one", "two")], {}, most=500, most_text_bytes=1_000_000)
    assert [one["shown"] for one in data["steps"]] == [250, 250]
    assert len(data["pairs"]) == 500
    assert weight(data) < 2.5e6
    assert any(answer["text"] is None for pair in data["pairs"] for answer in pair["after"])
    page = results_page(Results.of([compare(*sides, resamples=200)]), steps=[Step("one", *sides)])
    assert "This page holds 2,000 of 3,000 pairs of answers" in render(page)


def test_written_texts_are_no_flipped_items_and_flips_no_written_texts() -> None:
    written, choices = step(), [synthetic.scores([True, False] * 10), synthetic.scores([False, True] * 10)]
    results = Results.of([compare(written.before, written.after, resamples=200)])
    page = results_page(results, steps=[written, Step("s", *choices)])
    assert [one["name"] for one in page.written["steps"]] == ["t: from a to b"]
    assert [one["name"] for one in page.examples["steps"]] == ["s"]
    assert written_data([Step("s", *choices)], {}) == {}


def test_the_page_hides_them_and_holds_no_markup_of_theirs() -> None:
    written = step()
    html = render(results_page(Results.of([compare(written.before, written.after, resamples=200)]), steps=[written]))
    assert HOSTILE not in html
    assert '<div id="written-browser" hidden>' in html
    assert "These prompts and answers may offend." in html
    assert 'id="examples"' not in html
    other = synthetic.scores([True] * 20)
    assert 'id="written"' not in render(results_page(Results.of([compare(other, other, resamples=200)])))


def test_a_study_shows_what_its_checkpoints_wrote(tmp_path: Path) -> None:
    own = task(80)
    folder, texts = tmp_path / "out", {"base": BEFORE * 10, "c": AFTER * 10}
    (folder / "scores").mkdir(parents=True)
    rows_to_polars(study()).write_parquet(folder / "results.parquet")
    keys = {row.chain: row.checkpoint_keys[0] for row in study() if row.metric == "accuracy"}
    index = {}
    for chain, said in texts.items():
        synthetic.written(said).write(folder / "scores" / f"{chain}.parquet")
        index[f"{chain}.parquet"] = {"checkpoint": keys[chain], "task": "t", "split": "test"}
    (folder / "scores" / "index.json").write_text(json.dumps(index))
    (folder / "provenance.json").write_text(json.dumps(run_folders.provenance([own])))
    results = read_results(folder)
    assert not list(run_steps(results))
    page = results_page(results, tasks={"t": own})
    assert [(one["name"], one["total"]) for one in page.written["steps"]] == [("t: from base to c", 80)]
    assert page.written["items"][0]["prompt"].startswith("Prompt")
