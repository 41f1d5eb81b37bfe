"""Results as objects: what they print and show, their figures, checkpoints and comparisons, and reading them back."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import chaintune
from chaintune.auditing import write_audit
from chaintune.cli import main
from chaintune.errors import ConfigError, DataError
from chaintune.execution.events import Result
from chaintune.execution.state import RunOutcome
from chaintune.forgetting.orders import PredictedOrders
from chaintune.report import folder as report_folder
from chaintune.results import StudyCheckpoint, chosen_checkpoint
from chaintune.scoring.score_files import write_scores
from chaintune.series import write_series
from tests import run_folders
from tests.conftest import draw_nothing
from tests.dummy_engine import make_plan, make_study, make_task

TASKS = [run_folders.task(name) for name in "sc"]
FAST = 200


@pytest.fixture(scope="module", autouse=True)
def _undrawn() -> Iterator[None]:
    """Figures are made and drawn elsewhere; here they have names."""
    figures = [run_folders.figure(name) for name in ("made", "forgetting-s", "forgetting-c")]
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        patch.setattr("chaintune.report.figures.every.result_figures", lambda _results: figures)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_folders.run_folder(tmp_path_factory.mktemp("made") / "run", TASKS)


@pytest.fixture(scope="module")
def results(run: Path) -> chaintune.StudyResults:
    loaded = chaintune.load(run)
    assert isinstance(loaded, chaintune.StudyResults)
    return loaded


def test_the_door_shows_the_public_names_alone() -> None:
    assert dir(chaintune) == sorted(chaintune.__all__)
    assert "bbq" in chaintune.tasks.names()
    with pytest.raises(AttributeError, match="no attribute 'taks'"):
        _ = chaintune.taks


def test_a_run_prints_its_sentences_and_first_tables(results: chaintune.StudyResults) -> None:
    said = str(results)
    assert said == results.summary()
    assert said.startswith("Forgetting in the study made\n\n")
    assert "After s>c, " in said or "s>c" in said
    assert len(said.splitlines()) < 70
    assert "rows in" in repr(results)
    assert results.to_polars().height == len(results.rows) == len(results.to_dict())
    study = make_study()
    node = make_plan(study, {name: make_task(name) for name in study.tasks}).stages[0]
    broken = replace(results, outcome=RunOutcome((Result("failed", node, "no room"),), 0.0))
    assert f"1 job failed: '{node.title}', no room" in str(broken)


def test_nothing_of_data_is_markup_in_a_notebook(results: chaintune.StudyResults) -> None:
    audited = results.compare("s", "s>c", by="faith", resamples=FAST)
    for shown in (results, audited, audited.comparisons[0]):
        html = shown._repr_html_()
        assert "<table>" in html
        assert "<script" not in html
        assert "<img" not in html
    assert "&lt;script&gt;" in audited._repr_html_()


def test_figures_by_name(results: chaintune.StudyResults, tmp_path: Path) -> None:
    assert list(results.figures()) == ["made", "forgetting-s", "forgetting-c"]
    figure = results.figure("forgetting-s")
    assert figure.name == "forgetting-s"
    assert figure.caption
    assert repr(figure) == "DrawnFigure('forgetting-s'; a notebook draws it, save writes it as .svg or .png)"
    assert results.figure("mad").name == "made"
    assert figure._repr_svg_() == "<svg></svg>"
    assert figure.save(tmp_path / "one.svg").read_text() == "<svg></svg>"
    assert figure.save(tmp_path / "one.png").is_file()
    with pytest.raises(ConfigError, match=r"one\.pdf: figures are saved as \.svg or \.png"):
        figure.save(tmp_path / "one.pdf")
    with pytest.raises(ConfigError, match="figure 'nothing': valid: "):
        results.figure("nothing")
    with pytest.raises(ConfigError, match="figure 'forgetting': several have it in their name: "):
        results.figure("forgetting")


def test_a_report_as_a_folder_and_as_a_file(results: chaintune.StudyResults, tmp_path: Path) -> None:
    page = results.report(tmp_path / "out")
    assert page == tmp_path / "out" / "report.html"
    assert sorted(path.name for path in page.parent.iterdir()) == ["figures", "report.html", "report.md"]
    assert results.report(tmp_path / "one.html").read_bytes() == page.read_bytes()
    assert results.report(tmp_path / "one.md").read_text() == (tmp_path / "out" / "report.md").read_text()
    with pytest.raises(ConfigError, match=r"one.pdf: a report is a folder, or a file that ends in .html or .md"):
        results.report(tmp_path / "one.pdf")


def test_a_checkpoint_by_its_chain(results: chaintune.StudyResults, run: Path) -> None:
    assert {one.title for one in results.checkpoints()} == {
        "base",
        "s, seed 0",
        "s>c, seed 0",
        "c, seed 0",
        "c>s, seed 0",
    }
    last = results.checkpoint("s > c", seed=0)
    assert last == results.checkpoint("s>c", base="m")
    assert set(last.tasks) == {"s", "c"}
    stored = chaintune.Scores.read(run / "scores" / "s-c.on-s.parquet")
    assert last.scores("s").table.equals(stored.table)
    with pytest.raises(ConfigError, match="checkpoint 's>d': did you mean 's>c'"):
        results.checkpoint("s>d")
    with pytest.raises(ConfigError, match="checkpoint 's>c': seed '1' is none of it; valid: 0"):
        results.checkpoint("s>c", seed=1)
    with pytest.raises(ConfigError, match="checkpoint 's>c, seed 0': no scores on 't'; valid: s, c"):
        last.scores("t")


def test_names_that_lead_to_the_same_weights_are_no_ambiguity() -> None:
    def one(variant: str, seed: str, key: str, base: str = "m") -> StudyCheckpoint:
        return StudyCheckpoint(base, "s", variant, seed, key, Path())

    shared = [one(variant, seed, f"key{seed}") for variant in ("lora lr=1e-3", "full") for seed in "01"]
    assert chosen_checkpoint(shared, "s", seed=1).key == "key1"
    with pytest.raises(ConfigError, match=r"name one by its seed \(--seed, in Python checkpoint\(.*, seed=\)\): 0; 1"):
        chosen_checkpoint(shared, "s")
    apart = [one("lora lr=1e-3", "0", "a"), one("full", "0", "b"), one("full", "0", "c", base="other")]
    assert chosen_checkpoint(apart, "s", base="m", variant="lora").key == "a"
    crossed = [one(variant, seed, variant + seed) for variant in ("full", "lora") for seed in "01"]
    with pytest.raises(ConfigError, match=r"by its variant \(.*\): full; lora, and by its seed \(.*\): 0; 1$"):
        chosen_checkpoint(crossed, "s")
    assert chosen_checkpoint(apart, "s", base="oth").key == "c"
    with pytest.raises(ConfigError, match="name one by its base"):
        chosen_checkpoint(apart, "s")
    with pytest.raises(ConfigError, match=r"name one by its variant .*: lora lr=1e-3; full"):
        chosen_checkpoint(apart, "s", base="m")
    with pytest.raises(ConfigError, match="variant 'dora': "):
        chosen_checkpoint(apart, "s", base="m", variant="dora")


def test_any_two_checkpoints_are_compared(results: chaintune.StudyResults) -> None:
    found = results.compare("s", "s>c", by="faith", resamples=FAST)
    assert [one.task for one in found.comparisons] == ["s", "c"] or len(found.comparisons) == 2
    lost = next(one for one in found.comparisons if one.task == "s")
    row = next(
        row for row in results.rows
        if (row.metric, row.chain, row.task, row.dimension) == ("forgetting", "s>c", "s", "")
    )  # fmt: skip
    assert lost.overall.forgetting.value == pytest.approx(row.estimate.value)
    assert {one.group for one in lost.groups} >= {"a", "b"}


def test_an_audit_and_a_series_are_read_back(results: chaintune.StudyResults, tmp_path: Path) -> None:
    audited = results.compare("s", "s>c", by="faith", resamples=FAST)
    write_audit(audited, tmp_path / "audit", tasks=TASKS)
    again = chaintune.load(tmp_path / "audit")
    assert isinstance(again, chaintune.Audit)
    assert again.to_dict() == audited.to_dict()
    assert again.before["s"].table.equals(audited.before["s"].table)
    assert str(again) == str(audited)
    other = chaintune.load(shutil.copy(tmp_path / "audit" / "comparison.json", tmp_path / "audit" / "other.json"))
    assert isinstance(other, chaintune.Audit)
    assert not other.before, "scores beside it may be those of another comparison"
    page = (tmp_path / "audit" / "report.html").read_text()
    with pytest.raises(SystemExit) as ended:
        main(["report", str(tmp_path / "audit"), "--format", "html"])
    assert ended.value.code in (0, None)
    assert len((tmp_path / "audit" / "report.html").read_text()) > len(page) / 2

    scores = {name: {task: results.checkpoint(name).scores(task) for task in "sc"} for name in ("base", "s", "s>c")}
    pairs = chaintune.compare_series({name: list(own.values()) for name, own in scores.items()}, resamples=FAST)
    series = chaintune.Series(pairs.comparisons, scores=scores)
    write_series(series, tmp_path / "series")
    found = chaintune.load(tmp_path / "series")
    assert isinstance(found, chaintune.Series)
    assert found.names == ["base", "s", "s>c"]
    assert found.scores["s>c"]["c"].table.equals(scores["s>c"]["c"].table)
    assert found.report(tmp_path / "again").is_file()


def test_scores_orders_and_what_is_none_of_them(results: chaintune.StudyResults, tmp_path: Path) -> None:
    own = {task: results.checkpoint("s").scores(task) for task in "sc"}
    paths = write_scores(own, tmp_path / "scores")
    loaded = chaintune.load(tmp_path / "scores")
    assert isinstance(loaded, dict)
    assert set(loaded) == {"s", "c"}
    one = chaintune.load(paths["s"])
    assert isinstance(one, chaintune.Scores)
    assert str(one).startswith("60 examples of s\n\n")
    assert "s: faith" in str(one)
    with pytest.raises(SystemExit) as ended:
        main(["report", str(tmp_path / "scores")])
    assert ended.value.code == 2

    nothing = {"value": 0.5, "low": None, "high": 0.6, "n": 4, "n_clusters": 2, "n_seeds": 1, "reason": ""}
    order = {"order": ["s", "c"], "mean": nothing, "scores": {"s": nothing, "c": nothing}}
    influence = {"seed": 0, "task": "s", "later": "c", "divergence_share": 0.5, "loss_share": 0.5}
    influence |= {"gradient_conflict": 0.5, "lost_share": 0.5}
    counts = {"stages": {"trained": 2, "all_orders": 4}, "tokens": {"trained": 20, "all_orders": 40}}
    content = {"study": "made", "level": 0.95, "orders": [order], "trained": [], "influences": [influence], **counts}
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "order.json").write_text(json.dumps(content))
    orders = chaintune.load(tmp_path / "orders")
    assert isinstance(orders, PredictedOrders)
    assert orders.to_dict() == content
    assert "s>c keeps most" in str(orders)
    (tmp_path / "orders" / "order.json").write_text("{}")
    with pytest.raises(DataError, match="not as chaintune wrote it"):
        chaintune.load(tmp_path / "orders")

    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no results there; expected the --out folder of a finished run"):
        chaintune.load(tmp_path / "empty")


def test_texts_are_looked_for_where_the_run_says(run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "study.resolved.yaml").unlink()
    assert report_folder.tasks_of(tmp_path / "run") == {}
    assert report_folder.tasks_of(run) == {}
    assert "the page has ids instead of texts" in caplog.text
