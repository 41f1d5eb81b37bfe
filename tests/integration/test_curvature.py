"""`chaintune curvature` as people use it, on two-layer models."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import chaintune
from chaintune.cli import main
from chaintune.errors import ConfigError, DataError
from chaintune.hessian import Search, choose_examples, curvature
from chaintune.models import load
from chaintune.models.precision import dtype_of
from chaintune.records import Task
from chaintune.report.folder import write_report
from chaintune.store.folder import FolderStore
from tests import tiny
from tests.conftest import MakeModel
from tests.integration.conftest import Smoke, checkpoints, outcome_of

FEW = ["--examples", "6", "--batches", "2"]
# How near an eigenvalue is to its limit is the matter of tests/unit/hessian.
SMALL = [*FEW, "--tolerance", "0.5"]


@pytest.fixture
def balls(monkeypatch: pytest.MonkeyPatch) -> Task:
    """A made-up task, known by its name while the test runs."""
    items = tiny.examples(20)
    task = Task("balls", "capability", "1", tuple(items[:12]), tuple(items[12:]), ("owner",), "made up", "none")
    monkeypatch.setattr("chaintune.tasks.load", lambda name: {"balls": task}[name])
    return task


@pytest.fixture
def called(balls: Task, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["curvature", *arguments, "--task", "balls", "--store", str(tmp_path / "store")])
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return call


def test_prints_both_ends_with_n_and_what_they_are_of(called: Any, model_folder: MakeModel) -> None:
    code, out, err = called(str(model_folder()), *SMALL)
    assert code == 0, err
    for word in ("Curvature", "radius", "top", "bottom", "residual", "parts", "all weights (40,352)", "no interval"):
        assert word in out
    assert "\x1b" not in out + err


def test_json_agrees_with_the_api_and_names_what_was_measured(
    called: Any, balls: Task, model_folder: MakeModel, tmp_path: Path
) -> None:
    code, out, _ = called(str(model_folder()), *SMALL, "--json")
    (found,) = json.loads(out)
    store = FolderStore(tmp_path / "store")
    same = chaintune.curvature(str(model_folder()), balls, examples=6, batches=2, tolerance=0.5, store=store)
    assert code == 0
    assert (found["radius"], found["top"], found["bottom"]) == (same.radius, same.top, same.bottom)
    assert found["provenance"]["split"] == "train"
    assert {"model", "checkpoint", "task_version", "examples_digest"} <= set(found["provenance"])
    test = chaintune.curvature(
        model_folder(), balls, examples=6, batches=0, tolerance=0.5, split="test", store=str(tmp_path / "store")
    )
    assert test.radius != same.radius


def test_of_an_adapter_and_of_what_lies_under_it(called: Any, model_folder: MakeModel, adapter_folder: Path) -> None:
    name = f"{model_folder()}+{adapter_folder}"
    code, out, err = called(name, *SMALL, "--space", "lora")
    assert code == 0, err
    assert "the adapter's weights (" in out
    full, plain = (json.loads(called(one, *SMALL, "--json")[1])[0] for one in (name, str(model_folder())))
    assert full["parameters"] == plain["parameters"]
    assert full["radius"] != plain["radius"]


def test_what_does_not_converge_ends_with_code_3(called: Any, model_folder: MakeModel) -> None:
    code, out, _ = called(str(model_folder()), *FEW, "--basis", "3", "--max-products", "3")
    assert code == 3
    assert "undefined" in out
    assert "converge" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--space", "lora", "--examples", "6"], "name one as MODEL+ADAPTER"),
        (["--examples", "13"], "task 'balls, train': expected 1 to 12 examples, got 13"),
        (["--batches", "40", "--examples", "4"], "at most one for each of the 4 examples"),
        (["--tolerance", "2", "--examples", "6"], "a fraction of the radius"),
        (["--space", "lroa"], "lroa"),
    ],
)
def test_bad_input_is_one_message_and_code_2(
    called: Any, model_folder: MakeModel, arguments: list[str], sentence: str
) -> None:
    code, out, err = called(str(model_folder()), *arguments)
    assert code == 2, err
    assert sentence in err
    assert "Traceback" not in err
    assert out == ""


def test_split_and_size_are_checked_in_python(balls: Task, model_folder: MakeModel) -> None:
    with pytest.raises(ConfigError, match="did you mean 'train'"):
        chaintune.curvature(str(model_folder()), balls, split="trian")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="task 'balls, test': expected 1 to 8 examples, got 16"):
        chaintune.curvature(str(model_folder()), balls, split="test")


def test_bf16_checkpoints_are_measured_in_fp32(balls: Task, model_folder: MakeModel, tmp_path: Path) -> None:
    loaded = load(model_folder(), precision="bf16")
    assert next(loaded.model.parameters()).dtype == dtype_of("bf16")
    loaded.model.save_pretrained(tmp_path / "bf16")
    loaded.tokenizer.save_pretrained(tmp_path / "bf16")
    loaded.model.float().save_pretrained(tmp_path / "fp32")
    loaded.tokenizer.save_pretrained(tmp_path / "fp32")
    radii = {
        chaintune.curvature(str(tmp_path / name), balls, examples=4, batches=0, tolerance=0.5).radius
        for name in ("bf16", "fp32")
    }
    assert len(radii) == 1


def test_a_study_measures_what_it_is_about_to_overwrite(smoke: Smoke, tmp_path: Path) -> None:
    quick = ["recipe.epochs=1", "vary={seed: [0, 1]}"]
    plain = smoke.open(tmp_path / "plain", "recipe.epochs=1")  # of the first seed
    outcome_of(plain)
    session = smoke.open(tmp_path / "store", *quick, "curvature={examples: 6, batches: 2, tolerance: 0.5}")
    found = session.run(tmp_path / "out")
    assert found.outcome.complete
    # The model that was measured is tuned on as if nothing had happened.
    assert len(checkpoints(plain)) == 4
    assert checkpoints(plain).items() <= checkpoints(session).items()
    measured = {(row.chain, row.seed): row.estimate for row in found.rows if row.metric == "curvature"}
    assert set(measured) == {(chain, seed) for chain in ("balls", "boxes") for seed in "01"}
    (entry,) = [e for e in session.store.entries("curvature") if e.info["title"].startswith("balls, seed 0")]
    (stage,) = [node for node in session.plan.stages if node.chain == ("balls",) and node.seed == 0]
    folder = session.store.get("stage", stage.key)
    assert folder is not None
    chosen = choose_examples(session.tasks["balls"].train, 6, task="balls")
    alone = curvature(
        load(folder.path, precision="fp32"), chosen, task="balls", batches=2, search=Search(tolerance=0.5)
    )
    assert measured["balls", "0"].value == alone.radius
    assert entry.info["products"] == alone.products
    pairs = pl.read_parquet(tmp_path / "out" / "curvature.parquet")
    assert pairs["n"].to_list() == [6] * 4
    correlation = [row.estimate for row in found.rows if row.metric == "curvature_forgetting_correlation"]
    assert sorted(one.n for one in correlation) == [2, 2, 4]
    report = write_report(tmp_path / "out")
    assert "Curvature and what was then forgotten" in report
    for seed in "01":
        assert report.count(f"| curvature | balls, seed {seed} | balls | 6 |") == 1
    assert "| rank correlation with forgetting |  | all tasks | 4 |" in report


@pytest.mark.parametrize(
    ("method", "spaces"),
    [
        (["recipe.method=peft", "recipe.peft={peft_type: OFT, oft_block_size: 4}"], ["full", "lora"]),
        (["recipe.method=lora", "recipe.lora_rank=4"], ["lora"]),
    ],
    ids=["oft", "lora"],
)
def test_a_study_of_adapters_is_measured_in_either_space_and_left_alone(
    method: list[str], spaces: list[str], smoke: Smoke, tmp_path: Path
) -> None:
    quick = ["recipe.epochs=1", "chains=[[balls, boxes]]", *method]
    plain = smoke.open(tmp_path / "plain", *quick)
    outcome_of(plain)
    for space in spaces:
        asked = f"curvature={{examples: 4, batches: 0, tolerance: 0.5, space: {space}}}"
        session, out = smoke.open(tmp_path / space, *quick, asked), tmp_path / f"{space}-out"
        found = session.run(out)
        assert checkpoints(session) == checkpoints(plain)
        (measured,) = [row for row in found.rows if row.metric == "curvature"]
        assert measured.estimate.value > 0
        assert set(pl.read_parquet(out / "curvature.parquet")["space"]) == {space}
