"""A study's steps without chaintune: one stage with TRL, or one checkpoint with lm-eval, a process each.

    python benchmarks/by_hand.py train PARENT ROWS.jsonl OUT --note NOTE.json --precision bf16
    python benchmarks/by_hand.py score MODEL TASKS_FOLDER bbq csqa --note NOTE.json --precision bf16

What one would write with both libraries at hand; nothing of chaintune is imported. NOTE holds the seconds of the work
itself, so that whoever started the process knows what imports, loading and saving took.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch


def train(parent: str, rows: Path, out: str, *, batch: int, learning_rate: float, bf16: bool) -> dict[str, Any]:
    """Train a checkpoint on prompts and completions, and save it."""
    import datasets
    import trl

    config = trl.SFTConfig(
        output_dir=f"{out}-scratch",
        per_device_train_batch_size=batch,
        num_train_epochs=1,
        learning_rate=learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=0.1,
        bf16=bf16,  # autocast over fp32 weights, as TRL loads a model by its path
        use_cpu=not torch.cuda.is_available(),
        activation_checkpointing=False,  # on by default, and slower than a model this small needs
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        seed=0,
    )
    lessons = datasets.Dataset.from_list([json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()])
    trainer = trl.SFTTrainer(model=parent, args=config, train_dataset=lessons)
    started = time.monotonic()
    trainer.train()
    seconds = time.monotonic() - started
    trainer.save_model(out)
    return {"seconds": seconds, "steps": trainer.state.global_step}


def score(model: str, folder: Path, tasks: list[str], *, batch: int, bf16: bool) -> dict[str, Any]:
    """Accuracy of a checkpoint on each task."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    class Timed(HFLM):  # type: ignore[misc,unused-ignore]
        seconds = 0.0

        def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> Any:
            started = time.monotonic()
            answers = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
            self.seconds += time.monotonic() - started
            return answers

    device = "cuda" if torch.cuda.is_available() else "cpu"
    harness = Timed(pretrained=model, dtype="bfloat16" if bf16 else "float32", device=device, batch_size=batch)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    found = lm_eval.simple_evaluate(model=harness, tasks=tasks, task_manager=manager, log_samples=False)
    return {"seconds": harness.seconds, "accuracy": {task: found["results"][task]["acc,none"] for task in tasks}}


def main() -> None:
    """Do one step and write what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    training, scoring = steps.add_parser("train"), steps.add_parser("score")
    training.add_argument("parent")
    training.add_argument("rows", type=Path)
    training.add_argument("out")
    training.add_argument("--learning-rate", type=float, default=3e-4)
    training.add_argument("--batch", type=int, default=8)
    scoring.add_argument("model")
    scoring.add_argument("folder", type=Path)
    scoring.add_argument("tasks", nargs="+")
    scoring.add_argument("--batch", type=int, default=16)
    for one in (training, scoring):
        one.add_argument("--note", type=Path, required=True)
        one.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    wanted = parser.parse_args()
    bf16 = wanted.precision == "bf16"
    if wanted.step == "train":
        rate = wanted.learning_rate
        note = train(wanted.parent, wanted.rows, wanted.out, batch=wanted.batch, learning_rate=rate, bf16=bf16)
    else:
        note = score(wanted.model, wanted.folder, wanted.tasks, batch=wanted.batch, bf16=bf16)
    wanted.note.write_text(json.dumps(note), encoding="utf-8")


if __name__ == "__main__":
    main()
