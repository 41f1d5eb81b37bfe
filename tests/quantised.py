"""Two-layer models whose folders hold their weights quantised, one of each kind that can be made without a GPU."""

import importlib
import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, TorchAoConfig

from chaintune.models import Precision
from tests import tiny

_SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
}
_BLOCK = 32


def write_plain(folder: Path) -> Path:
    """The model that the others are rounds of."""
    tiny.make_model(**_SHAPE).save_pretrained(folder)
    tiny.make_tokenizer().save_pretrained(folder)
    return folder


def write_fp8(folder: Path, plain: Path) -> Path:
    """Weights of 8 bits with a scale for each block, as DeepSeek's; a CPU unpacks them."""
    model = AutoModelForCausalLM.from_pretrained(plain)
    model.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    for name in [name for name in weights if "_proj." in name]:
        blocks = weights[name].unfold(0, _BLOCK, _BLOCK).unfold(1, _BLOCK, _BLOCK)  # [R, C, 32, 32]
        scales = blocks.abs().amax(dim=(2, 3)) / torch.finfo(torch.float8_e4m3fn).max
        spread = scales.repeat_interleave(_BLOCK, 0).repeat_interleave(_BLOCK, 1)
        weights |= {name: (weights[name] / spread).to(torch.float8_e4m3fn), f"{name}_scale_inv": scales}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "fp8",
        "activation_scheme": "dynamic",
        "weight_block_size": [_BLOCK, _BLOCK],
        "modules_to_not_convert": ["lm_head"],
    }
    (folder / "config.json").write_text(json.dumps(config))
    tiny.make_tokenizer().save_pretrained(folder)
    return folder


def _rounded_while_loaded(folder: Path, plain: Path, how: Any, dtype: torch.dtype) -> Path:
    model = AutoModelForCausalLM.from_pretrained(plain, quantization_config=how, dtype=dtype, device_map="cpu")
    model.save_pretrained(folder)
    tiny.make_tokenizer().save_pretrained(folder)
    return folder


def _nf4(folder: Path, plain: Path) -> Path:
    how = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.float32,
        bnb_4bit_use_double_quant=True,
    )
    return _rounded_while_loaded(folder, plain, how, torch.float32)


def _int8(folder: Path, plain: Path) -> Path:
    return _rounded_while_loaded(folder, plain, BitsAndBytesConfig(load_in_8bit=True), torch.float32)


def _torchao(folder: Path, plain: Path) -> Path:
    package = importlib.import_module("torchao.quantization")
    how = TorchAoConfig(package.IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=package.PerGroup(32)))
    return _rounded_while_loaded(folder, plain, how, torch.bfloat16)


def _compressed(folder: Path, plain: Path) -> Path:
    """Weights of 4 bits, packed, with a scale for each group of 32: the layout of `W4A16`."""
    package = importlib.import_module("compressed_tensors.quantization")
    compressors = importlib.import_module("compressed_tensors.compressors")
    model = AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32)
    weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": _BLOCK}
    config = package.QuantizationConfig(
        config_groups={"group_0": {"targets": ["Linear"], "weights": weights}},
        ignore=["lm_head"],
        format="pack-quantized",
        quantization_status=package.QuantizationStatus.FROZEN,
    )
    package.apply_quantization_config(model, config)
    for module in model.modules():
        if hasattr(module, "weight_scale"):
            groups = module.weight.data.unflatten(1, (-1, _BLOCK))
            module.weight_scale.data = groups.abs().amax(dim=2) / 7.5
    compressor = compressors.ModelCompressor.from_pretrained_model(model, quantization_format="pack-quantized")
    compressor.compress_model(model)
    model.save_pretrained(folder)
    compressor.update_config(folder)
    tiny.make_tokenizer().save_pretrained(folder)
    return folder


# Name -> what it needs, the precision that it computes in, and what writes it.
KINDS: dict[str, tuple[str, Precision, Callable[[Path, Path], Path]]] = {
    "fp8": ("torch", "fp32", write_fp8),
    "nf4": ("bitsandbytes", "fp32", _nf4),
    "int8": ("bitsandbytes", "fp32", _int8),
    "torchao": ("torchao", "bf16", _torchao),
    "compressed": ("compressed_tensors", "fp32", _compressed),
}


def is_installed(package: str) -> bool:
    """Whether a package is there, without importing it."""
    return find_spec(package) is not None
