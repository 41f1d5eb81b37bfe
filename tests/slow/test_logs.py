"""Logs that other harnesses really wrote, of two checkpoints on a task with groups, against our own scoring of it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import chaintune
from chaintune import models, tasks
from chaintune.errors import ConfigError, DataError
from chaintune.logs.options import ReadOptions
from chaintune.logs.readers import read_log
from chaintune.records import Comparison, Scores
from tests import tiny

pytestmark = pytest.mark.slow
N = 60
FAST = 500
COLOURS = ["red", "blue", "dark green", "black"]
BY, CLUSTER = "doc.about.owner", "doc.about.room"


def doc(k: int) -> dict[str, Any]:
    choices = COLOURS[k % 4 :] + COLOURS[: k % 4]
    owner = tiny.OWNERS[k % 3]
    return {
        "question": f"{owner} has ball {k}. Colour of the ball?",
        "choices": choices,
        "answer": (k * k + k // 3) % 4,
        "about": {"owner": owner, "room": k // 2},
    }


@dataclass(frozen=True)
class Place:
    """Where the task and the two checkpoints lie."""

    folder: Path

    def model(self, side: int) -> Path:
        return self.folder / f"model{side}"

    def log(self, side: int, *options: str) -> Path:
        """A folder of logs as lm-eval's own command writes it; the same options are run once."""
        out = self.folder / f"log{side}{'_'.join(options)}"
        if not out.exists():
            # Its tasks are looked up in a folder, so that nothing is fetched.
            command = [
                *(sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--device", "cpu", "--batch_size", "4"),
                *("--model_args", f"pretrained={self.model(side)},dtype=float32", "--tasks", "balls"),
                *("--include_path", str(self.folder / "tasks"), "--log_samples", "--output_path", str(out), *options),
            ]
            quiet = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(self.folder / "cache")}
            done = subprocess.run(command, check=False, capture_output=True, text=True, env=quiet)  # noqa: S603
            assert done.returncode == 0, done.stderr[-3000:]
        return out


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("logs")
    for side in (0, 1):
        tiny.write_model(folder / f"model{side}", seed=side)
    (folder / "tasks").mkdir()
    files = {split: str(folder / "tasks" / f"{split}.jsonl") for split in ("train", "test")}
    for split, first in (("train", N), ("test", 0)):
        rows = [json.dumps(doc(first + k)) + "\n" for k in range(N)]
        Path(files[split]).write_text("".join(rows), encoding="utf-8")
    task = {
        "task": "balls",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": files},
        "output_type": "multiple_choice",
        "training_split": "train",
        "test_split": "test",
        "fewshot_split": "train",
        "doc_to_text": "{{question}}\nAnswer:",
        "doc_to_target": "answer",
        "doc_to_choice": "{{choices}}",
        "metric_list": [
            {"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")
        ],
        "metadata": {"version": 3.0},
    }
    (folder / "tasks" / "balls.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
    return Place(folder)


def own(place: Place, side: int) -> Scores:
    task = tasks.load(
        "lm_eval:balls",
        include_path=place.folder / "tasks",
        columns={"id": "doc.question", "groups": {BY: BY}, "cluster": CLUSTER},
    )
    assert len(task.test) == N
    loaded = models.load(place.model(side), precision="fp32")
    return tiny.score(loaded, task.test, task="balls")


def figures(found: Comparison) -> list[Any]:
    told = found.to_dict()
    return [told[part] for part in ("overall", "groups", "disparities")]


def test_figures_of_lm_evals_logs_are_those_of_our_own_scoring(place: Place) -> None:
    ours = [own(place, side) for side in (0, 1)]
    logs = [place.log(side) for side in (0, 1)]
    for side in (0, 1):
        (path,) = logs[side].rglob("samples_balls_*.jsonl")
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        theirs = {row["doc"]["question"]: bool(row["acc"]) for row in rows}
        table = ours[side].table
        assert theirs == dict(zip(ours[side].example_ids, table.column("correct").to_pylist(), strict=True))
        # Identical answers to few questions could be luck; the log-probabilities agree as well.
        logprobs = dict(zip(ours[side].example_ids, table.column("choice_logprobs").to_pylist(), strict=True))
        for row in rows:
            given = [float(answer[0]) for answer in row["filtered_resps"]]
            assert given == pytest.approx(logprobs[row["doc"]["question"]], abs=1e-3)
    found = chaintune.compare(logs[0], logs[1], by=[BY], cluster=CLUSTER, resamples=FAST)
    expected = chaintune.compare(ours[0], ours[1], by=[BY], resamples=FAST)
    assert figures(found) == figures(expected)
    assert found.overall.forgot + found.overall.learned > 0
    assert (found.metric, found.overall.forgetting.n, found.overall.forgetting.n_clusters) == ("acc", N, N // 2)


def test_what_lm_eval_tells_of_shots_and_metrics_is_understood(place: Place) -> None:
    logs = [place.log(0), place.log(1, "--num_fewshot", "2")]
    with pytest.raises(DataError, match=r"few-shot examples is 0 before and 2 after; the prompt differs in 60 of 60"):
        chaintune.compare(logs[0], logs[1], resamples=FAST)
    facts = read_log(logs[1], ReadOptions())["balls"].facts
    assert facts == {"task version": "3.0", "few-shot examples": "2", "chat": "off"}
    by_length = chaintune.compare(place.log(0), place.log(1), metric="acc_norm", resamples=FAST)
    ours = [own(place, side) for side in (0, 1)]
    expected = chaintune.compare(ours[0], ours[1], metric="accuracy_per_byte", resamples=FAST)
    # lm-eval counts the characters of a choice, which are its bytes here.
    assert by_length.overall.forgetting.value == expected.overall.forgetting.value


def asked(k: int) -> str:
    return f"What is {k} and 1?"


def answered(k: int, side: int) -> str:
    """By hand: before, every fifth answer is wrong; after, those and every third."""
    wrong = k % 5 == 0 or (side == 1 and k % 3 == 0)
    return str(k + 1 + wrong)


def inspected(folder: Path, side: int, **options: Any) -> Path:
    """Where the log lies of a task that inspect-ai ran on its mock model."""
    samples = [
        {
            "id": k,
            "input": asked(k),
            "target": str(k + 1),
            "metadata": {"parity": ["even", "odd"][k % 2], "ten": k // 10},
        }
        for k in range(N)
    ]
    answers = {asked(k): answered(k, side) for k in range(N)}
    told = {"form": "eval", "epochs": 1, "version": 1, "manner": "Be brief."} | options
    out = folder / f"inspect{len(list(folder.iterdir()))}"
    out.mkdir()
    (folder / "told.json").write_text(json.dumps(told | {"samples": samples, "answers": answers}), encoding="utf-8")
    program = Path(__file__).with_name("inspect_program.py")
    command = [sys.executable, str(program), str(out), str(folder / "told.json")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def by_hand(parity: int | None = None) -> float:
    numbers = [k for k in range(N) if parity is None or k % 2 == parity]
    right = [sum(answered(k, side) == str(k + 1) for k in numbers) for side in (0, 1)]
    return (right[0] - right[1]) / len(numbers)


@pytest.mark.parametrize(("forms", "epochs"), [(("eval", "eval"), 1), (("json", "eval"), 1), (("eval", "json"), 2)])
def test_figures_of_inspects_logs_are_those_of_the_answers_by_hand(tmp_path: Path, forms: Any, epochs: int) -> None:
    logs = [inspected(tmp_path, side, form=form, epochs=epochs) for side, form in enumerate(forms)]
    found = chaintune.compare(
        logs[0], logs[1], metric="match", by=["metadata.parity"], cluster="metadata.ten", resamples=FAST
    )
    assert found.overall.forgetting.value == pytest.approx(by_hand())
    values = {row.group: row.forgetting.value for row in found.groups}
    assert values == {"even": pytest.approx(by_hand(0)), "odd": pytest.approx(by_hand(1))}
    assert found.overall.forgetting.n_clusters == 6
    assert found.overall.forgot == sum(answered(k, 0) != answered(k, 1) for k in range(N))
    table = [
        {"id": k, "score": float(answered(k, side) == str(k + 1)), "parity": ["even", "odd"][k % 2], "ten": k // 10}
        for side in (0, 1)
        for k in range(N)
    ]
    import polars as pl

    frames = [pl.DataFrame(table[side * N : (side + 1) * N]) for side in (0, 1)]
    columns = {"metadata.parity": "parity"}
    same = chaintune.compare(
        frames[0], frames[1], by=["metadata.parity"], columns=columns, cluster="ten", resamples=FAST
    )
    assert figures(found) == figures(same)


def test_what_inspect_tells_of_the_task_is_understood(tmp_path: Path) -> None:
    before = inspected(tmp_path, 0)
    with pytest.raises(ConfigError, match="2 scores, name one as the metric: match, includes"):
        chaintune.compare(before, before, resamples=FAST)
    for change, said in (
        ({"version": 2}, "task version is 1 before and 2 after"),
        ({"manner": "Be long."}, "'template' is Be brief. before and Be long. after; the prompt differs in 60 of 60"),
    ):
        with pytest.raises(DataError, match="cannot be compared") as caught:
            chaintune.compare(before, inspected(tmp_path, 1, **change), metric="match", resamples=FAST)
        assert said in str(caught.value)
