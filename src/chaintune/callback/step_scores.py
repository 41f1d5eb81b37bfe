"""Score files of the steps of one training: a folder a step, a file a task."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from chaintune.callback.live import EncodedTask
from chaintune.errors import DataError
from chaintune.files.atomic import atomic_write, own_folder
from chaintune.files.names import file_names
from chaintune.records import Scores
from chaintune.records.generation import GENERATION


def step_folder(out: Path, step: int) -> Path:
    """The folder of the scores of a step."""
    return out / f"step-{step:06d}"


def scores_by_task(before: Sequence[Scores] | Path | str) -> dict[str, Scores]:
    """Scores by task, read where a score file or a folder of them is named.

    Raises:
        DataError: there is no score file, or one cannot be read.
    """
    if isinstance(before, Path | str):
        path = Path(before)
        before = [Scores.read(file) for file in (sorted(path.glob("*.parquet")) if path.is_dir() else [path])]
        if not before:
            raise DataError(f"{path}: the folder holds no score file (*.parquet)")
    return {scores.task: scores for scores in before}


def write_step_scores(folder: Path, scores: Mapping[str, Scores]) -> None:
    """Write one file a task, each whole or not at all."""
    own_folder(folder)
    files = file_names([quote(name, safe="") for name in scores], ".parquet")
    for file, one in zip(files, scores.values(), strict=True):
        with atomic_write(folder / file, durable=False) as partial:
            one.write(partial)


def check_same(before: Mapping[str, Scores], tasks: Sequence[EncodedTask]) -> None:
    """Refuse scores of other examples at once, not after the first N steps.

    Raises:
        DataError: a task has no scores, or its scores are of other examples.
    """
    for task in tasks:
        if task.name not in before:
            known = ", ".join(before) or "none"
            raise DataError(f"task '{task.name}': no scores to compare the model with; there are: {known}")
        scores = before[task.name]
        digests = {scores.provenance.get("test_digest", ""), task.about["test_digest"]} - {""}
        if scores.example_ids != [example.id for example in task.examples] or len(digests) > 1:
            raise DataError(f"task '{task.name}': the scores to compare the model with are of other examples")
        now = task.generation.to_json()
        if task.measure.generation and (earlier := scores.provenance.get(GENERATION, now)) != now:
            raise DataError(
                f"task '{task.name}': the scores to compare the model with are of texts that were written by "
                f"{earlier}, and the model would write by {now}; write both alike"
            )
