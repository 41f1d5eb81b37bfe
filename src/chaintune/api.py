"""What Python offers beside the rooms: the command line's steps as functions."""

from typing import TYPE_CHECKING

from chaintune.records import Scores, Task
from chaintune.tasks import Size

if TYPE_CHECKING:
    from chaintune.study.store import Store


def score(
    model: str,
    task: Task | str,
    *,
    test: Size = None,
    precision: str = "auto",
    store: "Store | None" = None,
    trust_remote_code: bool = False,
) -> Scores:
    """What a model answers to a task's test examples; nothing is trained.

    Args:
        model: a Hub id, a folder, a `.gguf` file, `MODEL+ADAPTER`, or an alias.
        task: a task, or the name of a known one.
        test: how many examples of a known task: None for all, a number, or `40 per category`.
        precision: `auto`, `bf16` or `fp32`.
        store: where a GGUF file is dequantised to; None is the default store.
        trust_remote_code: run Python code that comes with the model.

    Raises:
        ModelError: the model cannot be had.
        DataError: the task's data cannot be had, or an example is longer than the model's context.
    """
    from chaintune import models, scoring, tasks
    from chaintune.study.session import open_base
    from chaintune.study.store import Store

    wanted = tasks.load(task, test=test) if isinstance(task, str) else task
    base = open_base(model, store or Store())
    loaded = models.load(
        base.folder,
        adapter=base.adapter,
        precision=models.resolve_precision(precision),
        trainable=False,
        trust_remote_code=trust_remote_code,
    )
    about = {"checkpoint": base.key, "task_version": wanted.version, "test_digest": wanted.test_digest}
    return scoring.score(loaded, wanted.test, task=wanted.name, provenance=about)
