"""lm-evaluation-harness as another implementation of the same log-probabilities."""

import json
from collections.abc import Sequence
from pathlib import Path

from chaintune.models import LoadedModel
from chaintune.records import Example


def harness_logprobs(loaded: LoadedModel, examples: Sequence[Example], *, batch_size: int = 4) -> list[list[float]]:
    """Log-probability of each choice of each example, as lm-eval computes it on the same model in memory."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    pairs = [(example.prompt_text, choice) for example in examples for choice in example.choices.texts]
    requests = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
    harness = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=batch_size)
    answers = iter(harness.loglikelihood(requests, disable_tqdm=True))
    return [[float(next(answers)[0]) for _ in example.choices.texts] for example in examples]


def harness_chat_logprobs(loaded: LoadedModel, examples: Sequence[Example], folder: Path) -> list[list[float]]:
    """Log-probability of each choice of each example, as lm-eval computes it under `--apply_chat_template`.

    The whole way through the harness: a task file, its data, and an evaluation. It moves the blanks at the end of a
    rendered prompt, such as the line break behind `<|im_start|>assistant`, to every answer and predicts them too; what
    they add to each answer is what the harness gives for an empty one, and is taken off.

    Args:
        loaded: the model.
        examples: whose prompts are one user turn.
        folder: for the task file and the data.
    """
    import lm_eval
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    rows = [
        {"question": example.prompt[-1].content, "choices": list(example.choices.texts), "answer": example.choices.gold}
        for example in examples
        if isinstance(example.prompt, tuple)
    ]
    assert len(rows) == len(examples)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = {
        "task": "asked_in_chat",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "rows.jsonl")}},
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": "{{question}}",
        "doc_to_target": "answer",
        "doc_to_choice": "{{choices}}",
        "metric_list": [{"metric": "acc"}],
    }
    (folder / "asked_in_chat.yaml").write_text(json.dumps(config))
    harness = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=1)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    results = lm_eval.simple_evaluate(
        model=harness, tasks=["asked_in_chat"], task_manager=manager, apply_chat_template=True, log_samples=True,
        bootstrap_iters=0, verbosity="ERROR",
    )  # fmt: skip
    assert results
    samples = sorted(results["samples"]["asked_in_chat"], key=lambda sample: int(sample["doc_id"]))
    contexts = [sample["arguments"][0][0] for sample in samples]
    blanks = [Instance("loglikelihood", {}, (context, ""), k) for k, context in enumerate(contexts)]
    offsets = [float(answer[0]) for answer in harness.loglikelihood(blanks, disable_tqdm=True)]
    return [
        [float(answer[0][0]) - offset for answer in sample["resps"]]
        for sample, offset in zip(samples, offsets, strict=True)
    ]
