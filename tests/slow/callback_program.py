"""One process of trainings that several share: `python callback_program.py FOLDER KIND`, with torchrun's variables set.

KIND is `ddp`; `fsdp2`, where accelerate shards the weights, to which `lora`, `bloom` and `bf16` may be added; or
`loaded`, where transformers shards them when it reads them from `model` in the folder.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from peft import LoraConfig
from safetensors.torch import load_file
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments, default_data_collator
from transformers.distributed import DistributedConfig

from chaintune import ForgettingCallback
from chaintune.callback.live import encode_task
from chaintune.models import LoadedModel
from chaintune.models.adapters import new_adapter
from chaintune.records import Task
from chaintune.scoring.trees import bins

sys.path.insert(0, str(Path(__file__).parents[1]))
tiny: Any = import_module("tiny")

TOKENIZER = tiny.make_tokenizer()
# An odd number, so that the shares are not alike.
TASK = Task("colours", "safety", "1", (), tuple(tiny.examples(25)), ("owner",), "made up", "none")
BIN_TOKENS = 60


def row(number: int) -> dict[str, torch.Tensor]:
    item = tiny.example(number, rule="box")
    tokens = torch.tensor(TOKENIZER(item.prompt + item.choices.gold_text)["input_ids"][-16:])
    return {"input_ids": tokens, "labels": tokens}


def make_model(kind: str, folder: Path | None = None) -> Any:
    """One with dropout, so that training depends on the random state, but for `loaded` and `bloom`."""
    if folder and kind == "loaded":
        shards = DistributedConfig(fsdp_size=dist.get_world_size())
        return AutoModelForCausalLM.from_pretrained(folder / "model", distributed_config=shards)
    model = tiny.make_model({"loaded": "llama", "fsdp2 bloom": "bloom"}.get(kind, "gpt2"))
    if "lora" in kind:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return new_adapter(model, LoraConfig(task_type="CAUSAL_LM", r=4, lora_dropout=0.1, fan_in_fan_out=True))
    return model


def make_trainer(folder: Path, kind: str) -> Any:
    args = TrainingArguments(
        output_dir=str(folder),
        use_cpu=True,
        ddp_backend="gloo",
        report_to="none",
        save_strategy="no",
        learning_rate=2e-2,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        max_steps=3,
    )
    trainer = Trainer(
        model=make_model(kind, folder),
        args=args,
        train_dataset=[row(number) for number in range(16)],
        data_collator=default_data_collator,
        processing_class=TOKENIZER,
    )
    if "fsdp2" in kind:
        _shard(trainer, "bf16" if "bf16" in kind else "no")
    return trainer


def _shard(trainer: Any, precision: str) -> None:
    """Have accelerate shard as it does on accelerators; on a CPU it reads no plugin."""
    plugin = FullyShardedDataParallelPlugin(fsdp_version=2, auto_wrap_policy="transformer_based_wrap")
    if precision != "no":
        plugin.set_mixed_precision(precision)
    trainer.accelerator.state.fsdp_plugin = plugin
    trainer.accelerator.state.distributed_type = DistributedType.FSDP
    trainer.is_fsdp_enabled = True


def trained(folder: Path, kind: str, *, watched: bool) -> tuple[Any, ForgettingCallback | None, int]:
    """The Trainer after its end, what watched it, and how many forward passes its model ran."""
    torch.manual_seed(5)
    trainer, passes = make_trainer(folder, kind), []
    watch = None
    if watched:
        options: dict[str, Any] = {"stop": True} if kind == "ddp" else {"keep_best": True, "batch_tokens": BIN_TOKENS}
        known = tiny.known_to(make_model(kind).eval(), TOKENIZER, TASK.test)
        watch = ForgettingCallback(
            replace(TASK, test=tuple(known)), every=1, policy=folder / "policy.yaml", resamples=200, **options
        )
        watch.attach(trainer)
    trainer.model.get_output_embeddings().register_forward_hook(lambda *_: passes.append(1))
    trainer.train()
    return trainer, watch, len(passes)


def whole(model: Any) -> Mapping[str, torch.Tensor]:
    """All weights, in all processes."""
    found: Mapping[str, torch.Tensor] = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True))
    return {name: weight.clone() for name, weight in found.items()}


def differs(kind: str, weights: Mapping[str, torch.Tensor], watch: ForgettingCallback) -> float:
    """The largest difference between the last scores and those of the same weights in one process."""
    alone = make_model(kind).eval()
    alone.load_state_dict(weights)
    loaded = LoadedModel(alone.to(torch.bfloat16 if "bf16" in kind else torch.float32), TOKENIZER, "fp32")
    plain = tiny.score(loaded, TASK.test, task="colours").table
    last = watch.scores_after["colours"].table
    ours, others = (table["choice_logprobs"].combine_chunks().flatten().to_numpy() for table in (last, plain))
    return float(abs(ours - others).max())


def is_kept(best: Path, weights: Mapping[str, torch.Tensor]) -> bool:
    """Whether the one file in a folder holds these weights, or those of the adapter."""
    (path,) = best.glob("*.safetensors")
    named = {name.replace(".default", ""): weight for name, weight in weights.items()}
    found = load_file(path)
    return bool(found) and all(torch.equal(weight, named[name]) for name, weight in found.items())


def main(folder: Path, kind: str) -> None:
    # Transformers reads shards before there is a Trainer that makes the processes known to each other.
    dist.init_process_group("gloo")
    plain, _, without = trained(folder, kind, watched=False) if kind != "ddp" else (None, None, 0)
    trainer, watch, passes = trained(folder, kind, watched=True)
    assert watch is not None
    weights = whole(trainer.model)
    pieces = bins(encode_task(TASK, TOKENIZER, None).encoded, bin_tokens=BIN_TOKENS)
    seen = {
        "wrapped": type(trainer.model_wrapped).__name__,
        "sharded": type(next(trainer.model.parameters())).__name__,
        "processes": dist.get_world_size(),
        "step": trainer.state.global_step,
        "kept_step": watch.kept_step,
        "kept": kind != "ddp" and is_kept(folder / "forgetting" / "best", weights),
        "choices": sum(map(len, watch.scores_after["colours"].table["choice_logprobs"].to_pylist())),
        "off": differs(kind, weights, watch),
        "same": plain is not None
        and all(torch.equal(value, weights[name]) for name, value in whole(plain.model).items()),
        "passes": passes - without,
        "bins": len(list(pieces)),
        "logged": sum("forgetting/colours" in line for line in trainer.state.log_history),
    }
    (folder / f"{dist.get_rank()}.json").write_text(json.dumps(seen))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
