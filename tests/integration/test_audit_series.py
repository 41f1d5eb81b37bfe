"""`chaintune audit` of three models, in order and as rivals, as a command and from Python."""

import json
from pathlib import Path
from typing import Any

import pytest

import chaintune
from chaintune import tasks
from chaintune.cli import main
from chaintune.errors import ConfigError
from chaintune.execution import bases
from chaintune.records import Scores
from chaintune.store.folder import FolderStore
from tests import tiny
from tests.conftest import MakeModel


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, printed.out, printed.err


def test_three_models_are_scored_once_each_and_compared_in_pairs(
    model_folder: MakeModel, adapter_folder: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, other = str(model_folder()), str(tiny.write_model(tmp_path / "other", seed=3))
    models = [base, f"{base}+{adapter_folder}", other]
    data = tiny.write_task(tmp_path / "balls.jsonl")
    loaded: list[Path] = []
    usual = vars(bases)["load"]

    def spy(folder: Path, **options: Any) -> Any:
        if not options.get("on_meta"):
            loaded.append(folder)
        return usual(folder, **options)

    monkeypatch.setattr(bases, "load", spy)
    asked = ["--task", "balls", "--test", "16", "--set", f"tasks.balls.path={data}", "--by", "owner"]
    asked += ["--precision", "fp32", "--store", str(tmp_path / "store"), "--resamples", "200", "--format", "json"]
    out = tmp_path / "out"
    code, text, err = run(capsys, "audit", *models, *asked, "--out", str(out))
    assert code == 0, err
    assert len(loaded) == 2, "the adapter shares its base"
    told = json.loads(text)
    names = [Path(base).name, f"{Path(base).name}+{adapter_folder.name}", "other"]
    pairs = [(names[0], names[1]), (names[1], names[2]), (names[0], names[2])]
    assert [(one["from"], one["to"]) for one in told["comparisons"]] == pairs
    assert json.loads((out / "comparison.json").read_text()) == told
    folders = sorted((out / "scores").iterdir())
    assert [folder.name for folder in folders] == [f"{place}-{name}" for place, name in enumerate(names, start=1)]
    assert [len(Scores.read(folder / "balls.parquet")) for folder in folders] == [16] * 3
    assert {path.stem for path in (out / "figures").glob("along-the-series-*.svg")} == {
        "along-the-series-every-task", "along-the-series-balls-by-owner",
    }  # fmt: skip
    for report in ("report.md", "report.html"):
        assert "Step by step" in (out / report).read_text(encoding="utf-8")
    again = json.loads(run(capsys, "compare", *map(str, folders), "--by", "owner", *asked[-4:])[1])
    for one, compared in zip(told["comparisons"], again["comparisons"], strict=True):
        assert (one["overall"], one["groups"]) == (compared["overall"], compared["groups"])

    given: dict[str, Any] = {
        "tasks": tasks.load("balls", path=data, role="safety"), "test": 16, "precision": "fp32", "by": ["owner"],
        "store": FolderStore(tmp_path / "store"), "resamples": 200,
    }  # fmt: skip
    found = chaintune.audit_series(dict(zip("abc", models, strict=True)), against_first=True, **given)
    assert len(loaded) == 2, "what is in the store is not scored again"
    assert found.pairs == [("a", "b"), ("a", "c")]
    assert list(found.scores) == ["a", "b", "c"]
    assert [one.overall.before.value for one in found.comparisons] == [
        told["comparisons"][0]["overall"]["before"]["value"]
    ] * 2
    with pytest.raises(ConfigError, match="expected three or more, got 2"):
        chaintune.audit_series(models[:2], **given)
    with pytest.raises(ConfigError, match="devices: expected a whole number"):
        chaintune.audit_series(models, devices="2", **given)  # type: ignore[arg-type]
