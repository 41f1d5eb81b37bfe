"""What a plan will take, from what earlier nodes took."""

import math
from pathlib import Path

import pytest

from chaintune.study.estimate import Rate, forecast, measured_rate
from chaintune.study.run import run_plan
from chaintune.study.store import Store
from tests.unit.study.dummy import BASE_KEY, DummyEngine, make_plan, make_study, make_task


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def put(store: Store, kind: str, key: str, *, base_key: str = BASE_KEY, **info: float) -> None:
    store.get_or_make(kind, key, lambda _folder: {"base_key": base_key} | info)


def test_nothing_measured_nothing_known(store: Store) -> None:
    found = forecast(make_plan(make_study("ab")), store)
    assert math.isnan(found.seconds)
    assert (found.stages, found.scores, found.train_tokens, found.score_tokens) == (4, 10, 3200, 400)
    assert found.to_dict()["seconds"] is None
    assert found.to_dict()["train_rate"] == {"tokens_per_second": None, "nodes": 0}


def test_a_rate_that_is_given(store: Store) -> None:
    found = forecast(make_plan(make_study("ab")), store, train_rate=Rate(100), score_rate=Rate(400))
    assert found.seconds == 3200 / 100 + 400 / 400
    assert found.disk_bytes == 4_000
    assert found.free_bytes > 0


def test_a_rate_that_was_measured_comes_before_one_that_is_given(store: Store) -> None:
    put(store, "stage", "1", train_tokens=1000, seconds=10)
    put(store, "stage", "2", train_tokens=3000, seconds=10)
    put(store, "stage", "3", base_key="other", train_tokens=9, seconds=100)
    put(store, "stage", "4", train_tokens=0, seconds=0)
    assert measured_rate(store, "stage", [BASE_KEY]) == Rate(200.0, 2)
    found = forecast(make_plan(make_study("ab")), store, train_rate=Rate(1), score_rate=Rate(400))
    assert found.train_rate == Rate(200.0, 2)
    assert found.seconds == 3200 / 200 + 1


def test_what_is_finished_costs_nothing(store: Store, tmp_path: Path) -> None:
    tasks = {name: make_task(name) for name in "abc"}
    study = make_study("ab", keep="none")
    run_plan(make_plan(study, tasks), store=store, engine=DummyEngine(tmp_path), out=tmp_path / "out", tasks=tasks)
    done = forecast(make_plan(study, tasks), store)
    assert (done.stages, done.scores, done.seconds) == (0, 0, 0.0)
    # a>b was dropped with its parent a: replaying a trains a and a>b once more
    longer = make_study("ab", keep="none", mitigations=[{"replay": {"task": "a", "dose": [0.5]}}])
    more = forecast(make_plan(longer, tasks), store)
    assert (more.stages, more.scores, more.train_tokens) == (3, 2, 800 + 800 + 400)
