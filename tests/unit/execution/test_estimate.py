"""What a plan will take, from what earlier nodes took."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaintune.execution.estimate import Rate, Rates, forecast, rates_of
from chaintune.execution.hardware import ANY_GPU, Hardware
from chaintune.execution.run import run_plan
from chaintune.plan.nodes import ScoreNode
from chaintune.plan.plan import Plan
from chaintune.store.folder import FolderStore
from tests.dummy_engine import BASE_KEY, DummyEngine, make_plan, make_study, make_task


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


HERE = Hardware("cpu", 4.0)
PLAN = make_plan(make_study("ab"))


def rates(
    store: FolderStore, plan: Plan = PLAN, *, here: Hardware = HERE, train: float = 1.0, score: float = 400.0
) -> Rates:
    return rates_of(plan, store, here=here, train_rate=Rate(train), score_rate=Rate(score))


WORK = {"stage": ["stage", BASE_KEY, "fp32", "full", "sft"], "score": ["score", BASE_KEY, "fp32", "choice"]}


def put(store: FolderStore, kind: str, key: str, **info: Any) -> None:
    store.get_or_make(kind, key, lambda _folder: {"work": WORK[kind]} | info)


def test_nothing_measured_nothing_known(store: FolderStore) -> None:
    found = forecast(PLAN, store, rates_of(PLAN, store, here=HERE))
    assert math.isnan(found.seconds)
    assert (found.stages, found.scores, found.train_tokens, found.score_tokens) == (4, 10, 3200, 400)
    assert found.to_dict()["seconds"] is None
    assert found.to_dict()["train_rate"] == {"tokens_per_second": None, "nodes": 0}


def test_a_rate_that_is_given(store: FolderStore) -> None:
    found = forecast(PLAN, store, rates(store, train=100))
    assert found.seconds == 3200 / 100 + 400 / 400
    assert found.disk_bytes == 4_000
    assert found.free_bytes > 0
    assert found.base_bytes == 0


def test_a_base_that_was_unpacked_into_the_store_is_counted(store: FolderStore) -> None:
    store.get_or_make("base", "ab", lambda folder: {"bytes": (folder / "weights").write_bytes(b"1" * 5000)})
    assert forecast(PLAN, store, rates(store), ["ab", "gone"]).base_bytes == 5000


def test_a_rate_that_was_measured_comes_before_one_that_is_given(store: FolderStore) -> None:
    put(store, "stage", "1", train_tokens=1000, seconds=10)
    put(store, "stage", "2", train_tokens=3000, seconds=10)
    put(store, "stage", "3", work=["stage", "other", "fp32", "full", "sft"], train_tokens=9, seconds=100)
    put(store, "stage", "4", train_tokens=0, seconds=0)
    found = forecast(PLAN, store, rates(store))
    assert found.train_rate == Rate(200.0, 2)
    assert found.measured_share == pytest.approx(16 / 17)
    assert found.seconds == 3200 / 200 + 1


@pytest.mark.parametrize(
    "work",
    [
        ["stage", BASE_KEY, "bf16", "full", "sft"],
        ["stage", BASE_KEY, "fp32", "lora", "sft"],
        ["stage", BASE_KEY, "fp32", "full", "dpo"],
        ["stage", "other", "fp32", "full", "sft"],
        "stage",
        None,
    ],
)
def test_work_of_another_kind_says_nothing(store: FolderStore, work: Any) -> None:
    put(store, "stage", "1", work=work, train_tokens=1000, seconds=1e6)
    found = forecast(PLAN, store, rates(store, train=100))
    assert (found.seconds, found.measured_share) == (3200 / 100 + 400 / 400, 0.0)


def test_what_was_computed_says_what_kind_of_work_it_was(store: FolderStore, tmp_path: Path) -> None:
    run_plan(PLAN, store=store, engine=DummyEngine(tmp_path), out=None, tasks={name: make_task(name) for name in "ab"})
    assert {tuple(entry.info["work"]) for kind in WORK for entry in store.entries(kind)} == set(
        map(tuple, WORK.values())
    )


def test_writing_is_guessed_slower_than_reading(store: FolderStore) -> None:
    nodes = [replace(node, measure="generation") if isinstance(node, ScoreNode) else node for node in PLAN.nodes]
    written = replace(PLAN, nodes=tuple(nodes))
    assert forecast(written, store, rates(store, written)).seconds > forecast(PLAN, store, rates(store)).seconds


def test_what_is_finished_costs_nothing(store: FolderStore, tmp_path: Path) -> None:
    tasks = {name: make_task(name) for name in "abc"}
    study = make_study("ab", keep="none")
    run_plan(make_plan(study, tasks), store=store, engine=DummyEngine(tmp_path), out=tmp_path / "out", tasks=tasks)
    plan = make_plan(study, tasks)
    done = forecast(plan, store, rates(store, plan))
    assert (done.stages, done.scores, done.seconds) == (0, 0, 0.0)
    # a>b was dropped with its parent a: replaying a trains a and a>b once more
    longer = make_study("ab", keep="none", mitigations=[{"replay": {"task": "a", "dose": [0.5]}}])
    plan = make_plan(longer, tasks)
    more = forecast(plan, store, rates(store, plan))
    assert (more.stages, more.scores, more.train_tokens) == (3, 2, 800 + 800 + 400)


def ran_on(device: str, units: float) -> dict[str, Any]:
    return Hardware(device, units).note()


def test_nodes_of_one_core_do_not_stand_for_the_whole_machine(store: FolderStore) -> None:
    put(store, "stage", "1", train_tokens=1000, seconds=10, **ran_on("cpu", 1))
    put(store, "stage", "2", train_tokens=2000, seconds=10, **ran_on("cpu", 2))
    known = rates(store)
    assert known.of("stage") == Rate(4 * 3000 / (10 + 20), 2)  # a core's 100 tokens a second, four times
    assert known.measured(("stage",), Hardware("cpu", 1)) == Rate(100.0, 1)
    put(store, "stage", "3", train_tokens=3000, seconds=10, **ran_on("cpu", 4))
    put(store, "stage", "4", train_tokens=5000, seconds=10)  # of before this was noted
    assert rates(store).of("stage") == Rate(400.0, 2)


def test_another_device_says_nothing_of_this_one(store: FolderStore) -> None:
    put(store, "stage", "1", train_tokens=9000, seconds=1, **ran_on("NVIDIA H100", 1))
    put(store, "stage", "2", train_tokens=4000, seconds=1, **ran_on("NVIDIA A100", 0.5))
    known = rates(store)
    assert known.of("stage") == Rate(1.0)
    assert known.measured(("stage",), Hardware("NVIDIA H100", 2)) == Rate(18000.0, 1)
    assert known.measured(("stage",), Hardware(ANY_GPU, 1)) == Rate(9000.0, 1)
    assert known.measured(("stage",), Hardware(ANY_GPU, 0.5)) == Rate(4000.0, 1)


@pytest.mark.parametrize("note", ["cpu", {"device": "cpu"}, {"device": 1, "units": 1}, {"device": "cpu", "units": 0}])
def test_a_note_that_says_nothing_is_as_none(store: FolderStore, note: Any) -> None:
    put(store, "stage", "1", train_tokens=1000, seconds=10, ran_on=note)
    assert rates(store).of("stage") == Rate(100.0, 1)


def test_several_gpus_are_as_fast_as_was_measured_on_several(store: FolderStore) -> None:
    here, plan = Hardware("NVIDIA H100", 1), make_plan(make_study("ab", recipe={"devices": 2}))
    put(store, "stage", "1", train_tokens=1000, seconds=10, **ran_on("NVIDIA H100", 1))
    assert forecast(plan, store, rates(store, plan, here=here)).seconds == 3200 / 200 + 400 / 800
    put(store, "stage", "2", train_tokens=1600, seconds=10, **ran_on("NVIDIA H100", 2))
    assert forecast(plan, store, rates(store, plan, here=here)).seconds == 3200 / 160 + 400 / 800
