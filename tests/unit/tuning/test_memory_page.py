"""The how-to page docs/how-to/memory.md: its recipes plan, and its bytes are counted."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from chaintune.models import Precision, load
from chaintune.records import Recipe
from chaintune.tuning.optimizer import MasterAdamW
from chaintune.tuning.tune import tune
from tests import tiny
from tests.conftest import MakeModel
from tests.dummy_engine import make_plan, make_study

TEXT = (Path(__file__).parents[3] / "docs" / "how-to" / "memory.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
ROW = r"^\| (fp32|bf16) \| (full|lora|full, `fp32_masters: false`) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$"
ROWS = re.findall(ROW, TEXT, re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_is_part_of_a_study(block: str) -> None:
    asked: dict[str, Any] = yaml.safe_load(block)
    study = make_study("ab", **asked)
    assert make_plan(study).stages
    assert study.to_mapping().items() >= {key: value for key, value in asked.items() if key != "recipe"}.items()
    assert study.to_mapping()["recipe"].items() >= asked.get("recipe", {}).items()


def test_there_are_blocks_and_rows() -> None:
    assert (len(BLOCKS), len(ROWS)) == (2, 5)


@dataclass
class Count:
    """Bytes of each sort for each weight of a model, its adapter's left out, just before an optimizer step."""

    model: Any
    found: tuple[float, ...] = ()

    def take(self, optimizer: torch.optim.Optimizer) -> None:
        named = dict(self.model.named_parameters())
        live = [weight for name, weight in named.items() if "lora_" not in name]
        stepped = [weight for group in optimizer.param_groups for weight in group["params"]]
        copies = [weight for weight in stepped if not any(weight is other for other in named.values())]
        owned = [weight for weight in stepped if any(weight is other for other in (*live, *copies))]
        moments = [state for weight in owned for state in optimizer.state[weight].values() if state.dim()]
        sorts = (live, [w.grad for w in live], [*copies, *(w.grad for w in copies)], moments)
        count = sum(weight.numel() for weight in live)
        self.found = tuple(sum(t.nbytes for t in sort if t is not None) / count for sort in sorts)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(row[:2]))
def test_the_bytes_of_a_weight_are_those_of_the_page(
    row: tuple[str, ...], model_folder: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precision: Precision = "bf16" if row[0] == "bf16" else "fp32"
    parent = load(model_folder(), precision=precision)
    count, step = Count(parent.model), MasterAdamW.step

    def counted(self: MasterAdamW, closure: Any = None) -> Any:
        count.take(self)
        return step(self, closure)

    monkeypatch.setattr(MasterAdamW, "step", counted)
    recipe = Recipe(batch_size=8, share_prefixes=False)
    recipe = replace(recipe, method="lora", lora_rank=2) if row[1] == "lora" else recipe
    recipe = replace(recipe, fp32_masters="fp32_masters" not in row[1])
    tune(parent, tiny.examples(16), task="balls", recipe=recipe, seed=0, log=tmp_path / "log")
    written = [float(number) for number in row[2:]]
    assert list(count.found) == pytest.approx(written[:-1], abs=0.01)
    assert sum(count.found) == pytest.approx(written[-1], abs=0.01)
    assert recipe.weight_bytes(int(row[2])) == written[-1]
