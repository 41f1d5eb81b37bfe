"""The executor of this process: one job after another, so that a model stays in memory from its making on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from chaintune.execution.compute import JobRunner
from chaintune.execution.events import Event, Result
from chaintune.execution.executors import Executor, Run
from chaintune.plan.nodes import Node


class _ThisProcess:
    """One worker; a job that is submitted runs when its result is waited for."""

    def __init__(self, run: Run) -> None:
        self._tell = run.tell
        self._engine = run.make_engine(run.store)
        runner = JobRunner.of(
            run.plan, engine=self._engine, store=run.store, tasks=run.tasks, transient_keys=run.transient_keys
        )
        self._runner = replace(runner, keeps_servers=True)
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

    def end(self) -> None:
        """End what the engine has started."""
        self._engine.stop_servers()


@contextmanager
def _open(run: Run, _address: str | None) -> Iterator[_ThisProcess]:
    workers = _ThisProcess(run)
    try:
        yield workers
    finally:
        workers.end()


LOCAL = Executor(_open)
