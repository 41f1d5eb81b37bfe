"""Runs of HELM, in the shape of its dataclasses."""

import json
from pathlib import Path
from typing import Any

import pytest

import chaintune
from chaintune.errors import ConfigError, DataError
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import read_log, reader_of
from tests.synthetic import compare_all

FAST = 200
N = 24
DIALECT = {"name": "dialect", "robustness": False, "fairness": True, "computed_on": "perturbed", "prob": 1.0}


def stats(mean: float, **others: float) -> list[dict[str, Any]]:
    known = {"num_prompt_tokens": 90.0, "exact_match": mean, "quasi_exact_match": mean, "logprob": -3.5} | others
    told = [
        {"name": {"name": name, "split": "test"}, "count": 1, "sum": value, "sum_squared": value, "mean": value}
        for name, value in known.items()
    ]
    return [*told, {"name": {"name": "rouge_l", "split": "test"}, "count": 0, "sum": 0}]


def instance(number: int, **fields: Any) -> dict[str, Any]:
    references = [
        {"output": {"text": text}, "tags": ["correct"] if k == number % 2 else []}
        for k, text in enumerate(("Yes", "No"))
    ]
    known = {"input": {"text": f"Question {number}"}, "references": references, "split": "test", "id": f"id{number}"}
    return known | {"sub_split": "ab"[number % 2], "extra_data": {"area": f"x{number % 3}"}} | fields


def write(
    folder: Path, right: list[float], *, method: str = "multiple_choice_joint", model: str = "m/one", trials: int = 1
) -> Path:
    """A run's folder; `right` is what each example scores."""
    name = f"mine:subject=a,method={method},model={model.replace('/', '_')}"
    run = folder / "runs" / "v1" / name.replace(":", "-", 1)
    run.mkdir(parents=True)
    adapter = {
        "method": method,
        "instructions": "Answer.",
        "model": model,
        "model_deployment": model,
        "temperature": 0.0,
    }
    spec = {
        "name": name,
        "adapter_spec": adapter,
        "metric_specs": [
            {"class_name": "x", "args": {"names": ["exact_match", "rouge_l", "quasi_exact_match"]}},
            {"class_name": "y", "args": {}},
        ],
    }
    entries, requests = [], []
    for trial in range(trials):
        for number, score in enumerate(right):
            entries.append(
                {"instance_id": f"id{number}", "train_trial_index": trial, "stats": stats(score if trial == 0 else 0.0)}
            )
            answer = {"success": True, "completions": [{"text": " A", "logprob": 0, "tokens": []}]}
            requests.append(
                {
                    "instance": instance(number),
                    "train_trial_index": trial,
                    "output_mapping": {"A": "Yes", "B": "No"},
                    "request": {"model": model, "prompt": f"Q{number}"},
                    "result": answer,
                }
            )
    entries.append({"instance_id": "id0", "perturbation": DIALECT, "train_trial_index": 0, "stats": stats(0.0)})
    for file, told in (("run_spec", spec), ("per_instance_stats", entries)):
        (run / f"{file}.json").write_text(json.dumps(told, indent=2))
    (run / "scenario_state.json").write_text(
        json.dumps({"adapter_spec": adapter, "request_states": requests}, indent=2)
    )
    return run


def two(tmp_path: Path) -> tuple[Path, Path]:
    before = write(tmp_path / "b", [float(k % 4 > 0) for k in range(N)])
    return before, write(tmp_path / "a", [float(k % 3 > 0) for k in range(N)], model="m/two")


def test_two_runs_are_compared_by_fields_of_their_instances(tmp_path: Path) -> None:
    before, after = two(tmp_path)
    assert reader_of(before) == reader_of(before / "per_instance_stats.json") == "helm"
    found = chaintune.compare(before, after, by=["sub_split", "extra_data.area"], resamples=FAST)
    assert (found.task, found.metric) == ("mine:subject=a,method=multiple_choice_joint", "exact_match")
    assert found.overall.forgetting.n == N
    assert found.overall.forgetting.value == pytest.approx(18 / 24 - 16 / 24)
    assert {row.group for row in found.groups} == {"a", "b", "x0", "x1", "x2"}
    # The folder of all runs, and either file of a run, are the same run.
    for one, other in ((tmp_path / "b", tmp_path / "a"), (before / "scenario_state.json", after)):
        assert compare_all(one, other, resamples=FAST)[0].overall.forgetting.value == found.overall.forgetting.value


def test_answers_are_mapped_to_their_choices_where_these_are_the_same(tmp_path: Path) -> None:
    run = write(tmp_path, [1.0, 0.0] * 4)
    (log,) = read_log(run, ReadOptions()).values()
    assert log.scores.table.column("answer").to_pylist() == ["yes"] * 8
    assert log.scores.table.column("label").to_pylist() == ["yes", "no"] * 4
    assert log.scores.metric.name == "exact_match"
    assert "balanced_accuracy" in log.scores.metrics
    state = run / "scenario_state.json"
    told = json.loads(state.read_text())
    for number, request in enumerate(told["request_states"]):
        request["output_mapping"]["B"] = f"No {number}"
        request["instance"]["references"][1]["output"]["text"] = f"No {number}"
    state.write_text(json.dumps(told))
    (log,) = read_log(run, ReadOptions()).values()
    assert log.scores.table.column("answer").to_pylist() == ["A"] * 8
    assert log.scores.table.column("label").to_pylist() == ["A", "B"] * 4
    assert "balanced_accuracy" not in log.scores.metrics


def test_facts_are_those_of_the_adapter_but_for_the_model(tmp_path: Path) -> None:
    (log,) = read_log(write(tmp_path, [1.0, 0.0]), ReadOptions()).values()
    assert log.facts == {
        "adapter 'method'": "multiple_choice_joint",
        "adapter 'instructions'": "Answer.",
        "adapter 'temperature'": "0.0",
    }


def test_replications_are_averaged_and_perturbed_versions_are_a_dimension(tmp_path: Path) -> None:
    run = write(tmp_path, [1.0] * 4, trials=2)
    (log,) = read_log(run, ReadOptions()).values()
    assert log.scores.item_scores().tolist() == [0.5] * 4
    (log,) = read_log(run, ReadOptions(dimensions=("perturbation",))).values()
    assert log.scores.example_ids == ["id0", 'id0 dialect {"prob": 1.0}', "id1", "id2", "id3"]
    assert log.scores.clusters == ["id0", "id0", "id1", "id2", "id3"]
    assert log.scores.groups("perturbation")[:2] == [("none",), ('dialect {"prob": 1.0}',)]


def test_instances_of_other_splits_are_a_dimension_beside_the_test_split(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = write(tmp_path, [1.0, 0.0, 1.0, 1.0])
    for name in ("per_instance_stats.json", "scenario_state.json"):
        told = json.loads((run / name).read_text())
        for entry in told if name.startswith("per") else told["request_states"]:
            if entry.get("instance_id", entry.get("instance", {}).get("id")) == "id1":
                for part in entry.get("stats", []):
                    part["name"]["split"] = "valid"
                entry.get("instance", {})["split"] = "valid"
        (run / name).write_text(json.dumps(told))
    (log,) = read_log(run, ReadOptions()).values()
    assert log.scores.example_ids == ["id0", "id2", "id3"]
    assert "1 of 4 instances are of another split than 'test' and left out" in caplog.text
    (log,) = read_log(run, ReadOptions(dimensions=("split",))).values()
    assert [name for (name,) in log.scores.groups("split")] == ["test", "valid", "test", "test"]
    # Where nothing is of the test split, all is read.
    stats = run / "per_instance_stats.json"
    stats.write_text(stats.read_text().replace('"test"', '"valid"'))
    state = run / "scenario_state.json"
    state.write_text(state.read_text().replace('"test"', '"valid"'))
    (log,) = read_log(run, ReadOptions()).values()
    assert len(log.scores) == 4


def test_a_metric_is_named_where_it_is_not_known(tmp_path: Path) -> None:
    run = write(tmp_path, [1.0, 0.0], method="generation")
    with pytest.raises(ConfigError, match=r"there are several: exact_match, quasi_exact_match$"):
        read_log(run, ReadOptions())
    with pytest.raises(ConfigError, match=r"there is no metric 'exact'.*Valid|valid: exact_match, quasi_exact_match"):
        read_log(run, ReadOptions(metric="exact"))
    (log,) = read_log(run, ReadOptions(metric="quasi_exact_match")).values()
    assert log.scores.metric.name == "quasi_exact_match"
    # A count is read where it is asked for, and is no share.
    with pytest.raises(DataError, match=r"name the ends of another scale"):
        read_log(run, ReadOptions(metric="num_prompt_tokens"))


def test_what_helm_summarize_leaves_is_read(tmp_path: Path) -> None:
    run = write(tmp_path, [1.0, 0.0])
    shown = [
        {
            "instance_id": f"id{k}",
            "train_trial_index": 0,
            "predicted_text": " A",
            "mapped_output": "Yes",
            "stats": {"exact_match": 1.0 - k},
        }
        for k in range(2)
    ]
    (run / "display_predictions.json").write_text(json.dumps(shown))
    (run / "instances.json").write_text(json.dumps([instance(0), instance(1)]))
    (run / "per_instance_stats.json").unlink()
    (run / "scenario_state.json").unlink()
    (log,) = read_log(tmp_path, ReadOptions(dimensions=("sub_split",))).values()
    assert log.scores.item_scores().tolist() == [1, 0]
    assert log.scores.groups("sub_split") == [("a",), ("b",)]
    assert log.scores.table.column("answer").to_pylist() == ["Yes", "Yes"]


@pytest.mark.parametrize("kept", [("stats",), ("state",), ("stats", "state")])
def test_slim_files_stand_in_for_whole_ones(kept: tuple[str, ...], tmp_path: Path) -> None:
    before, after = two(tmp_path)
    whole = chaintune.compare(before, after, resamples=FAST).overall.forgetting.value
    names = {"stats": "per_instance_stats", "state": "scenario_state"}
    for run in (before, after):
        for kind in kept:
            (run / f"{names[kind]}.json").rename(run / f"{names[kind]}_slim.json")
    assert {reader_of(path) for path in (before, *before.glob("*_slim.json"))} == {"helm"}
    pairs = [(before, after), *((before / f"{names[kind]}_slim.json", after) for kind in kept)]
    for one, other in pairs:
        assert chaintune.compare(one, other, resamples=FAST).overall.forgetting.value == whole
    (log,) = read_log(before, ReadOptions()).values()
    assert set(log.scores.table.column("answer").to_pylist()) == {"Yes"}  # read from what was asked


@pytest.mark.parametrize(
    ("name", "slim"),
    [(name, slim) for name in ("per_instance_stats", "scenario_state") for slim in ("", "_slim")] + [("run_spec", "")],
)
def test_one_file_alone_is_read_or_told(name: str, slim: str, tmp_path: Path) -> None:
    run = write(tmp_path, [float(k % 4 > 0) for k in range(N)])
    text = (run / f"{name}.json").read_text()
    for file in run.iterdir():
        file.unlink()
    (run / f"{name}{slim}.json").write_text(text)
    if name == "per_instance_stats":
        (log,) = read_log(run, ReadOptions(metric="exact_match")).values()
        assert log.scores.item_scores().sum() == sum(k % 4 > 0 for k in range(N))
    else:
        for path in (run, run / f"{name}{slim}.json"):
            with pytest.raises(DataError, match=r"without per_instance_stats.json, which holds its scores"):
                read_log(path, ReadOptions())


def test_other_prompts_and_adapters_are_refused(tmp_path: Path) -> None:
    before, after = two(tmp_path)
    state = after / "scenario_state.json"
    state.write_text(state.read_text().replace('"prompt": "Q3"', '"prompt": "Q?"'))
    spec = after / "run_spec.json"
    spec.write_text(spec.read_text().replace("Answer.", "Think."))
    with pytest.raises(
        DataError, match=r"'instructions' is Answer. before and Think. after; the prompt differs in 1 of"
    ):
        chaintune.compare(before, after, resamples=FAST)


def test_what_is_missing_or_damaged_is_told_in_one_sentence(tmp_path: Path) -> None:
    run = write(tmp_path, [1.0])
    path = run / "per_instance_stats.json"
    text = path.read_text()
    for damaged, said in (
        (text[:200], "not JSON"),
        ('[{"instance_id": 1, "train_trial_index": "x"}]', "no file of HELM's"),
        ("[1]", "expected a list of objects"),
    ):
        path.write_text(damaged)
        with pytest.raises(DataError, match=said) as e:
            read_log(run, ReadOptions())
        assert "\n" not in str(e.value)
    path.unlink()
    with pytest.raises(DataError, match=r"without per_instance_stats.json, which holds its scores"):
        read_log(run, ReadOptions())
