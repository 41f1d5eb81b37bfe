"""What a finished run leaves in its folder."""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from chaintune import forgetting
from chaintune.errors import DataError, StageError, StoreError
from chaintune.execution.run import run_plan
from chaintune.records import CheckpointScores, Choices, Curvature, Estimate, Example, ResultRow, Scores, scores_table
from chaintune.runs import measured, output
from chaintune.runs.joining import check_alike, joined
from chaintune.runs.measured import Measured
from chaintune.runs.output import gather, write_results
from chaintune.store.folder import FolderStore
from chaintune.study.study import Study
from tests.dummy_engine import BASE_KEY, DummyEngine, failing, make_plan, make_prepared, make_study, make_task

TASKS = {name: make_task(name, train=16, test=16) for name in "ab"}
Hook = Callable[[str, str], None]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics that take no time, where they are not what is tested."""
    row = ResultRow("s", "m", "a", "", 1, "", "a", "gain", "", "", "0", Estimate.undefined("no example"))
    monkeypatch.setattr(forgetting, "summarise", lambda checkpoints, **_: [row] * len(checkpoints))


def ran(folder: Path, study: Study, hook: Hook | None = None) -> FolderStore:
    store = FolderStore(folder / "store")
    engine = DummyEngine(folder, hook=hook)
    run_plan(make_plan(study, TASKS), store=store, engine=engine, out=folder / "out", tasks=TASKS)
    return store


def write(folder: Path, study: Study, hook: Hook | None = None, *, out: str = "out") -> list[ResultRow]:
    return write_results(make_prepared(study, ran(folder, study, hook), TASKS), folder / out, command=["chaintune"])


def gathered(study: Study, store: FolderStore) -> list[CheckpointScores]:
    return gather(make_prepared(study, store, TASKS)).scored()


def small(**keys: Any) -> Study:
    return make_study("ab", resamples=100, **keys)


def test_every_prefix_of_every_chain_is_measured_once_for_each_variant_and_seed_and_the_base_for_each_seed(
    tmp_path: Path,
) -> None:
    study = small(vary={"seed": [0, 1], "recipe.epochs": [1, 2]})
    found = gathered(study, ran(tmp_path, study))
    named = [(one.checkpoint.labels, one.checkpoint.variant, one.checkpoint.seed) for one in found]
    chains = [("a",), ("a", "b"), ("b",), ("b", "a")]
    tuned = [(chain, (("epochs", epochs),), seed) for chain in chains for epochs in "12" for seed in (0, 1)]
    assert sorted(named) == sorted([((), (), 0), ((), (), 1), *tuned])
    assert all(set(one.scores) == {"a", "b"} for one in found)


def test_scaled_margins_are_made_of_what_was_measured_and_have_no_file_of_their_own(tmp_path: Path) -> None:
    study = small()
    rows = write(tmp_path, study)
    for one in gathered(study, FolderStore(tmp_path / "store")):
        for task, scores in one.scores.items():
            assert one.further[task]["scaled_margin"].table.equals(scores.by("scaled_margin").table)
    margins = [row for row in rows if row.item_metric == "scaled_margin"]
    assert {(row.deciding, row.verdict, row.mitigation) for row in margins} == {(False, "", "")}
    assert not [path for path in (tmp_path / "out" / "scores").iterdir() if "margin" in path.name]


def test_what_failed_is_absent(tmp_path: Path) -> None:
    study = small()
    found = gathered(study, ran(tmp_path, study, failing("a>b")))
    assert [one.checkpoint.labels for one in found] == [(), ("a",), ("b",), ("b", "a")]


@pytest.mark.parametrize("metric", ["accuracy", "accuracy_per_token", "accuracy_per_byte"])
def test_predictions_follow_the_metric(metric: Any, tmp_path: Path) -> None:
    study = small()
    store = ran(tmp_path, study)
    plain, chosen = gathered(study, store), gathered(small(metric=metric), store)
    for before, after in zip(plain, chosen, strict=True):
        for task in "ab":
            np.testing.assert_array_equal(after.scores[task].item_scores(), before.scores[task].item_scores(metric))
            gold = np.asarray(after.scores[task].table["gold"])
            right = np.asarray(after.scores[task].table["prediction"]) == gold
            np.testing.assert_array_equal(right, after.scores[task].item_scores().astype(bool))


@pytest.mark.parametrize("metric", ["accuracy_per_token", "accuracy_per_byte"])
def test_predictions_break_ties_as_what_is_right_does(metric: Any) -> None:
    # Of each unit the second choice is likelier by less than arithmetic can tell, so the first one is preferred.
    examples = [Example(f"e{k}", "question", Choices((" aaaa", " bb"), k % 2), {}, f"e{k}") for k in range(4)]
    tied = Scores("t", scores_table("t", examples, [[-4.00002, -2.0]] * 4, [[4, 2]] * 4))
    found = tied.by(metric)
    assert tied.table["prediction"].to_pylist() == [1] * 4
    assert found.table["prediction"].to_pylist() == tied.predictions(metric).tolist() == [0] * 4
    assert found.table["correct"].to_pylist() == [True, False] * 2


def test_files_of_a_finished_study(tmp_path: Path) -> None:
    study, out = small(), tmp_path / "out"
    out.mkdir()
    for name in ("kl.parquet", "curvature.parquet", "training.parquet"):
        (out / name).write_text("of an earlier run, which measured more")
    rows = write(tmp_path, study)
    assert sorted(path.name for path in out.iterdir()) == [
        "checkpoints.json",
        "provenance.json",
        "results.json",
        "results.parquet",
        "scores",
        "status.json",
        "study.resolved.yaml",
    ]
    table = pl.read_parquet(out / "results.parquet")
    assert len(table) == len(rows) > 0
    assert set(table["chain"]) >= {"base", "a", "a>b", "b", "b>a"}
    assert len(json.loads((out / "results.json").read_bytes())["rows"]) == len(rows)
    assert Study.from_yaml(out / "study.resolved.yaml").chains == study.chains
    origin = json.loads((out / "provenance.json").read_bytes())
    assert origin["command"] == ["chaintune"]
    assert origin["packages"]["polars"] == pl.__version__
    assert origin["bases"] == {"tiny": BASE_KEY}
    assert origin["tasks"]["a"]["train_digest"] == TASKS["a"].train_digest
    assert origin["seeds"] == [0]


def broken(when: str, what: str) -> Hook:
    def hook(now: str, chain: str) -> None:
        if when == now and what in {chain, "every"}:
            raise StageError("broken")

    return hook


@pytest.mark.parametrize("hook", [broken("tune", "a"), broken("score", "base"), broken("score", "every")])
def test_results_of_a_study_of_which_a_part_failed(hook: Hook, tmp_path: Path) -> None:
    rows = write(tmp_path, small(), hook)
    table = pl.read_parquet(tmp_path / "out" / "results.parquet")
    assert len(table) == len(rows)
    assert {"study", "metric", "value", "n"} <= set(table.columns)


@pytest.mark.usefixtures("quick")
def test_scores_are_copied_under_names_that_people_can_read(tmp_path: Path) -> None:
    write(tmp_path, small(vary={"recipe.learning_rate": [2e-5, 1e-4]}, chains=[["a", "b"]]))
    folder = tmp_path / "out" / "scores"
    assert sorted(path.name for path in folder.glob("*.parquet")) == [
        *(
            f"{chain}.lr={rate}.seed0.on-{task}.parquet"
            for chain in ("a-b", "a")
            for rate in ("1e-4", "2e-5")
            for task in "ab"
        ),
        "base.on-a.parquet",
        "base.on-b.parquet",
    ]
    assert Scores.read(folder / "base.on-a.parquet").task == "a"
    index = json.loads((folder / "index.json").read_bytes())
    assert index["a-b.lr=2e-5.seed0.on-a.parquet"]["chain"] == "a>b"


@pytest.mark.usefixtures("quick")
def test_names_that_differ_in_signs_only_stay_apart(tmp_path: Path) -> None:
    tasks = {name: replace(make_task("a", train=16, test=16), name=name) for name in ("x", "y", "x-y")}
    plain = {name: {"role": "safety", "path": "f.jsonl"} for name in tasks}
    study = Study.from_mapping({"base": "tiny", "tasks": plain, "chains": [["x", "y"], ["x-y"]], "resamples": 100})
    plan = make_plan(study, tasks)
    store = FolderStore(tmp_path / "store")
    run_plan(plan, store=store, engine=DummyEngine(tmp_path), out=tmp_path / "out", tasks=tasks)
    measured._write_scores(output._score_files(plan, store, tasks, "accuracy"), tmp_path / "scores")
    assert len(plan.scores) == 4  # of tasks with the same examples each checkpoint is measured once
    assert len(list((tmp_path / "scores").glob("*.parquet"))) == 12


@pytest.mark.usefixtures("quick")
def test_long_names_and_those_that_differ_in_case_only_are_written_and_in_the_index(tmp_path: Path) -> None:
    chain = [f"a_task_with_a_long_but_legal_name_{number:02}" for number in range(6)]
    names = [*chain, "x" * 293, "case", "CASE"]
    tasks = {name: make_task(name, train=16, test=16) for name in names}
    plain = {name: {"role": "safety", "path": "f.jsonl"} for name in names}
    study = Study.from_mapping(
        {"base": "tiny", "tasks": plain, "chains": [chain, ["case"], ["CASE"]], "resamples": 100}
    )
    plan, store = make_plan(study, tasks), FolderStore(tmp_path / "store")
    run_plan(plan, store=store, engine=DummyEngine(tmp_path), out=tmp_path / "out", tasks=tasks)
    for _ in range(2):  # written anew it is the same
        measured._write_scores(output._score_files(plan, store, tasks, "accuracy"), tmp_path / "scores")
        index = json.loads((tmp_path / "scores" / "index.json").read_bytes())
        files = {path.name for path in (tmp_path / "scores").glob("*.parquet")}
        assert files == set(index)
        assert len({name.casefold() for name in files}) == len(plan.scores) == 9 * len(names)
    assert all(Scores.read(tmp_path / "scores" / name).task == about["task"] for name, about in index.items())


@pytest.mark.usefixtures("quick")
def test_copies_that_are_no_more_part_of_the_study_go_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, small())
    folder = tmp_path / "out" / "scores"
    (folder / "mine.parquet").write_text("of the user")
    write(tmp_path, small(chains=[["a"]]))
    names = {path.name for path in folder.glob("*.parquet")}
    assert names == {f"{chain}.on-{task}.parquet" for chain in ("base", "a.seed0") for task in "ab"} | {"mine.parquet"}


@pytest.mark.usefixtures("quick")
def test_an_index_cannot_remove_what_lies_elsewhere(tmp_path: Path) -> None:
    write(tmp_path, small())
    victim = tmp_path / "out" / "results.parquet"
    (tmp_path / "out" / "scores" / "index.json").write_text(json.dumps({"../results.parquet": {}, "../x": {}}))
    write(tmp_path, small())
    assert victim.exists()


def test_what_is_undefined_is_null_in_json_and_nan_in_parquet(tmp_path: Path) -> None:
    row = ResultRow("s", "m", "a", "", 1, "", "a", "gain", "", "", "0", Estimate.undefined("no example"))
    measured._write_rows([row], Measured(small(), {}, {}, (), {}), tmp_path)
    (read,) = json.loads((tmp_path / "results.json").read_bytes())["rows"]
    assert (read["value"], read["reason"]) == (None, "no example")
    assert math.isnan(pl.read_parquet(tmp_path / "results.parquet")["value"][0])


@pytest.mark.usefixtures("quick")
def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    ran(tmp_path, small())
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file: the results cannot be written"):
        write(tmp_path, small(), out="file")


def test_the_dimension_shown_first_is_the_one_sizes_name_else_the_first_of_the_task() -> None:
    task, spec = replace(TASKS["a"], dimensions=("zone", "age")), small().tasks["a"]
    sized = spec.model_copy(update={"test": "3 per age"})
    plain = replace(task, dimensions=("label",))
    shown = [output._task_provenance(*one).get("by") for one in ((task, sized), (task, spec), (plain, None))]
    assert shown == ["age", "zone", None]


def test_a_second_writing_gives_the_same_bytes(tmp_path: Path) -> None:
    study = small()
    write(tmp_path, study)
    write(tmp_path, study, out="again")
    for name in ("results.parquet", "results.json", "study.resolved.yaml", "scores/a-b.seed0.on-a.parquet"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_package_without_a_name_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, written in enumerate(("Name: one\nVersion: 1\n", "")):
        (tmp_path / f"{number}.dist-info").mkdir()
        (tmp_path / f"{number}.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\n{written}")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    study = small()
    about = output.provenance(make_prepared(study, FolderStore(tmp_path), TASKS))
    assert about["packages"] == {"one": "1"}


def test_a_folder_is_read_back_in_the_order_of_the_study(quick: None, tmp_path: Path) -> None:
    study = make_study("ba", resamples=100)
    write(tmp_path, study)
    given, back = gathered(study, FolderStore(tmp_path / "store")), measured.read(tmp_path / "out").scored()
    assert [list(one.scores) for one in back] == [["b", "a"]] * len(back)
    for one, again in zip(given, back, strict=True):
        assert one.checkpoint == again.checkpoint
        assert all(again.scores[task].table.equals(own.table) for task, own in one.scores.items())


def test_runs_are_not_joined_that_measured_one_base_otherwise(quick: None, tmp_path: Path) -> None:
    write(tmp_path, small())
    one = measured.read(tmp_path / "out")
    (name,) = next(at for at in one.checkpoints if not at.checkpoint.chain).files["a"]
    other = replace(one.files[name], about={**one.files[name].about, "key": "9" * 64})
    with pytest.raises(DataError, match="seed 0 is in one and in other"):  # another key, and the same scores
        check_alike({"one": one, "other": replace(one, files={**one.files, name: other})})
    table = other.scores.table
    turned = pa.array([1 - value for value in table.column("score").to_pylist()])
    table = table.set_column(table.schema.get_field_index("score"), "score", turned)
    other = replace(other, scores=replace(other.scores, table=table))
    with pytest.raises(
        DataError, match=r"in how accuracy of tiny on a was measured \(999999999999, not [0-9a-f]{12}\)"
    ):
        check_alike({"one": one, "other": replace(one, files={**one.files, name: other})})
    failed = replace(one, checkpoints=tuple(at for at in one.checkpoints if at.checkpoint.chain))
    with pytest.raises(DataError, match="seed 0 is in one and in other"):
        check_alike({"one": one, "other": failed})
    with pytest.raises(DataError, match=r"in limits.target \(0.5, not 0.8\)"):
        check_alike({"one": one, "other": replace(one, limits=replace(one.limits, target=0.5))})


def test_runs_are_not_joined_that_differ_in_what_no_key_of_the_study_tells(quick: None, tmp_path: Path) -> None:
    write(tmp_path, small())
    one = measured.read(tmp_path / "out")

    def bent(seed: int) -> Measured:
        curvature = Curvature("a", "full", 1.0, 1.0, 0.0, 0.0, 0.0, (), 1.0, 0.0, 2, 2, 2, 2, 2, 0.0, seed)
        return replace(one, checkpoints=tuple(replace(at, curvature=curvature) for at in one.checkpoints))

    with pytest.raises(
        DataError, match=r"in seed of the examples for curvature \(1, not 0\); .*--set 'vary.seed=\[1\]'"
    ):
        check_alike({"one": bent(0), "other": bent(1)})
    with pytest.raises(DataError, match="seed 0 is in one and in other"):  # one of them measured none
        check_alike({"one": one, "other": bent(1)})
    again = {
        name: replace(file, scores=replace(file.scores, metric=replace(file.scores.metric, version="9")))
        for name, file in one.files.items()
    }
    with pytest.raises(DataError, match=r"in version of accuracy of \w \(9, not 1\)"):
        check_alike({"one": one, "other": replace(one, files=again)})
    bases = [replace(one, provenance={**one.provenance, "bases": {"base": digest}}) for digest in ("1", "2")]
    with pytest.raises(DataError, match=r"in bases.base \(2, not 1\)"):
        check_alike(dict(zip(("one", "other"), bases, strict=True)))


def test_joined_runs_have_their_checkpoints_in_the_order_of_one_plan(quick: None, tmp_path: Path) -> None:
    write(tmp_path, small(vary={"seed": [0, 1], "recipe.epochs": [1, 2]}))
    whole = measured.read(tmp_path / "out")
    parts = [
        replace(whole, checkpoints=tuple(one for one in whole.checkpoints if one.checkpoint.seed == seed))
        for seed in (1, 0)
    ]
    assert [one.checkpoint for one in joined(parts).checkpoints] == [one.checkpoint for one in whole.checkpoints]
