"""A program that runs a made-up task with inspect-ai on its mock model and writes the log.

`python inspect_program.py FOLDER OPTIONS.json`: the mock model's answers are told, and everything else that a log
may differ in. In a process of its own, because inspect-ai leaves streams open, and warnings are errors in tests.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import includes, match
from inspect_ai.solver import generate, system_message


def task_of(told: Mapping[str, Any]) -> Task:
    """Questions with a group and a cluster in their metadata."""
    samples = [Sample(**sample) for sample in told["samples"]]
    return Task(
        dataset=MemoryDataset(samples),
        solver=[system_message(told["manner"]), generate()],
        scorer=[match(), includes()],
        epochs=told["epochs"],
        version=told["version"],
        name="plus",
    )


def main() -> None:
    told = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))

    def output(messages: Sequence[Any], *_: Any) -> ModelOutput:
        found = ModelOutput.from_content("mockllm/model", told["answers"][messages[-1].text])
        # Given, so that it counts no tokens with a vocabulary that it would have to fetch.
        found.usage = ModelUsage()
        return found

    model = get_model("mockllm/model", custom_outputs=output)
    (log,) = evaluate(task_of(told), model=model, log_dir=sys.argv[1], log_format=told["form"], display="none")
    sys.exit(0 if log.status == "success" else str(log.error))


if __name__ == "__main__":
    main()
