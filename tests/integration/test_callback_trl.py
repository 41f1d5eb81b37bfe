"""`ForgettingCallback` in TRL's trainers: it reaches their log, and leaves their own numbers and weights alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from chaintune import ForgettingCallback
from chaintune.records import Task
from tests import tiny
from tests.conftest import MakeModel

TASK = Task("colours", "safety", "1", (), tuple(tiny.examples(24)), ("owner",), "made up", "none")
OPTIONS: dict[str, Any] = {
    "max_steps": 4, "per_device_train_batch_size": 4, "learning_rate": 2e-2, "logging_steps": 1, "use_cpu": True,
    "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "bf16": False, "dataloader_pin_memory": False,
}  # fmt: skip


def tokenizer() -> Any:
    made = tiny.make_tokenizer()
    made.pad_token = made.unk_token
    return made


def preferences() -> Dataset:
    return Dataset.from_list(
        [
            {
                "prompt": item.prompt,
                "chosen": item.choices.gold_text,
                "rejected": item.choices.texts[1 - item.choices.gold],
            }
            for item in tiny.examples(16, rule="box")
        ]
    )


def sft(model: Any, folder: Path, **options: Any) -> SFTTrainer:
    rows = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in preferences()]
    return SFTTrainer(
        model=model,
        args=SFTConfig(output_dir=str(folder), max_length=64, **OPTIONS),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer(),
        **options,
    )


def dpo(model: Any, folder: Path, **options: Any) -> DPOTrainer:
    return DPOTrainer(
        model=model,
        args=DPOConfig(output_dir=str(folder), max_length=64, **OPTIONS),
        train_dataset=preferences(),
        processing_class=tokenizer(),
        **options,
    )


def lora() -> LoraConfig:
    return LoraConfig(task_type="CAUSAL_LM", r=4, lora_dropout=0.1, target_modules=["c_attn"], fan_in_fan_out=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("make", "adapted"), [(sft, False), (sft, True), (dpo, False), (dpo, True)])
def test_their_runs_are_watched_and_not_changed(
    tmp_path: Path, model_folder: MakeModel, make: Any, adapted: bool
) -> None:
    ends = []
    for watched in (False, True):
        torch.manual_seed(5)
        model = AutoModelForCausalLM.from_pretrained(model_folder("gpt2"))
        trainer = make(model, tmp_path, **({"peft_config": lora()} if adapted else {}))
        if watched:
            watch = ForgettingCallback(TASK, every=2, by=["owner"], resamples=200).attach(trainer)
        trainer.train()
        lines = trainer.state.log_history
        losses = [{k: v for k, v in line.items() if "time" not in k} for line in lines if "loss" in line]
        ends.append((dict(trainer.model.named_parameters()), losses))
    (plain, told), (seen, retold) = ends
    assert plain.keys() == seen.keys()
    assert all(torch.equal(weight, seen[name]) for name, weight in plain.items())
    assert told == retold
    assert len(told) == 4
    ours = [line for line in lines if any(name.startswith("accuracy/") for name in line)]
    assert [line["step"] for line in ours] == [0, 2, 4]
    assert ours[-1]["forgetting/colours"] == watch.comparison.overall.forgetting.value
    assert "loss" not in ours[-1]
    assert "entropy" not in ours[-1]
