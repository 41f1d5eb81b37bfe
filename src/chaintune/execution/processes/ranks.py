"""One of several processes that train a stage, or score a checkpoint, together.

`python -m chaintune.execution.processes.ranks JOB`, started by a launcher that sets torchrun's variables. It ends when
the process that started them all is gone.
"""

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import torch
import torch.distributed as dist

from chaintune.errors import ChaintuneError
from chaintune.execution.learning import STAGE_LOG
from chaintune.execution.processes.job import PARENT, RESULT, Job
from chaintune.execution.status import process_exists
from chaintune.models import LoadedModel, load, merge_adapter, save
from chaintune.models.adapters import leaves_base_alone
from chaintune.models.memory import OutOfMemoryError
from chaintune.models.processes import Rank
from chaintune.models.sharding import fits_each_device, shard, weight_bytes
from chaintune.scoring.backends import BACKENDS
from chaintune.scoring.checkpoint import measure_checkpoint
from chaintune.scoring.measures import MEASURES
from chaintune.tuning.sharding import reads_pieces, training_bytes
from chaintune.tuning.trainable import adapter_bytes
from chaintune.tuning.tune import tune

_FAILED, _ORPHANED = 1, 3
_SECONDS_BETWEEN_LOOKS = 1.0
# Of a trained weight: itself, its gradient and AdamW's two averages.
_ADAPTER_COPIES = 4


def main(path: Path) -> int:
    """Do this process's part of a job; the exit code. What went wrong is left in a file."""
    job = Job.read(path)
    Thread(target=_end_with_parent, daemon=True).start()
    _join()
    try:
        _tune(job) if job.kind == "tune" else _score(job)
    except Exception as error:  # noqa: BLE001 - told to the process that started this one, traceback and all
        report = json.dumps(_report(error))
        job.error_file(dist.get_rank()).write_text(report, encoding="utf-8")
        return _FAILED
    dist.barrier()
    dist.destroy_process_group()
    return 0


def _join() -> None:
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("cpu:gloo,cuda:nccl", device_id=torch.device("cuda", torch.cuda.current_device()))
    else:
        dist.init_process_group("gloo")


def _tune(job: Job) -> None:
    recipe = job.recipe

    def needed(model: Any) -> int:
        return training_bytes(model, recipe.weight_bytes) + _ADAPTER_COPIES * adapter_bytes(model, recipe)

    parent, sharded = _read(job, needed, on_meta=reads_pieces(recipe.regulariser))
    before = parent.model
    tuned = tune(
        parent,
        job.examples,
        task=job.task,
        recipe=recipe,
        seed=job.seed,
        log=job.out / STAGE_LOG,
        replayed=job.replayed,
        protected=job.protected,
        report_to=job.report_to,
        fsdp=sharded,
    )
    if dist.get_rank() == 0:
        save(_to_store(tuned.loaded, before, job), job.out)
        numbers = ("steps", "train_tokens", "seconds", "first_loss", "final_loss", "micro_batch_size")
        _write(job, {name: getattr(tuned, name) for name in numbers} | {"sharded": sharded})


def _read(job: Job, needed_bytes: Callable[[Any], int], *, on_meta: bool = True) -> tuple[LoadedModel, bool]:
    """The model of a job, and whether it has to be sharded: then it lies in main memory, and in one process alone."""
    reading = partial(
        load,
        job.weights,
        precision=job.precision,
        trust_remote_code=job.trust_remote_code,
        allow_unused=job.allow_unused,
    )
    quantize, sharded = job.recipe.quantize, job.shard
    if sharded is None:
        sharded = not quantize and not fits_each_device(lambda: needed_bytes(reading(on_meta=True).model))
    # An adapter that changes what lies under it has to find it there.
    on_meta = on_meta and (job.adapter is None or leaves_base_alone(job.adapter)) and dist.get_rank() > 0
    loaded = reading(adapter=job.adapter, quantize=quantize, to_device=not sharded, on_meta=sharded and on_meta)
    loaded.tokenizer.chat_template = job.chat_template
    return loaded, sharded


def _to_store(tuned: LoadedModel, before: Any, job: Job) -> LoadedModel:
    """The adapter alone where what lies under it is the base's own folder, else everything in one."""
    return tuned if tuned.model is before or job.alone else merge_adapter(tuned)


def _score(job: Job) -> None:
    loaded, sharded = _read(job, weight_bytes)
    if sharded:
        loaded.model.requires_grad_(False)  # weights of one layer may differ in number format then
        shard(loaded.model)
    rank = dist.get_rank()
    progress = job.progress_file(rank)

    def watch(done: int) -> None:
        progress.write_text(str(done), encoding="ascii")

    share = BACKENDS.get(job.backend).share
    assert share is not None  # noqa: S101 - one process would have been enough
    measurement = measure_checkpoint(
        share(loaded, job.batch_tokens, Rank.here()),
        job.examples,
        measure=MEASURES.get(job.measure),
        task=job.task,
        provenance=job.provenance,
        measure_rounding=job.measure_rounding,
        on_scored=watch,
    )
    if rank == 0:
        measurement.write(job.out)
        _write(job, {"examples": len(job.examples), "sharded": sharded})


def _write(job: Job, result: dict[str, Any]) -> None:
    (job.scratch / RESULT).write_text(json.dumps(result), encoding="utf-8")


def _report(error: Exception) -> dict[str, Any]:
    is_ours = isinstance(error, ChaintuneError)
    return {
        "error": type(error).__name__ if is_ours else "",
        "sentence": str(error),
        "at_once": error.at_once if isinstance(error, OutOfMemoryError) else 0,
        "traceback": "" if is_ours else traceback.format_exc(),
    }


def _end_with_parent() -> None:
    """End once the process that started this one is gone; also while the processes still wait for each other."""
    parent = int(os.environ.get(PARENT, os.getpid()))
    while process_exists(parent):
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(_ORPHANED)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    sys.exit(main(Path(sys.argv[1])))
