"""Results of OpenCompass, in the shapes that its evaluators and its task give them."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import chaintune
from chaintune.errors import ConfigError, DataError
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import read_log, reader_of

FAST = 200
N = 12


def numbered(right: list[bool]) -> dict[str, Any]:
    """As the task formats what an evaluator told."""
    entries = {
        str(k): {
            "prompt": f"Q{k}",
            "origin_prediction": " B.",
            "predictions": "AB"[k % 2 if one else 1 - k % 2],
            "references": "AB"[k % 2],
            "correct": one,
        }
        for k, one in enumerate(right)
    }
    return {"accuracy": 50.0, "details": {"type": "GEN", **entries}}


def replicas(rows: list[list[bool]]) -> dict[str, Any]:
    """As evaluators write it since 0.4, every field a list of its replicas."""
    details = [
        {
            "example_abbr": f"mine_{k}",
            "G-Pass@2_0.5": 1.0,
            "pred": ["x"] * len(row),
            "answer": ["y"] * len(row),
            "correct": row,
        }
        for k, row in enumerate(rows)
    ]
    return {"accuracy (2 runs average)": 50.0, "details": details}


def write(folder: Path, known: Any, *, name: str = "gsm8k", kind: str = "results") -> Path:
    path = folder / "20260101_000000" / kind / "model" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known, indent=4))
    return path


def test_two_results_are_compared(tmp_path: Path) -> None:
    paths = [write(tmp_path / side, numbered([k % step > 0 for k in range(N)])) for side, step in (("b", 4), ("a", 2))]
    # Predictions lie beside results in a whole run's folder, and say nothing of what is right.
    write(tmp_path / "b", {"0": {"origin_prompt": "Q", "prediction": "B", "gold": "B"}}, kind="predictions")
    assert {reader_of(path) for path in (paths[0], tmp_path / "b")} == {"opencompass"}
    for one, other in (paths, (tmp_path / "b", tmp_path / "a")):
        found = chaintune.compare(one, other, resamples=FAST)
        assert (found.task, found.metric, found.overall.forgetting.value) == ("gsm8k", "correct", 0.25)
    (log,) = read_log(paths[0], ReadOptions()).values()
    assert log.scores.table.column("label").to_pylist()[:2] == ["A", "B"]
    assert log.scores.table.column("answer").to_pylist()[:2] == ["B", "B"]
    paths[1].write_text(paths[1].read_text().replace('"prompt": "Q3"', '"prompt": "Q?"'))
    with pytest.raises(DataError, match=r"the prompt differs in 1 of 12"):
        chaintune.compare(*paths, resamples=FAST)


def test_replicas_are_averaged_and_other_numbers_are_metrics(tmp_path: Path) -> None:
    path = write(tmp_path, replicas([[True, False], [True, True], [False, False]]))
    (log,) = read_log(path, ReadOptions()).values()
    assert log.scores.example_ids == ["mine_0", "mine_1", "mine_2"]
    assert log.scores.item_scores().tolist() == [0.5, 1, 0]
    (log,) = read_log(path, ReadOptions(metric="G-Pass@2_0.5")).values()
    assert log.scores.item_scores().tolist() == [1, 1, 1]
    with pytest.raises(ConfigError, match=r"there is no metric 'corect': did you mean 'correct'"):
        read_log(path, ReadOptions(metric="corect"))


@pytest.mark.parametrize("name", ["correct", "is_correct", "cascade_correct"])
@pytest.mark.parametrize("listed", [True, False])
def test_right_is_called_in_several_ways(tmp_path: Path, name: str, listed: bool) -> None:
    entries = [{"pred": "a", "refr": "b", name: k % 2 == 0} for k in range(4)]
    known = entries if listed else {str(k): entry for k, entry in enumerate(entries)}
    path = write(tmp_path, {"accuracy": 50, "details": known})
    assert reader_of(path) == "opencompass"
    (log,) = read_log(path, ReadOptions()).values()
    assert log.scores.item_scores().tolist() == [1, 0, 1, 0]


def test_each_data_set_may_have_a_metric_of_its_own_and_packed_files_are_read(tmp_path: Path) -> None:
    one = write(tmp_path, numbered([True, False]))
    write(tmp_path, replicas([[True, False]]), name="other")
    found = read_log(tmp_path, ReadOptions(metrics={"other": "G-Pass@2_0.5"}))
    assert {task: log.scores.metric.name for task, log in found.items()} == {
        "gsm8k": "correct",
        "other": "G-Pass@2_0.5",
    }
    packed = one.with_name("gsm8k.json.gz")
    packed.write_bytes(gzip.compress(one.read_bytes()))
    assert reader_of(packed) == "opencompass"
    (log,) = read_log(packed, ReadOptions()).values()
    assert (log.scores.task, log.scores.item_scores().tolist()) == ("gsm8k", [1, 0])


def test_what_tells_no_right_and_wrong_is_refused_in_one_sentence(tmp_path: Path) -> None:
    known = numbered([True, False])
    for entry in list(known["details"].values())[1:]:
        del entry["correct"]
    with pytest.raises(DataError, match=r"no entry of the details says whether it is right"):
        read_log(write(tmp_path, known), ReadOptions())
    predictions = {"0": {"origin_prompt": "Q", "prediction": "B", "gold": "B"}}
    with pytest.raises(DataError, match=r"predictions of OpenCompass without the details .* --dump-eval-details"):
        read_log(write(tmp_path, predictions, kind="predictions"), ReadOptions())
    with pytest.raises(DataError, match=r"results of OpenCompass without the details"):
        read_log(write(tmp_path, {"accuracy": 50.0}), ReadOptions(reader="opencompass"))
    path = write(tmp_path, numbered([True]))
    path.write_text(path.read_text()[:-30])
    with pytest.raises(DataError, match=r"not JSON"):
        read_log(path, ReadOptions())
