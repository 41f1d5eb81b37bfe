"""Checkpoints that hold their weights quantised: what their configuration says, and whether every part is there.

Transformers loads them by that configuration, with the package that wrote them or another that reads them. What is
asked here is asked before anything is loaded, of the configuration and of the headers of the files.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING, AutoHfQuantizer

from chaintune.errors import ModelError, nearest, number_of
from chaintune.models.folders import CONFIG, json_object, opening, read_files
from chaintune.models.precision import Precision, default_device

_SECTION, _METHOD = "quantization_config", "quant_method"
_BITSANDBYTES, _STATE = "bitsandbytes", "weight.quant_state.bitsandbytes__"
# By method, the parts of a module that are nothing without others, by the ends of their names.
_PARTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    _BITSANDBYTES: {
        "weight.absmax": ("weight", "weight.quant_map", _STATE),
        "weight.quant_map": ("weight", "weight.absmax", _STATE),
        _STATE: ("weight", "weight.absmax", "weight.quant_map"),
        "weight.nested_absmax": ("weight.nested_quant_map", "weight.absmax"),
        "weight.nested_quant_map": ("weight.nested_absmax", "weight.absmax"),
        "SCB": ("weight",),
        "weight_format": ("weight", "SCB"),
    },
    "torchao": {
        "_weight_qdata": ("_weight_scale",),
        "_weight_scale": ("_weight_qdata",),
        "_weight_zero_point": ("_weight_qdata", "_weight_scale"),
    },
    "compressed-tensors": {
        "weight_packed": ("weight_scale",),
        "weight_shape": ("weight_packed", "weight_scale"),
        "weight_zero_point": ("weight_scale",),
    },
    "fp8": {"weight_scale_inv": ("weight",)},
    "gptq": {"qweight": ("scales",), "scales": ("qweight",)},
    "awq": {"qweight": ("scales",), "scales": ("qweight",)},
}
# By method, one of which a plain matrix in a narrow number format has beside it.
_SCALES: Mapping[str, tuple[str, ...]] = {
    _BITSANDBYTES: ("weight.absmax", "SCB"),
    "compressed-tensors": ("weight_scale",),
    "fp8": ("weight_scale_inv", "weight_scale"),
}
# As safetensors names them.
_NARROW = re.compile(r"U8|I8|F8_.*|F4.*")
# LLM.int8() says at each product of each layer that it rounds to 16 bits.
_CHATTY = "bitsandbytes.autograd._functions"


def quantisation_of(folder: Path) -> str:
    """How the weights of a model folder are quantised, as `bitsandbytes, 4 bits (nf4)`; empty where they are not."""
    stated = _stated(folder)
    if not stated:
        return ""
    method, bits, kind = _method(stated), stated.get("bits"), ""
    if method == _BITSANDBYTES:
        bits = 4 if stated.get("load_in_4bit") else 8
        kind = str(stated.get("bnb_4bit_quant_type", "")) if bits == 4 else "LLM.int8"
    elif method == "torchao":
        kind = _torchao_kind(stated)
    elif method == "compressed-tensors":
        kind = str(stated.get("format") or "")
    sizes = f", {bits} bits" if isinstance(bits, int) else ""
    return f"{method}{sizes}{f' ({kind})' if kind else ''}"


def _method(stated: Mapping[str, Any]) -> str:
    return str(stated.get(_METHOD, _BITSANDBYTES))  # whose older configurations do not name it


def _torchao_kind(stated: Mapping[str, Any]) -> str:
    named: Any = stated.get("quant_type")
    while isinstance(named, Mapping) and "_type" not in named:  # it lies under the modules that it is for
        named = next(iter(named.values()), "")
    return str(named["_type"] if isinstance(named, Mapping) else named or "")


def _stated(folder: Path) -> Mapping[str, Any]:
    """The part of a configuration about quantisation, which may lie with what it says of text."""
    config = json_object(folder / CONFIG)
    text = config.get("text_config")
    stated = config.get(_SECTION) or (text.get(_SECTION) if isinstance(text, Mapping) else None)
    return stated if isinstance(stated, Mapping) else {}


def check_quantised(folder: Path) -> str:
    """How the weights of a folder are quantised; empty where they are not.

    Raises:
        ModelError: by a method that transformers does not know, and would pass over; its package is not installed; or
            a weight lacks what it cannot be read without, a scale say, or the other way round.
    """
    how = quantisation_of(folder)
    if not how:
        return ""
    what, stated = f"model folder {folder}", dict(_stated(folder))
    method, known = _method(stated), [_BITSANDBYTES, *AUTO_QUANTIZATION_CONFIG_MAPPING]
    if method not in known:
        unknown = f"its weights are quantised by '{method}', which transformers does not load"
        raise ModelError(f"{what}: {unknown}; {nearest(method, known)}")
    absent = opening(what, f"its weights are quantised ({how}), and what loads them is not installed")
    # Where this machine cannot, another may that shares its work, and whoever loads it looks.
    with absent, suppress(RuntimeError, ValueError, TypeError):
        AutoHfQuantizer.from_config(stated, pre_quantized=True).validate_environment(
            device_map={"": default_device()}, weights_only=True, dtype=None
        )
    _check_parts(folder, method)
    return how


def _check_parts(folder: Path, method: str) -> None:
    """Refuse weights whose scales are missing, and scales without weights, which transformers says less well or not."""
    modules: dict[str, dict[str, str]] = {}
    for name, kind in _formats(folder):
        module, part = _split(name)
        modules.setdefault(module, {})[part] = kind
    lacking = []
    for module, parts in modules.items():
        known, scales = _PARTS.get(method, {}), _SCALES.get(method, ())
        needed = {need for part in parts for need in known.get(part, ())}
        if scales and not needed and _NARROW.fullmatch(parts.get("weight", "")) and not parts.keys() & set(scales):
            needed.add(scales[0])
        lacking += [f"{module}.{need}" for need in needed - parts.keys()]
    if lacking:
        some = ", ".join(sorted(lacking)[:2]) + (", ..." if len(lacking) > 2 else "")
        raise ModelError(
            f"model folder {folder}: {number_of(len(lacking), 'part')} of its quantised weights "
            f"{'is' if len(lacking) == 1 else 'are'} not in its files ({some}), and without them the others say "
            "nothing; name a folder that holds the whole model"
        )


def _formats(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and number format of every weight of a folder, from its files' headers."""
    for path in read_files(folder):
        with opening(f"model folder {folder}", f"{path.name} cannot be read"), safe_open(path, "numpy") as weights:
            for name in weights.keys():  # noqa: SIM118 - no mapping
                yield name, weights.get_slice(name).get_dtype()


def _split(name: str) -> tuple[str, str]:
    """A weight's module and its part of it: `a.b.weight.absmax` is `weight.absmax` of `a.b`."""
    module, dot, part = name.partition(".weight.")
    if dot:
        part = f"weight.{part}"
        return module, _STATE if part.startswith(_STATE) else part
    module, _, part = name.rpartition(".")
    return module, part


def check_computes(model: Any, folder: Path, precision: Precision) -> None:
    """Refuse quantised weights that this machine cannot compute with, before anything is asked of them.

    Raises:
        ModelError: their kernels are not for this device or this precision; packed weights are of another size than
            their modules.
    """
    for name, module in model.named_modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is not None and module.weight.numel() * module.weight.element_size() * 2 < state.shape.numel():
            raise ModelError(
                f"model folder {folder}: {name}.weight holds fewer numbers than the {state.shape.numel():,} that are "
                "packed in it; name a folder that holds the whole model"
            )
    logging.getLogger(_CHATTY).addFilter(_is_no_cast)
    other = "bf16" if precision == "fp32" else "fp32"
    doing = f"its quantised weights cannot be computed with in {precision} on this machine; try --precision {other}"
    with opening(f"model folder {folder}", doing), torch.no_grad():
        model(input_ids=torch.zeros((1, 2), dtype=torch.long, device=model.device), use_cache=False)


def _is_no_cast(record: logging.LogRecord) -> bool:
    return "inputs will be cast" not in record.getMessage()
