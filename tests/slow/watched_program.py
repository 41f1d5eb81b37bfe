"""One process of a training that several share: `python watched_program.py FOLDER`, with torchrun's variables set."""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from transformers import Trainer, TrainingArguments, default_data_collator

from chaintune import ForgettingCallback
from chaintune.models import LoadedModel
from chaintune.records import Task
from chaintune.scoring import score

sys.path.insert(0, str(Path(__file__).parents[1]))
tiny: Any = import_module("tiny")

TOKENIZER = tiny.make_tokenizer()
# An odd number, so that the shares are not alike.
TASK = Task("colours", "safety", "1", (), tuple(tiny.examples(25)), ("owner",), "made up", "none")


def row(number: int) -> dict[str, torch.Tensor]:
    item = tiny.example(number, rule="box")
    tokens = torch.tensor(TOKENIZER(item.prompt + item.choices[item.gold])["input_ids"][-16:])
    return {"input_ids": tokens, "labels": tokens}


def train(folder: Path) -> tuple[Any, ForgettingCallback]:
    args = TrainingArguments(
        output_dir=str(folder),
        use_cpu=True,
        ddp_backend="gloo",
        report_to="none",
        save_strategy="no",
        learning_rate=2e-2,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    trainer = Trainer(
        model=tiny.make_model("gpt2"),
        args=args,
        train_dataset=[row(number) for number in range(16)],
        data_collator=default_data_collator,
        processing_class=TOKENIZER,
    )
    watch = ForgettingCallback(TASK, every=1, policy=folder / "policy.yaml", stop=True, resamples=200).attach(trainer)
    trainer.train()
    return trainer, watch


def main(folder: Path) -> None:
    trainer, watch = train(folder)
    alone = score(LoadedModel(trainer.model, TOKENIZER, "fp32"), TASK.test, task="colours").table
    shared = watch.scores_after["colours"].table
    columns = [table["choice_logprobs"].combine_chunks().flatten().to_numpy() for table in (alone, shared)]
    seen = {
        "wrapped": type(trainer.model_wrapped).__name__,
        "processes": dist.get_world_size(),
        "step": trainer.state.global_step,
        "choices": len(columns[0]),
        "off": float(abs(columns[0] - columns[1]).max()),
        "logged": sum("forgetting/colours" in line for line in trainer.state.log_history),
    }
    (folder / f"{dist.get_rank()}.json").write_text(json.dumps(seen))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
