"""A model so small that its whole Hessian can be written down, computed in another way."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peft import LoraConfig
from transformers import AutoConfig, AutoModelForCausalLM

from chaintune.models import LoadedModel
from chaintune.models.adapters import new_adapter
from chaintune.models.taught import encode_taught
from chaintune.records import Example
from chaintune.tuning.tokenized import training_examples
from tests import tiny
from tests.reference import reference_loss

Floats = NDArray[np.float64]
EXAMPLES = tiny.examples(6)
_SMALL: dict[str, dict[str, Any]] = {
    "llama": {"hidden_size": 4, "intermediate_size": 6, "num_attention_heads": 2, "num_key_value_heads": 1},
    "gpt2": {"n_embd": 4, "n_layer": 1, "n_head": 2, "n_positions": 64},
    "gemma2": {
        "hidden_size": 4, "intermediate_size": 6, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 2,
        "sliding_window": 8, "layer_types": ["sliding_attention"],
    },
}  # fmt: skip


def small_model(architecture: str = "llama", *, seed: int = 0) -> LoadedModel:
    """One layer of four numbers, with tied embeddings."""
    shape = _SMALL[architecture] | ({"num_hidden_layers": 1} if architecture != "gpt2" else {})
    shape |= {"vocab_size": 340, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": True}
    config = AutoConfig.for_model(architecture, **shape)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
        for weight in model.parameters():
            if weight.dim() > 1:
                torch.nn.init.normal_(weight, std=0.5)
    return LoadedModel(model.eval(), tiny.make_tokenizer(), "fp32")


def adapted_model(architecture: str = "llama", *, seed: int = 0) -> LoadedModel:
    """The same with a LoRA adapter that does something."""
    loaded = small_model(architecture, seed=seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed + 1)
        config = LoraConfig(task_type="CAUSAL_LM", r=2, lora_dropout=0.5, target_modules="all-linear")
        loaded.model = new_adapter(loaded.model, config).eval()
        for name, weight in loaded.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.5)
    return loaded


@dataclass(frozen=True)
class Dense:
    """Loss, gradient and Hessian in double precision, written out."""

    loss: float
    gradient: Floats
    hessian: Floats

    @property
    def ends(self) -> tuple[float, float]:
        """Smallest and largest eigenvalue."""
        values = np.linalg.eigvalsh(self.hessian)
        return float(values[0]), float(values[-1])


def texts(loaded: LoadedModel, examples: Sequence[Example]) -> list[tuple[tuple[int, ...], int]]:
    taught = training_examples(encode_taught(loaded.tokenizer, examples))
    return [(lesson.sequences[0], lesson.answer_tokens) for lesson in taught]


def dense(loaded: LoadedModel, examples: Sequence[Example] = EXAMPLES, *, only: str = "") -> Dense:
    """By the plain loss, one sequence after another; of the weights whose name holds `only`. Changes the model."""
    model = loaded.model.double()
    (model.get_base_model() if loaded.has_adapter else model).set_attn_implementation("eager")
    weights = [weight.requires_grad_() for name, weight in model.named_parameters() if only in name]
    loss = reference_loss(model, texts(loaded, examples))
    gradient = _flat(torch.autograd.grad(loss, weights, create_graph=True))
    rows = []
    for chosen in torch.eye(len(gradient), dtype=torch.float64).split(256):
        parts = torch.autograd.grad(
            gradient, weights, chosen, retain_graph=True, is_grads_batched=True, materialize_grads=True
        )
        rows.append(torch.cat([part.reshape(len(chosen), -1) for part in parts], dim=1))
    return Dense(loss.item(), gradient.detach().numpy(), torch.cat(rows).numpy())


def _flat(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([part.reshape(-1) for part in parts])


@pytest.fixture(scope="session")
def dense_llama() -> Dense:
    """Of the small Llama on `EXAMPLES`."""
    return dense(small_model())
