"""Scorers in a study of a two-layer model: what was expected, and a function of one's own, which never runs unasked."""

import json
from pathlib import Path

import polars as pl
import pytest

from chaintune.cli import main
from chaintune.records import Scores
from tests import tiny

COUNT = 28
STUDY = """\
base: model
tasks:
  mine:
    role: safety
    path: prompts.jsonl
    columns: {{expects: expects, groups: {{topic: topic}}}}
    scorer: [refusal, {{own.py:count: {{most: {most}}}}}]
    samples: 2
    temperature: 1.0
    max_new_tokens: 6
  colours: {{role: capability, path: colours.jsonl, train: 8, test: none}}
chains: [[colours]]
recipe: {{method: full, learning_rate: 1e-3, epochs: 1, batch_size: 8}}
precision: fp32
resamples: 200
"""
OWN = """\
import pathlib

pathlib.Path("ran").touch()


def count(texts, examples, most):
    return [min(len(text) / most, 1.0) for text in texts]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHAINTUNE_STORE", str(tmp_path / "store"))
    tiny.write_model(tmp_path / "model")
    tiny.write_task(tmp_path / "colours.jsonl")
    rows = [
        {"prompt": f"Question {k}?", "expects": ("refuse", "comply")[k % 2], "topic": "AB"[k // 2 % 2]}
        for k in range(COUNT)
    ]
    Path("prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("own.py").write_text(OWN)
    Path("study.yaml").write_text(STUDY.format(most=40))
    return tmp_path


def run(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


def test_scorers_judge_what_a_study_writes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", "study.yaml") == 0, capsys.readouterr().err
    capsys.readouterr()
    assert run("run", "study.yaml", "--out", "out") == 2
    assert "task 'mine': scorer" in (told := capsys.readouterr().err)
    assert "own.py:count' is Python code, which may do anything" in told
    assert not Path("ran").exists()
    assert run("run", "study.yaml", "--out", "out", "--trust-remote-code") == 0, capsys.readouterr().err
    assert Path("ran").exists()
    rows = pl.read_parquet("out/results.parquet")
    lost = rows.filter(task="mine", metric="forgetting")
    assert set(lost.filter(deciding=True)["item_metric"]) == {"refusal"}
    assert set(lost.filter(deciding=False)["item_metric"]) == {"count"}
    labels = lost.filter(deciding=True, dimension="label")
    assert set(labels["group"]) == {"refuse", "comply"}
    files = {one.metric.name: one for one in map(Scores.read, sorted(Path("out/scores").glob("*.parquet")))}
    assert files["refusal"].metric.average == "balanced"
    assert {len(texts) for texts in files["refusal"].table.column("texts").to_pylist()} == {2}
    for row in files["count"].table.to_pylist():
        assert row["score"] == pytest.approx(sum(min(len(text) / 40, 1.0) for text in row["texts"]) / 2)

    # What is changed of a scorer judges anew, and nothing is asked or trained again.
    made = sorted(Path("store").rglob("manifest.json"))
    Path("study.yaml").write_text(STUDY.format(most=20))
    assert run("run", "study.yaml", "--out", "again", "--trust-remote-code") == 0
    assert sorted(Path("store").rglob("manifest.json")) == made
    assert made
    new = {one.metric.name: one for one in map(Scores.read, sorted(Path("again/scores").glob("*.parquet")))}
    assert new["count"].item_scores().mean() > files["count"].item_scores().mean()
    assert new["refusal"].table.equals(files["refusal"].table)
