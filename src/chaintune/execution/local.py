"""The executor of this process: one job after another, so that a model stays in memory from its making on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from chaintune.execution.compute import JobRunner
from chaintune.execution.events import Event, Result
from chaintune.execution.executors import Executor, Run
from chaintune.plan.nodes import Node


class _ThisProcess:
    """One worker; a job that is submitted runs when its result is waited for."""

    def __init__(self, run: Run) -> None:
        self._tell = run.tell
        engine = run.make_engine(run.store)
        self._runner = JobRunner.of(
            run.plan, engine=engine, store=run.store, tasks=run.tasks, transient_keys=run.transient_keys
        )
        self._jobs: list[Node] = []

    def room(self) -> int:
        return 1

    def submit(self, job: Node) -> None:
        self._jobs.append(job)

    def wait(self) -> Sequence[Sequence[Result]]:
        return [
            self._runner.run(
                self._jobs.pop(),
                on_start=lambda node: self._tell(Event("start", node)),
                report=lambda progress: self._tell(Event("progress", progress.node, progress)),
            )
        ]


@contextmanager
def _open(run: Run, _address: str | None) -> Iterator[_ThisProcess]:
    yield _ThisProcess(run)


LOCAL = Executor(_open)
