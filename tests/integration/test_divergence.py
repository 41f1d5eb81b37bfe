"""A study that measures how far each stage moved the model."""

from pathlib import Path

import polars as pl

from chaintune.records import ALL_SEEDS
from chaintune.report.folder import write_report
from tests.integration.conftest import Smoke


def test_each_stage_has_its_divergence_beside_what_was_then_forgotten(smoke: Smoke, tmp_path: Path) -> None:
    vary = ["kl=true", "recipe.epochs=1", "vary.seed=[0,1]", "resamples=1000"]
    session = smoke.open(tmp_path / "store", *vary)
    assert session.run(tmp_path / "out").outcome.complete
    rows = pl.read_parquet(tmp_path / "out" / "results.parquet")
    moved = rows.filter(pl.col("metric").is_in(["kl_forward", "kl_backward"]))
    # Two orders of two stages, two seeds, two directions; the first stages lose to the base.
    assert moved.height == 16
    assert (moved["value"] > 0).all()
    known = moved.filter(pl.col("reason") == "")
    assert known.height > 12
    assert ((known["low"] <= known["value"]) & (known["value"] <= known["high"])).all()
    assert set(moved["unit"]) == {"nats"}
    assert moved["p_value"].is_nan().all()
    by_chain = dict(moved.filter(pl.col("stage") == 2).select("chain", "task").iter_rows())
    assert by_chain == {"balls>boxes": "boxes", "boxes>balls": "balls"}
    pairs = pl.read_parquet(tmp_path / "out" / "kl.parquet")
    lost = rows.filter((pl.col("metric") == "forgetting") & (pl.col("dimension") == "") & (pl.col("seed") != ALL_SEEDS))
    assert sorted(pairs["forgetting"]) == sorted(lost.filter(pl.col("deciding"))["value"])
    assert (pairs["taught"] != pairs["task"]).all()
    assert rows.filter(pl.col("metric") == "kl_forgetting_correlation")["n"].to_list() == [2, 2, 4]


def test_it_stands_in_the_report_and_is_not_measured_again(smoke: Smoke, tmp_path: Path) -> None:
    session = smoke.open(tmp_path / "store", "kl=true", "recipe.epochs=1")
    assert session.run(tmp_path / "out").outcome.complete
    again = smoke.open(tmp_path / "store", "kl=true", "recipe.epochs=1").run(tmp_path / "out").outcome
    assert not again.of("made")
    write_report(tmp_path / "out")
    report = (tmp_path / "out" / "report.md").read_text()
    assert "KL divergence to the parent and what was then forgotten" in report
    assert "KL(parent ‖ child)" in report
    assert (tmp_path / "out" / "figures" / "kl-and-forgetting.svg").is_file()


def test_without_the_key_nothing_is_measured(smoke: Smoke, tmp_path: Path) -> None:
    assert not smoke.open(tmp_path / "store").plan.divergences
