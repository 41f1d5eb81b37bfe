"""Folders of models and adapters."""

import shutil
from pathlib import Path
from random import Random

from tests.fuzz.damage import damage
from tests.fuzz.driver import Case

_FOLDERS = ("model", "sharded", "adapter")


def prepare(valid: Path) -> None:
    from transformers import AutoModelForCausalLM

    from tests import tiny

    tiny.write_model(valid / "model")
    tiny.write_adapter(valid / "adapter", valid / "model")
    AutoModelForCausalLM.from_pretrained(valid / "model").save_pretrained(valid / "sharded", max_shard_size="60KB")
    tiny.make_tokenizer().save_pretrained(valid / "sharded")
    tiny.write_task(valid / "balls.jsonl", count=8)


def case(rng: Random, valid: Path) -> Case:
    name = rng.choice(_FOLDERS)
    shutil.copytree(valid / name, name)
    files = sorted(path for path in Path(name).iterdir() if path.suffix in (".json", ".safetensors", ".jinja"))
    what = damage(rng, rng.choice(files), files)
    model = f"{valid / 'model'}+adapter" if name == "adapter" else name
    own = f"--set tasks.balls.path={valid / 'balls.jsonl'} --set tasks.balls.role=safety --set tasks.balls.test_share=1"
    command = f"score {model} --task balls {own} --precision fp32 --store store --out scores.parquet"
    return Case(f"{name}/{what}", command.split())
