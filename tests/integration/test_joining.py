"""Runs of one seed each, joined, against the one run with all of their seeds."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
import yaml

import chaintune
from chaintune import forgetting
from chaintune.cli import main
from chaintune.errors import ChaintuneError, DataError
from chaintune.report.figures.every import result_figures
from chaintune.report.folder import read_results, write_report
from chaintune.results import StudyResults
from chaintune.runs.joining import check_alike, join
from chaintune.runs.measured import read
from tests.integration.conftest import BRIEF, Smoke

SEEDS = (0, 1, 2)
# With a mitigation, whose cost is known from the store, and with what is measured beside scores.
WHOLE = (
    BRIEF,
    "chains=[[balls, boxes]]",
    "tasks.boxes.test=12",
    "kl=true",
    "curvature={examples: 2, batches: 0, tolerance: 0.5}",
    "mitigations=[{replay: {task: balls, dose: [0.5]}}]",
)


@contextmanager
def without_statistics() -> Iterator[None]:
    """Nobody looks at the results of what is only joined, and they take longest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forgetting, "summarise", lambda *_arguments, **_options: [])
        yield


@pytest.fixture(scope="module")
def runs(smoke: Smoke, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folders of a run with three seeds and of one with each; nothing that they were computed from is left."""
    made, folder = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("elsewhere")
    for name, seeds in (("whole", SEEDS), *((f"seed{seed}", (seed,)) for seed in SEEDS)):
        session = smoke.open(made / "store", *WHOLE, f"vary.seed={list(seeds)}")
        with nullcontext() if name == "whole" else without_statistics():
            assert session.run(made / name).outcome.complete
        shutil.move(made / name, folder / name)
    shutil.rmtree(made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAINTUNE_STORE", str(made / "none"))
        yield folder


def test_joined_runs_are_the_one_run_with_their_seeds(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Joined in whatever order, in two steps, the second in place and by the command."""
    monkeypatch.setattr("chaintune.report.figures.every.result_figures", lambda _results: [])  # a slow test has them
    whole, joined = runs / "whole", tmp_path / "joined"
    with without_statistics():
        results = chaintune.join([runs / "seed2", str(runs / "seed0")], joined)
    assert isinstance(results, StudyResults)
    assert results.folder == joined
    with redirect_stdout(StringIO()) as printed, pytest.raises(SystemExit) as ended:
        main(["report", str(joined), str(runs / "seed1"), "--out", str(joined), "--format", "md"])
    assert ended.value.code == 0
    write_report(whole)
    for name in ("results.parquet", "curvature.parquet", "kl.parquet", "training.parquet"):
        assert pl.read_parquet(joined / name).equals(pl.read_parquet(whole / name)), name
    assert set(pl.read_parquet(joined / "results.parquet")["seed"]) >= {"all", "0", "1", "2"}
    for name in ("results.json", "scores/index.json"):
        assert json.loads((joined / name).read_bytes()) == json.loads((whole / name).read_bytes()), name
    scores = {path.name: path.read_bytes() for path in (whole / "scores").iterdir()}
    assert {path.name: path.read_bytes() for path in (joined / "scores").iterdir()} == scores
    words, _ = (whole / "report.md").read_text().split("## Where this comes from")
    assert words == (joined / "report.md").read_text().split("## Where this comes from")[0]
    assert words.split("\n", maxsplit=1)[1] in printed.getvalue()
    assert "Over 3 seeds" in words
    assert (joined / "report.html").read_text().count("1 seed (") == 3, "the page says where each seed comes from"
    origin = json.loads((joined / "provenance.json").read_bytes())
    assert (origin["seeds"], [run["seeds"] for run in origin["joined"]]) == ([0, 1, 2], [[0], [2], [1]])
    costs = [json.loads((runs / f"seed{seed}" / "provenance.json").read_bytes())["cost"] for seed in SEEDS]
    assert origin["cost"]["train_tokens"] == sum(cost["train_tokens"] for cost in costs) > 0


@pytest.mark.slow
def test_joined_runs_have_the_figures_of_the_one_run(runs: Path, tmp_path: Path) -> None:
    join([runs / f"seed{seed}" for seed in SEEDS], tmp_path)
    one, other = (result_figures(read_results(folder)) for folder in (runs / "whole", tmp_path))
    assert [(each.name, each.spec, each.caption) for each in one] == [
        (each.name, each.spec, each.caption) for each in other
    ]
    assert len(one) > 4


def test_a_seed_counts_once(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"seed 1 is in \S+whole and in \S+seed1; leave one of them out"):
        join([runs / "whole", runs / "seed1"], tmp_path)


def changed(folder: Path, to: Path, *, study: dict[str, object] | None = None, **provenance: object) -> Path:
    """A run's folder under another name, with other words in its files."""
    shutil.copytree(folder, to)
    resolved = yaml.safe_load((to / "study.resolved.yaml").read_text())
    (to / "study.resolved.yaml").write_text(yaml.safe_dump(resolved | (study or {})))
    known = json.loads((to / "provenance.json").read_bytes())
    (to / "provenance.json").write_text(json.dumps(known | provenance))
    return to


def test_what_differs_but_for_the_seed_is_named(runs: Path, tmp_path: Path) -> None:
    recipe = yaml.safe_load((runs / "seed1" / "study.resolved.yaml").read_text())["recipe"] | {"learning_rate": 0.5}
    other = changed(runs / "seed1", tmp_path / "rate", study={"recipe": recipe, "level": 0.9})
    with pytest.raises(
        DataError, match=r"rate: differs from \S+seed0 in recipe.learning_rate \(0.5, not 0.01\), level"
    ):
        join([runs / "seed0", other], tmp_path / "out")
    other = changed(runs / "seed1", tmp_path / "weights", bases={"model": "other"}, precision=["bf16"])
    with pytest.raises(DataError, match=r"in precision \(\['bf16'\], not \['fp32'\]\), bases.model \(other, not"):
        join([runs / "seed0", other], tmp_path / "out")
    tasks = json.loads((runs / "seed1" / "provenance.json").read_bytes())["tasks"]
    tasks["balls"]["test_digest"] = "0" * 64
    other = changed(runs / "seed1", tmp_path / "data", tasks=tasks)
    with pytest.raises(DataError, match=r"tasks.balls: test examples \(000000000000, not"):
        join([runs / "seed0", other], tmp_path / "out")
    other = changed(runs / "seed1", tmp_path / "places", study={"base": ["/elsewhere/model"], "keep": "none"})
    check_alike({"one": read(runs / "seed0"), "other": read(other)})  # places and what is kept change no number


def test_a_folder_that_is_no_such_run_is_one_sentence(runs: Path, tmp_path: Path) -> None:
    other = changed(runs / "seed1", tmp_path / "older")
    (other / "checkpoints.json").unlink()
    with pytest.raises(ChaintuneError, match=r"older/checkpoints.json: no such file; .*run the study again"):
        join([runs / "seed0", other], tmp_path / "out")
    (other / "checkpoints.json").write_text('{"checkpoints": [{}], "other_ways": {}, "limits": {}}')
    with pytest.raises(DataError, match="not as chaintune wrote it"):
        join([runs / "seed0", other], tmp_path / "out")
