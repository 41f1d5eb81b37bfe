"""What is taught is not tested: equal items under other ids, within a task and between tasks."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaintune.errors import DataError
from chaintune.records import Choices, Example
from chaintune.study.study import Study
from chaintune.study.task_spec import load_spec
from chaintune.tasks.overlap import content_of, joined_clusters, kept_apart, shared_items


def example(k: int, content: int, cluster: str = "") -> Example:
    return Example(f"e{k}", f"question {content}", Choices((" yes", " no"), 0), {}, cluster or f"e{k}")


def test_blanks_order_of_choices_and_the_right_one_say_nothing() -> None:
    one = Example("a", "Who?\nAnswer:", Choices((" Ann", " Bob"), 0), {}, "a")
    other = Example("b", "Who? \n Answer:", Choices(("Bob", "Ann"), 0), {"g": ("x",)}, "c")
    assert content_of(one) == content_of(other)
    assert content_of(one) != content_of(Example("a", "Who?\nAnswer:", Choices((" Ann", " Cem"), 0), {}, "a"))
    assert content_of(one) != content_of(Example("a", "Who? Answer:", None, {}, "a"))
    assert shared_items([one], [other]) == [("a", "b")]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), max_size=20))
def test_examples_are_joined_if_and_only_if_a_chain_of_equal_content_or_cluster_links_them(pairs: list[Any]) -> None:
    examples = [example(k, content, f"c{cluster}") for k, (content, cluster) in enumerate(pairs)]
    joined, repeats = joined_clusters(examples)
    links = [{k} for k in range(len(pairs))]
    for k, (content, cluster) in enumerate(pairs):
        for j, (content_j, cluster_j) in enumerate(pairs[:k]):
            if content == content_j or cluster == cluster_j:
                union = links[k] | links[j]
                for member in union:
                    links[member] = union
    for k, one in enumerate(joined):
        members = {j for j, other in enumerate(joined) if other.cluster == one.cluster}
        assert members == links[k]
        assert one.cluster == min(examples[j].cluster for j in links[k])
    assert (repeats == 0) == (joined == examples)


def study(folder: Path, mine: list[int], other: list[int], **keys: Any) -> Study:
    for name, numbers in (("mine", mine), ("other", other)):
        rows = [
            {"id": f"{name}{k}", "prompt": f"q{k}", "choices": ["a", "b"], "gold": 0, "split": ["train", "test"][k % 2]}
            for k in numbers
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = {name: {"role": "safety", "path": str(folder / f"{name}.jsonl")} for name in ("mine", "other")}
    return Study.from_mapping({"base": "m", "tasks": tasks, "chains": [["mine"]]} | keys)


def loaded(one: Study) -> dict[str, Any]:
    tasks = {name: load_spec(name, spec, allow_overlap=one.allow_overlap) for name, spec in one.tasks.items()}
    return dict(kept_apart(tasks, one.taught, allow_overlap=one.allow_overlap))


def test_what_one_task_teaches_another_may_not_test(tmp_path: Path) -> None:
    # Even numbers are taught, odd ones tested; of `other` only what is tested matters, as it is not taught.
    assert set(loaded(study(tmp_path, [0, 1, 2, 3], [1, 3, 4, 5]))) == {"mine", "other"}
    rows = (tmp_path / "other.jsonl").read_text()
    clash = study(tmp_path, [0, 1, 2, 3], [4, 5])
    swapped = rows.replace('"q4"', '"q9"').replace('"q5"', '"q0"').replace('"q3"', '"q2"')
    (tmp_path / "other.jsonl").write_text(swapped)
    message = r"task 'mine' teaches 2 examples that task 'other' tests, such as 'mine0', tested as 'other5'.*allow_"
    with pytest.raises(DataError, match=message):
        loaded(clash)
    allowed = Study.from_mapping(clash.to_mapping() | {"allow_overlap": True})
    assert Study.from_mapping(allowed.to_mapping()) == allowed
    assert "; task 'mine' teaches 2 examples that task 'other' tests" in loaded(allowed)["mine"].source


def test_two_tasks_of_one_file_teach_and_test_the_same(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{k}", "choices": ["a", "b"], "gold": 0} for k in range(40)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = {name: {"role": "safety", "path": str(tmp_path / "a.jsonl")} for name in ("one", "two")}
    both = Study.from_mapping({"base": "m", "tasks": tasks, "chains": [["one", "two"]]})
    with pytest.raises(DataError, match=r"task 'one' teaches \d+ examples that task 'two' tests.*task 'two' teaches"):
        loaded(both)


def test_a_task_that_is_only_replayed_is_taught() -> None:
    replay = {"replay": {"task": "a", "dose": [0.1]}}
    tasks = {name: {"role": "safety", "path": f"{name}.jsonl"} for name in "ab"}
    one = Study.from_mapping({"base": "m", "tasks": tasks, "chains": [["a", "b"]], "mitigations": [replay]})
    assert one.taught == {"a", "b"}


def test_many_pairs_of_tasks_are_told_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = study(tmp_path, [0, 1, 2, 3], [4, 5])
    mine = loaded(one)["mine"]
    same = {f"t{number}": replace(mine, name=f"t{number}", test=mine.train) for number in range(6)}
    with pytest.raises(DataError, match=r"; and 33 more pairs of tasks; leave the examples out") as refusal:
        kept_apart(same, list(same), allow_overlap=False)
    assert str(refusal.value).count("teaches 2 examples") == 3
    kept = kept_apart(same, list(same), allow_overlap=True)
    assert len([record for record in caplog.records if "allow_overlap" in record.message]) == 1
    assert "task 't0' teaches 2 examples that task 't5' tests" in kept["t0"].source
