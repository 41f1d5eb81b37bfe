"""One node on several devices of this machine: processes are started by torch's own launcher, watched and heard."""

import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from chaintune import errors
from chaintune.errors import ConfigError, StageError
from chaintune.execution.hardware import threads_a_process
from chaintune.execution.learning import STAGE_LOG
from chaintune.execution.processes.job import PARENT, RESULT, Job
from chaintune.models.memory import OutOfMemoryError
from chaintune.models.precision import default_device
from chaintune.tuning.memory import smaller_micro_batch
from chaintune.tuning.optimizer import Step

_PROGRAM = "chaintune.execution.processes.ranks"
_SECONDS_BETWEEN_LOOKS = 0.2
_SECONDS_TO_END = 30
_OUTPUT = "output.txt"
_LINES_KEPT = 20
# As torch's launcher says it; it ends the others by SIGTERM.
_KILLED = re.compile(r"Signal \d+ \(SIG(?!TERM)\w+\)")

_log = logging.getLogger(__name__)


def tune_on_devices(job: Job, on_step: Callable[[Step], None]) -> dict[str, Any]:
    """Train a stage with as many processes as its recipe has devices; the numbers of `Tuned`.

    Where one of them is out of memory, all retry with half the micro-batch.

    Raises:
        ConfigError: there are fewer GPUs than devices.
        StageError: what a process raised, or that one was killed.
    """
    if job.recipe.batch_size % job.recipe.devices:
        _log.warning(
            "task '%s': %d devices cannot share steps of %d examples alike; some wait for the others at every step",
            job.task,
            job.recipe.devices,
            job.recipe.batch_size,
        )
    while True:
        try:
            return _run(job, job.recipe.devices, _StepReader(job.out / STAGE_LOG, on_step).look)
        except OutOfMemoryError as error:
            smaller = smaller_micro_batch(job.recipe, error.at_once, task=job.task, can_retry=True)
            job = replace(job, recipe=replace(job.recipe, micro_batch_size=smaller))


def score_on_devices(job: Job, devices: int, on_scored: Callable[[int], None]) -> dict[str, Any]:
    """Score a checkpoint with several processes, each its share of the examples; the numbers of what was done.

    Where the weights are spread over them and one is out of memory, all retry with half as much at once.

    Raises:
        ConfigError: there are fewer GPUs than devices.
        DataError, ModelError: what a process raised.
        StageError: a process was killed.
    """

    def look() -> None:
        files = (job.progress_file(rank) for rank in range(devices))
        done = sum(int(file.read_text(encoding="ascii") or 0) for file in files if file.is_file())
        if done:
            on_scored(done)

    while True:
        try:
            return _run(job, devices, look)
        except OutOfMemoryError as error:
            half = max(1, error.at_once // 2)
            _log.warning("task '%s': out of memory at %d tokens, retrying with %d", job.task, error.at_once, half)
            job = replace(job, batch_tokens=half)


def command(devices: int, job: Path) -> list[str]:
    """The command that starts the processes of a job, by torch's launcher."""
    options = ["--standalone", "--nproc-per-node", str(devices), "--max-restarts", "0"]
    return [sys.executable, "-m", "torch.distributed.run", *options, "--module", _PROGRAM, str(job)]


class _StepReader:
    """Reads the log of a stage while another process writes it."""

    def __init__(self, log: Path, on_step: Callable[[Step], None]) -> None:
        self._log, self._on_step = log, on_step
        self._reported = 0

    def look(self) -> None:
        """Tell what is new since the last look; a line that is not whole yet waits."""
        lines = self._log.read_text(encoding="utf-8").split("\n")[:-1] if self._log.is_file() else []
        for line in lines[self._reported :]:
            self._on_step(Step(**json.loads(line)))
        self._reported = len(lines)


def _run(job: Job, devices: int, look: Callable[[], None]) -> dict[str, Any]:
    """Start the processes of a job, look at them until they end, and read what came of it."""
    _check_gpus(devices)
    for path in job.scratch.iterdir():
        path.unlink()
    file, log = job.write(), job.scratch / _OUTPUT
    arguments = command(devices, file)
    with log.open("w", encoding="utf-8") as out, _started(arguments, _environment(devices), out) as process:
        while process.poll() is None:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            look()
    look()
    _check(job, devices, process.returncode, log)
    result: dict[str, Any] = json.loads((job.scratch / RESULT).read_text(encoding="utf-8"))
    return result


@contextmanager
def _started(arguments: list[str], environment: Mapping[str, str], out: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends, with all that it started, at the end of this context."""
    process = subprocess.Popen(arguments, env=environment, stdout=out, stderr=subprocess.STDOUT)  # noqa: S603 - our own program
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()  # the launcher ends its processes
            try:
                process.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _environment(devices: int) -> dict[str, str]:
    """The environment of the processes: `python -m` would put the current folder first among the places of modules."""
    own = {PARENT: str(os.getpid()), "PYTHONSAFEPATH": "1"}
    return {"OMP_NUM_THREADS": str(threads_a_process(devices))} | os.environ | own


def _check_gpus(devices: int) -> None:
    if default_device().type != "cuda":
        return
    import torch

    available = torch.cuda.device_count()
    if available < devices:
        raise ConfigError(f"devices: expected at most the {available} GPUs that are visible here, got {devices}")


def _check(job: Job, devices: int, code: int, log: Path) -> None:
    """Raise what a process raised.

    Raises:
        ChaintuneError: the same, with the same sentence.
        StageError: a process was killed, or ended without a word.
        RuntimeError: a bug, with its traceback.
    """
    files = [file for rank in range(devices) if (file := job.error_file(rank)).is_file()]
    files.sort(key=lambda file: file.stat().st_mtime_ns)
    reports = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    for report in reports:
        if not report["traceback"]:
            _raise(report)
    text = log.read_text(encoding="utf-8", errors="replace")
    killed = _KILLED.search(text)
    # The others only say that they lost the one that was killed.
    if reports and not killed:
        raise RuntimeError(f"a process of several: {reports[0]['traceback']}")
    if code or not (job.scratch / RESULT).is_file():
        last = "\n  ".join(text.splitlines()[-_LINES_KEPT:])
        _log.error("task '%s': the last lines of the processes: %s", job.task, last)
        end = f"was killed ({killed[0]})" if killed else "could not start, or ended unsaid"
        raise StageError(
            f"task '{job.task}': one of the {devices} processes {end}; a machine without memory left kills one; "
            "take fewer devices or a smaller model"
        )


def _raise(report: Mapping[str, Any]) -> None:
    if report["at_once"]:
        raise OutOfMemoryError(report["sentence"], report["at_once"])
    raise getattr(errors, report["error"], StageError)(report["sentence"])
