from pathlib import Path

from tests.unit.study.dummy import DummyEngine, make_plan, make_study, make_task

from chaintune.study.run import run_plan
from chaintune.study.store import Store


def test_first(tmp_path: Path) -> None:
    study = make_study("abc")
    tasks = {name: make_task(name) for name in study.tasks}
    plan = make_plan(study, tasks)
    engine = DummyEngine(tmp_path)
    outcome = run_plan(plan, store=Store(tmp_path / "s"), engine=engine, out=tmp_path / "out", tasks=tasks)
    assert outcome.complete
    assert len(engine.tuned) == 15
