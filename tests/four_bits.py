"""A double of weights in 4 bits, for machines that have neither bitsandbytes nor a GPU."""

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from chaintune.models import precision

_GRID = 8.0


def pretend(patch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """From now on matrices that are loaded in 4 bits are rounded to a coarse grid; returns how they were asked for."""
    asked: list[dict[str, Any]] = []
    plain = AutoModelForCausalLM.from_pretrained

    def load(folder: Any, **options: Any) -> Any:
        if "quantization_config" not in options:
            return plain(folder, **options)
        asked.append({name: options.pop(name) for name in ("quantization_config", "device_map")})
        model, about = plain(folder, **options)
        with torch.no_grad():
            for name, module in model.named_modules():
                if isinstance(module, torch.nn.Linear) and name != "lm_head":
                    module.weight.copy_((module.weight * _GRID).round() / _GRID)
        return model.requires_grad_(False), about

    patch.setattr(AutoModelForCausalLM, "from_pretrained", load)
    patch.setattr(precision, "is_bitsandbytes_available", lambda: True)
    patch.setattr(precision, "default_device", lambda: torch.device("cuda:0"))
    patch.setattr(torch.cuda, "get_device_name", lambda _device: "pretended")
    return asked
