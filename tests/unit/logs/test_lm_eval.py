"""Sample logs of lm-evaluation-harness."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chaintune
from chaintune.errors import ConfigError, DataError
from chaintune.logs.compare import objections
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import read_log
from chaintune.records import Choices, Example, Scores, scores_table
from tests import synthetic
from tests.synthetic import compare_all
from tests.unit.logs import logs

FAST = 200
N = 60


def answers(seed: int) -> list[int]:
    return [int(right) for right in np.random.default_rng(seed).random(N) < 0.6]


def two(tmp_path: Path, **changes: object) -> tuple[Path, Path]:
    """Folders before and after; `changes` alter every line after."""
    before = logs.write(tmp_path / "b", [logs.sample(i, right) for i, right in enumerate(answers(0))])
    after = logs.write(tmp_path / "a", [logs.sample(i, right, **changes) for i, right in enumerate(answers(1))])
    return before, after


def test_figures_equal_those_of_our_own_scores_of_the_same_items(tmp_path: Path) -> None:
    before, after = two(tmp_path)
    found = chaintune.compare(before, after, by=["doc.category"], cluster="doc.template", resamples=FAST)
    groups = {"doc.category": ["ab"[i % 2] for i in range(N)]}
    clusters, ids = [f"t{i // 2}" for i in range(N)], [str(i) for i in range(N)]
    own = [synthetic.scores(answers(seed), groups=groups, clusters=clusters, ids=ids, noise=seed) for seed in (0, 1)]
    expected = chaintune.compare(own[0], own[1], by=["doc.category"], resamples=FAST)
    assert logs.figures(found) == logs.figures(expected)
    assert (found.task, found.metric) == ("faith", "acc")


def test_margins_of_choices_are_those_of_our_own_scores(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    sides, lines = [], []
    for side in "ba":
        values = rng.uniform(-3, -1, (N, 2)).round(3)
        right = (values[:, 0] >= values[:, 1]).astype(int).tolist()
        pairs = [[[str(value), "False"] for value in row] for row in values.tolist()]
        rows = [logs.sample(i, right[i], filtered_resps=pairs[i], resps=[]) for i in range(N)]
        sides.append(logs.write(tmp_path / side, rows))
        examples = [Example(str(i), "q", Choices((f" yes {i}", f" no {i}"), 0), {}, str(i)) for i in range(N)]
        lines.append(Scores("faith", scores_table("faith", examples, values.tolist(), [[1, 1]] * N)))
    found, ours = (chaintune.compare(*pair, resamples=FAST).second_lines for pair in (sides, lines))
    assert str(found) == str(ours)
    assert [one.metric for one in found] == ["scaled_margin"]
    by_length = chaintune.compare(*sides, metric=["acc", "acc_norm"], resamples=FAST)
    assert [one.metric for one in by_length.second_lines] == ["acc_norm", "scaled_margin"]


def test_a_folder_may_hold_several_tasks_and_a_file_is_one(tmp_path: Path) -> None:
    before, after = two(tmp_path)
    for folder in (before, after):
        logs.write(folder, [logs.sample(i, i % 2) for i in range(10)], task="other_task", shots=None)
    assert {found.task for found in compare_all(before, after, resamples=FAST)} == {"faith", "other_task"}
    with pytest.raises(DataError, match="2 tasks, name one"):
        chaintune.compare(before, after, resamples=FAST)
    assert chaintune.compare(before, after, task="other_task", resamples=FAST).overall.forgetting.n == 10
    with pytest.raises(ConfigError, match="did you mean 'other_task'"):
        compare_all(before, after, task="other_tsk", resamples=FAST)
    files = [next(folder.rglob("samples_faith_*")) for folder in (before, after)]
    assert chaintune.compare(files[0], files[1], resamples=FAST).task == "faith"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt_hash": "other"}, "the prompt differs in 60 of 60 examples"),
        ({"doc_hash": "other"}, "the document differs in 60 of 60 examples"),
        ({"target_hash": "other"}, "the target differs in 60 of 60 examples"),
    ],
)
def test_other_questions_are_refused_and_force_says_so(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    before, after = two(tmp_path, **changes)
    with pytest.raises(DataError, match=said):
        chaintune.compare(before, after, resamples=FAST)
    found = chaintune.compare(before, after, force=True, resamples=FAST)
    assert len(found.forced) == 1
    assert said in found.forced[0]


def as_old(line: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """As lm-eval wrote it before 0.4.3, without hashes."""
    older = {name: value for name, value in line.items() if not name.endswith("_hash")}
    return older | {"arguments": [["Who?", " a"], ["Who?", " b"]]} | changes


@pytest.mark.parametrize(
    ("part", "changes"),
    [("document", {"doc": {"question": "?"}}), ("prompt", {"arguments": [["Whom?", " a"]]}), ("target", {"target": 1})],
)
def test_other_questions_are_refused_in_logs_without_hashes_too(
    tmp_path: Path, part: str, changes: dict[str, Any]
) -> None:
    lines = [logs.sample(number, 1) for number in range(6)]
    before = logs.write(tmp_path / "b", list(map(as_old, lines)))
    same = logs.write(tmp_path / "s", list(map(as_old, lines)))
    after = logs.write(tmp_path / "a", [*map(as_old, lines[:5]), as_old(lines[5], **changes)])
    assert chaintune.compare(before, same, resamples=FAST).forced == ()
    with pytest.raises(DataError, match=rf"the {part} differs in 1 of 6 examples \('5'\)"):
        chaintune.compare(before, after, resamples=FAST)


def test_the_hashes_of_an_old_log_are_those_that_lm_eval_writes_now(tmp_path: Path) -> None:
    hashing = pytest.importorskip("lm_eval.utils").hash_string
    line = logs.sample(0, 1, doc={"question": "Wér?", "n": 1.5}, target=0)
    hashes = {
        "doc_hash": hashing(json.dumps(line["doc"], indent=2, ensure_ascii=False)),
        "prompt_hash": hashing("Who?"),
        "target_hash": hashing("0"),
    }
    old, now = logs.write(tmp_path / "o", [as_old(line)]), logs.write(tmp_path / "n", [line | hashes])
    assert objections(*(read_log(folder, ReadOptions())["faith"] for folder in (old, now))) == []


def test_other_versions_and_shots_are_refused(tmp_path: Path) -> None:
    lines = [logs.sample(i, 1) for i in range(9)]
    before = logs.write(tmp_path / "b", lines, version=1.0, shots=0)
    after = logs.write(tmp_path / "a", lines, version=2.0, shots=5)
    with pytest.raises(DataError, match=r"task version is 1.0 before and 2.0 after; few-shot examples is 0 before and"):
        chaintune.compare(before, after, resamples=FAST)
    unknown = logs.write(tmp_path / "u", lines, shots=None)
    assert chaintune.compare(before, unknown, resamples=FAST).forced == ()


def test_a_metric_is_chosen_or_asked_for(tmp_path: Path) -> None:
    before, after = two(tmp_path)
    plain = chaintune.compare(before, after, resamples=FAST)
    turned = chaintune.compare(before, after, metric="acc_norm", resamples=FAST)
    assert turned.overall.forgetting.value == -plain.overall.forgetting.value
    with pytest.raises(ConfigError, match=r"did you mean 'acc_norm'\? Valid: acc_norm, acc$"):
        chaintune.compare(before, after, metric="acc_nrm", resamples=FAST)
    lines = [logs.sample(0, 1, metrics=["em", "f1"], em=1.0, f1=0.5)]
    folder = logs.write(tmp_path / "m", lines)
    with pytest.raises(ConfigError, match="name the metric as --metric, there are several: em, f1"):
        read_log(folder, ReadOptions())


def test_filters_are_told_apart(tmp_path: Path) -> None:
    lines = [logs.sample(i, right, filter=name) for name, right in (("strict", 0), ("flexible", 1)) for i in range(8)]
    folder = logs.write(tmp_path / "f", lines)
    with pytest.raises(ConfigError, match="filtered in 2 ways; choose one as --filter: strict, flexible"):
        read_log(folder, ReadOptions())
    for name, value in (("strict", 0.0), ("flexible", 1.0)):
        scores = read_log(folder, ReadOptions(filter=name))["faith"].scores
        assert scores.item_scores().tolist() == [value] * 8
    # A task without it beside it is read as if no filter were named.
    logs.write(folder, [logs.sample(i, 1) for i in range(8)], task="choices")
    read = read_log(folder, ReadOptions(filter="strict"))
    assert {task: log.scores.item_scores().mean() for task, log in read.items()} == {"choices": 1, "faith": 0}
    for tasks in ((), ("choices",)):
        with pytest.raises(ConfigError, match="there is no filter 'strit': "):
            read_log(folder, ReadOptions(filter="strit", tasks=tasks))


def test_one_task_twice_is_refused(tmp_path: Path) -> None:
    folder = logs.write(tmp_path / "b", [logs.sample(0, 1)])
    first = next(folder.rglob("samples_*"))
    first.with_name("samples_faith_2027-01-01T00-00-00.jsonl").write_bytes(first.read_bytes())
    with pytest.raises(DataError, match="name one of the files"):
        read_log(folder, ReadOptions())


def test_a_field_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    before, after = two(tmp_path)
    with pytest.raises(ConfigError, match=r"did you mean 'doc.category'"):
        chaintune.compare(before, after, by=["doc.categry"], resamples=FAST)


def test_results_without_samples_are_told_from_other_logs(tmp_path: Path) -> None:
    folder = logs.write(tmp_path / "b", [logs.sample(0, 1)])
    next(folder.rglob("samples_*")).unlink()
    for path in (folder, next(folder.rglob("results_*"))):
        with pytest.raises(DataError, match="run it with --log_samples"):
            read_log(path, ReadOptions())


def old(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lines as lm-eval wrote them before 0.4.7."""
    return [{name: value for name, value in line.items() if name not in ("filter", "metrics")} for line in lines]


def test_logs_without_a_list_of_metrics_name_their_numbers(tmp_path: Path) -> None:
    lines = old([logs.sample(i, i % 2, target=2) for i in range(8)])
    scores = read_log(logs.write(tmp_path / "b", lines), ReadOptions())["faith"].scores
    assert (scores.metric.name, scores.item_scores().tolist()) == ("acc", [0, 1] * 4)
    line = {name: value for name, value in lines[0].items() if not name.startswith("acc")} | {"em": 1.0}
    read = read_log(logs.write(tmp_path / "c", [line]), ReadOptions())
    assert read["faith"].scores.metric.name == "em"
    with pytest.raises(ConfigError, match="there are several: em, f1"):
        read_log(logs.write(tmp_path / "d", [line | {"f1": 0.5}]), ReadOptions())


@pytest.mark.parametrize("hashes", [True, False])
def test_ids_that_come_round_are_those_of_filters_in_order(tmp_path: Path, hashes: bool) -> None:
    lines = old([logs.sample(i, right) for right in (0, 1, 0.5) for i in range(8)])
    if not hashes:
        lines = [{name: value for name, value in line.items() if not name.endswith("_hash")} for line in lines]
    folder = logs.write(tmp_path / "b", lines)
    with pytest.raises(
        ConfigError, match=r"every id comes 3 times, .* its number in the task, --filter 1 to --filter 3"
    ):
        read_log(folder, ReadOptions())
    for name, value in (("1", 0.0), ("2", 1.0), ("3", 0.5)):
        scores = read_log(folder, ReadOptions(filter=name))["faith"].scores
        assert scores.item_scores().tolist() == [value] * 8
    with pytest.raises(ConfigError, match="there is no filter '4': valid: "):
        read_log(folder, ReadOptions(filter="4"))
    # A task of one filter beside it is read by the same option.
    logs.write(folder, old([logs.sample(i, 1) for i in range(8)]), task="other")
    assert list(read_log(folder, ReadOptions(filter="1"))) == ["faith", "other"]


@pytest.mark.parametrize("changes", [{"doc": {"question": "Whom?"}}, {"doc_id": 1}])
def test_ids_of_several_examples_are_no_filters(tmp_path: Path, changes: dict[str, Any]) -> None:
    lines = old([logs.sample(0, 1), logs.sample(1, 1), logs.sample(0, 1), logs.sample(1, 1, **changes)])
    lines += [logs.sample(1, 0)] if "doc_id" in changes else []
    with pytest.raises(
        DataError, match=r"appears twice.*a table of id, score and trial.*trial=COLUMN.*--cluster COLUMN"
    ):
        read_log(logs.write(tmp_path / "b", old(lines)), ReadOptions())


def test_a_log_of_the_first_versions_is_one_list_named_by_model_and_task(tmp_path: Path) -> None:
    for side in "ba":
        folder = tmp_path / side
        folder.mkdir()
        for task in ("arc", "arc_easy"):
            text = json.dumps(old([logs.sample(i, 1) for i in range(8)]), indent=2)
            (folder / f"pretrained__some__{side}_{task}.jsonl").write_text(text)
        results = {
            "configs": {"arc": {}, "arc_easy": {}},
            "versions": {"arc": 1.0, "arc_easy": 2.0},
            "n-shot": {"arc": 5},
        }
        (folder / "results.json").write_text(json.dumps(results))
    read = read_log(tmp_path / "b", ReadOptions())
    assert {task: log.facts for task, log in read.items()} == {
        "arc": {"task version": "1.0", "few-shot examples": "5"},
        "arc_easy": {"task version": "2.0"},
    }
    assert len(compare_all(tmp_path / "b", tmp_path / "a", resamples=FAST)) == 2
    files = [tmp_path / side / f"pretrained__some__{side}_arc.jsonl" for side in "ba"]
    assert chaintune.compare(*files, resamples=FAST).task == "arc"


def test_logs_that_were_asked_in_other_templates_are_not_compared(tmp_path: Path) -> None:
    paths = {}
    for side, digest in {"off": None, "on": "a" * 64, "other": "b" * 64}.items():
        paths[side] = logs.write(tmp_path / side, [logs.sample(i, i % 2) for i in range(8)])
        (results,) = paths[side].rglob("results_*.json")
        results.write_text(json.dumps(json.loads(results.read_text()) | {"chat_template_sha": digest}))
    with pytest.raises(DataError, match="chat is off before and on after"):
        chaintune.compare(paths["off"], paths["on"], resamples=FAST)
    with pytest.raises(DataError, match="chat template is aaaaaaaaaaaa before and bbbbbbbbbbbb after"):
        chaintune.compare(paths["on"], paths["other"], resamples=FAST)


def test_renamed_logs_are_known_by_what_they_hold(tmp_path: Path) -> None:
    paths = []
    for name in ("base.jsonl", "tuned.json"):
        folder = logs.write(tmp_path / name.partition(".")[0], [logs.sample(i, i % 2) for i in range(8)])
        path = next(folder.rglob("samples_*"))
        lines = path.read_text().splitlines()
        paths.append(tmp_path / name)
        paths[-1].write_text("\n".join(lines) if name.endswith("l") else f"[{','.join(lines)}]")
    found = chaintune.compare(*paths, by=["doc.category"], resamples=FAST)
    assert (found.task, found.metric, len(found.groups)) == ("items", "acc", 2)
    # A renamed log is of the task that the other one names.
    named = next((tmp_path / "base").rglob("samples_*"))
    for one, other in ((paths[0], named), (named, paths[0])):
        assert chaintune.compare(one, other, resamples=FAST).task == "faith"
    folder = tmp_path / "several"
    folder.mkdir()
    for task in ("x", "y"):
        (folder / f"{task}.jsonl").write_bytes(paths[0].read_bytes())
    assert list(read_log(folder, ReadOptions())) == ["x", "y"]


def test_the_direction_of_a_metric_is_that_of_the_results_beside_it(tmp_path: Path) -> None:
    folder = logs.write(tmp_path / "b", [logs.sample(i, 0.25) for i in range(8)])
    results = next(folder.rglob("results_*"))
    results.write_text(json.dumps({"higher_is_better": {"faith": {"acc": False, "acc_norm": True}}}))
    for options, expected in (
        ({}, (0.25, "less")),
        ({"metric": "acc_norm"}, (0.75, "more")),
        ({"scale": (0, 0.5)}, (0.5, "more")),
    ):
        scores = read_log(folder, ReadOptions(**options))["faith"].scores
        assert (scores.item_scores()[0], scores.metric.direction) == expected


def test_packed_logs_bear_their_task_too(tmp_path: Path) -> None:
    path = next(logs.write(tmp_path, [logs.sample(i, i % 2) for i in range(8)], shots=3).rglob("samples_*"))
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    (log,) = read_log(packed, ReadOptions()).values()
    assert (log.scores.task, log.facts["few-shot examples"]) == ("faith", "3")


def test_a_filter_is_a_side_of_a_file(tmp_path: Path) -> None:
    lines = [logs.sample(i, right, filter=name) for name, right in (("strict", 0), ("flexible", 1)) for i in range(8)]
    path = next(logs.write(tmp_path, lines).rglob("samples_*"))
    found = chaintune.compare(f"{path}#flexible", f"{path}#strict", resamples=FAST)
    assert found.overall.forgetting.value == 1


def test_a_metric_that_is_no_number_a_row_is_told(tmp_path: Path) -> None:
    line = logs.sample(0, 1, metrics=["word_perplexity"], word_perplexity=[-3.5, 4])
    del line["acc"], line["acc_norm"]
    with pytest.raises(ConfigError, match=r"no metric is one number a row \(word_perplexity holds list \[-3.5, 4\]\)"):
        read_log(logs.write(tmp_path / "b", [line]), ReadOptions())


def test_answers_are_read_and_empty_ones_told(tmp_path: Path) -> None:
    lines = [logs.sample(i, 1, filtered_resps=[text]) for i, text in enumerate(("42", "", " \n"))]
    table = read_log(logs.write(tmp_path / "b", lines), ReadOptions())["faith"].scores.table
    assert table.column("answer").to_pylist() == ["42", "", " \n"]
    assert table.column("outcome").to_pylist() == [None, "no_response", "no_response"]


def chosen(number: int, place: int, texts: tuple[str, ...] = (" hateful", " fine"), **fields: Any) -> dict[str, Any]:
    """A line of a task of choices, whose right one is that of the number's parity."""
    arguments = {f"gen_args_{k}": {"arg_0": "Who?", "arg_1": text} for k, text in enumerate(texts)}
    answers = [["-1.0" if k == place else "-2.5", "False"] for k in range(len(texts))]
    known = {"target": number % 2, "arguments": arguments, "filtered_resps": answers}
    return logs.sample(number, float(place == number % 2), **{**known, **fields})


def answered(folder: Path, lines: list[dict[str, Any]], **options: Any) -> tuple[list[Any], list[Any], set[Any]]:
    """Answers and labels, in the order of the ids as texts, and what guessing scores."""
    table = read_log(logs.write(folder, lines), ReadOptions(**options))["faith"].scores.table
    answers, labels, chance = (table.column(name).to_pylist() for name in ("answer", "label", "chance"))
    return answers[:2], labels[:2], set(chance)


def test_answers_that_are_labels_are_read_from_choices(tmp_path: Path) -> None:
    lines = [chosen(k, 0) for k in range(8)]
    assert answered(tmp_path / "b", lines) == (["hateful"] * 2, ["hateful", "fine"], {0.5})
    scores = read_log(tmp_path / "b", ReadOptions())["faith"].scores
    assert (scores.metric.name, "balanced_accuracy" in scores.metrics) == ("acc", True)
    # What is right may be named by text or by number.
    named = [line | {"target": ["hateful", "fine"][k % 2]} for k, line in enumerate(lines)]
    assert answered(tmp_path / "c", named) == answered(tmp_path / "b", lines)
    mixed = [line | {"filtered_resps": [[float(v), False] for v, _ in line["filtered_resps"]]} for line in lines]
    assert answered(tmp_path / "d", mixed) == answered(tmp_path / "b", lines)
    # The same choices in another order for every second pair.
    turned = [chosen(k, k // 2 % 2, *[(" fine", " hateful")] * (k // 2 % 2)) for k in range(8)]
    assert answered(tmp_path / "f", turned) == answered(tmp_path / "b", lines)
    # As lists of prompt and continuation, up to 0.4.2.
    listed = [line | {"arguments": [["Who?", " hateful"], ["Who?", " fine"]]} for line in mixed]
    unhashed = [{name: value for name, value in line.items() if not name.endswith("_hash")} for line in old(listed)]
    assert answered(tmp_path / "e", unhashed) == answered(tmp_path / "b", lines)


def test_labels_are_a_dimension_of_logs_that_tell_them(tmp_path: Path) -> None:
    labels = logs.write(tmp_path / "b", [chosen(k, 0) for k in range(24)])
    found = chaintune.compare(labels, labels, by=["label", "doc.category x label"], resamples=FAST)
    assert [row.group for row in found.groups] == ["fine", "hateful", "a & hateful", "b & fine"]
    places = logs.write(tmp_path / "c", [chosen(k, 1, (f" red {k}", f" blue {k}")) for k in range(24)])
    with pytest.raises(ConfigError, match="no example has a group on 'label'"):
        chaintune.compare(places, places, by=["label"], resamples=FAST)


def test_choices_that_differ_are_called_by_their_place(tmp_path: Path) -> None:
    lines = [chosen(k, 1, (f" red {k}", f" blue {k}")) for k in range(8)]
    assert answered(tmp_path / "b", lines) == (["1", "1"], ["0", "1"], {0.5})
    assert "balanced_accuracy" not in read_log(tmp_path / "b", ReadOptions())["faith"].scores.metrics
    # Of few examples nothing is taken for a label, and chance is that of the choices.
    lines = [chosen(k, 1, tuple(f" {color} {k}" for color in "abcd")) for k in range(4)]
    assert answered(tmp_path / "c", lines) == (["1", "1"], [None, None], {0.25})


def test_choices_by_length_are_those_of_the_metric_by_length(tmp_path: Path) -> None:
    texts = (" a", " a long choice")
    lines = [chosen(k, 0, texts, acc_norm=float(k % 2 == 1)) for k in range(8)]
    assert answered(tmp_path / "b", lines)[0] == ["a", "a"]
    assert answered(tmp_path / "c", lines, metric="acc_norm")[0] == ["a long choice"] * 2


@pytest.mark.parametrize(
    "changes", [{"acc": 1.0}, {"target": "neither"}, {"filtered_resps": [["x", "y"], ["-1", "z"]]}]
)
def test_where_choices_do_not_explain_the_scores_none_is_read(tmp_path: Path, changes: dict[str, Any]) -> None:
    lines = [chosen(k, 0) for k in range(8)]
    lines[3] |= changes
    assert answered(tmp_path / "b", lines) == ([None, None], [None, None], {None})


@pytest.mark.parametrize("alike", ["-1.5", "nan", "-inf"])
@pytest.mark.parametrize("target", ["0", "unknown"])
def test_a_model_without_a_preference_is_not_perfect(tmp_path: Path, alike: str, target: str) -> None:
    lines = [chosen(k, 0, (f" red {k}", f" blue {k}"), target=target, acc=1.0) for k in range(24)]
    tied = [line | {"filtered_resps": [[alike, "False"]] * 2} if k % 2 else line for k, line in enumerate(lines)]
    sides = [logs.write(tmp_path / name, side) for name, side in {"b": lines, "a": tied}.items()]
    found = chaintune.compare(*sides, resamples=FAST).overall
    assert (found.answers_before.ties, found.answers_after.ties) == (0, 12)
    assert (found.verdict, found.is_silent) == ("inconclusive", True)
    assert "holds all choices equally likely in 12 of 24" in found.verdict_reason


def test_ties_are_those_of_the_metric_that_is_read(tmp_path: Path) -> None:
    lines = [chosen(k, 0, (" aa", " aaaa"), filtered_resps=[["-1.0", "False"], ["-2.0", "False"]]) for k in range(8)]
    folder = logs.write(tmp_path / "b", lines)
    for metric, ties in (("acc", 0), ("acc_norm", 8)):
        found = chaintune.compare(folder, folder, metric=metric, resamples=FAST)
        assert found.overall.answers_after.ties == ties


def test_a_model_that_gives_one_answer_to_all_is_told(tmp_path: Path) -> None:
    before = logs.write(
        tmp_path / "b",
        [
            chosen(
                k, 0 if k % 9 else 1, target=int(k % 4 == 0), acc=1.0 if (0 if k % 9 else 1) == int(k % 4 == 0) else 0.0
            )
            for k in range(48)
        ],
    )
    after = logs.write(tmp_path / "a", [chosen(k, 0, target=int(k % 4 == 0), acc=float(k % 4 != 0)) for k in range(48)])
    found = chaintune.compare(before, after, resamples=FAST)
    assert found.overall.verdict != "kept"
    balanced = chaintune.compare(before, after, metric="balanced_accuracy", resamples=FAST)
    assert balanced.metric == "balanced_accuracy"
