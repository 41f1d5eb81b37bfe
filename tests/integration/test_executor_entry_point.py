"""An executor that an installed package offers runs a study, and a scoring, without a change to this package."""

from pathlib import Path

import pytest

from chaintune.errors import ConfigError
from chaintune.execution.executors import EXECUTORS
from chaintune.execution.status import read_status
from chaintune.runs.scoring import score_models
from chaintune.runs.session import RunOptions
from tests.conftest import Install
from tests.integration.conftest import BRIEF, Smoke, scores

PACKAGE = '''
"""Three jobs at a time, of which the last one comes first; what it ran is noted at the address."""

from contextlib import contextmanager
from pathlib import Path

from chaintune.execution.compute import JobRunner
from chaintune.execution.events import Event
from chaintune.execution.executors import Executor


class Stack:
    def __init__(self, run, address):
        self.run, self.address, self.jobs = run, Path(address), []
        self.runner = JobRunner.of(
            run.plan,
            engine=run.make_engine(run.store),
            store=run.store,
            tasks=run.tasks,
            transient_keys=run.transient_keys,
        )

    def room(self):
        return 3

    def submit(self, job):
        self.jobs.append(job)

    def wait(self):
        job = self.jobs.pop()
        with self.address.open("a") as stream:
            stream.write(f"{job.title}\\n")
        tell = self.run.tell
        return [self.runner.run(job, on_start=lambda node: tell(Event("start", node)), report=lambda _: None)]


@contextmanager
def stack(run, address):
    yield Stack(run, address)


EXECUTOR = Executor(stack, takes_address=True)
'''


@pytest.fixture
def offered(install: Install) -> None:
    install("chaintune.executors: stack = stacking:EXECUTOR", PACKAGE)


@pytest.mark.usefixtures("offered")
def test_it_runs_a_study_to_the_same_scores(smoke: Smoke, brief: dict[str, bytes], tmp_path: Path) -> None:
    session = smoke.open(tmp_path / "store", BRIEF)
    outcome = session.run(tmp_path / "out", RunOptions("stack", str(tmp_path / "ran"))).outcome
    assert outcome.complete
    assert scores(session) == brief
    assert sorted((tmp_path / "ran").read_text().splitlines()) == sorted(node.title for node in session.plan.nodes)
    assert read_status(tmp_path / "out").state == "done"


@pytest.mark.usefixtures("offered")
def test_it_runs_a_scoring(smoke: Smoke, tmp_path: Path) -> None:
    session = smoke.open(tmp_path / "store")
    models, tasks = {"before": session.study.located("model")}, list(session.tasks.values())
    scores = score_models(models, tasks, session.store, RunOptions("stack", str(tmp_path / "ran")))
    assert set(scores["before"]) == {"balls", "boxes"}
    assert len((tmp_path / "ran").read_text().splitlines()) == 2


@pytest.mark.usefixtures("offered")
def test_a_name_that_no_executor_has_lists_those_there_are(smoke: Smoke, tmp_path: Path) -> None:
    assert EXECUTORS.names == ("stack", "local", "ray")
    with pytest.raises(ConfigError, match=r"executor 'stak': did you mean 'stack'"):
        smoke.open(tmp_path / "store").run(tmp_path / "out", RunOptions("stak"))
