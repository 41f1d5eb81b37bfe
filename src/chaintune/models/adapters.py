"""Adapters of PEFT: put on a model, read from a folder."""

import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftModel, PeftType, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer, check_target_module_exists
from safetensors import safe_open

from chaintune.errors import ModelError
from chaintune.models.folders import ADAPTER_CONFIG
from chaintune.models.wholeness import check_adapter, check_shapes
from chaintune.records import starts_plain

_COPY = ".modules_to_save."
# Weights that all layers share, and that PEFT lists as missing for each.
_SHARED = ("vblora_vector_bank", "unilora_theta_d", "tinylora_v")


def new_adapter(model: Any, config: PeftConfig) -> PeftModel:
    """The model with a fresh adapter on top, drawn from torch's random state; its own weights are frozen."""
    with without_noise():
        return get_peft_model(model, config)


def read_adapter(model: Any, folder: Path, *, trainable: bool, on_meta: bool = False) -> PeftModel:
    """The model with the adapter of a folder on top; on the meta device where the model is.

    Raises:
        ModelError: the adapter is of a kind that cannot be folded into the weights; weights of it have no place in the
            model, or a place stays empty.
    """
    config = PeftConfig.from_pretrained(folder)
    # An activated LoRA counts from certain tokens on, so that no weights say the same.
    activated = getattr(config, "alora_invocation_tokens", None) is not None
    if config.is_prompt_learning or activated:
        kind = "an activated LoRA" if activated else f"of type {config.peft_type.value}"
        raise ModelError(f"adapter {folder}: it is {kind}, expected one such as LoRA that can be merged")
    if on_meta:  # accelerate would hand this mark of transformers to a constructor that does not know it
        for weight in model.parameters():
            vars(weight).pop("_is_hf_initialized", None)
    _resize_embeddings(model, folder)
    with without_noise():
        try:
            adapted = PeftModel.from_pretrained(model, folder, is_trainable=trainable, low_cpu_mem_usage=on_meta)
        except RuntimeError as error:
            check_shapes(re.findall(r"size mismatch for (\S+):", str(error)), len(_weight_names(folder)), folder)
            raise
        # Once more, as only this says what found no place.
        names = getattr(model, "_checkpoint_conversion_mapping", {})
        placed = adapted.load_adapter(
            folder, "default", is_trainable=trainable, low_cpu_mem_usage=on_meta, key_mapping=names
        )
    missing = [
        name.replace(".default.", ".") for name in placed.missing_keys if not any(part in name for part in _SHARED)
    ]
    # Of embeddings that were resized and trained whole PEFT writes a second copy, for which it has no place.
    own = _weight_names(folder)
    copies = [name for name in own if name.replace(_COPY, ".") in own and _COPY in name]
    check_adapter(missing, [name for name in placed.unexpected_keys if name not in copies], len(own), folder)
    if on_meta:
        adapted.to("meta")  # PEFT fills its own weights where it can
    # What lies under it, so that PEFT, when it saves, compares with that and not with a name on the Hub.
    adapted.peft_config["default"].base_model_name_or_path = model.config._name_or_path
    return adapted


def name_base(folder: Path, name: str) -> None:
    """Have a folder's adapter, if any, name its base as others know it, where PEFT wrote a path of this machine."""
    config = folder / ADAPTER_CONFIG
    if not config.is_file():
        return
    content = json.loads(config.read_bytes())
    path, content["base_model_name_or_path"] = content["base_model_name_or_path"], name
    config.write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")
    readme = folder / "README.md"
    if path and readme.is_file():
        readme.write_text(readme.read_text(encoding="utf-8").replace(path, name), encoding="utf-8")


def leaves_base_alone(folder: Path) -> bool:
    """Whether the weights under an adapter are the base's own, bit for bit, while it is on and once it is off.

    Args:
        folder: PEFT's layout; LoRA is known to leave them alone, of other kinds and of an adapter that brings
            embeddings, biases or whole modules along it is not taken for granted.
    """
    config: Any = PeftConfig.from_pretrained(folder)
    if config.peft_type != PeftType.LORA or config.layer_replication:
        return False
    if not starts_plain(config.init_lora_weights):
        return False
    return all(".lora_" in name for name in _weight_names(folder))


def take_off(adapted: PeftModel) -> Any:
    """The model under an adapter that `leaves_base_alone`; its weights stay frozen, so it is for scoring only."""
    return adapted.unload()


def tied_targets(model: Any, config: PeftConfig) -> list[str]:
    """Names of the embeddings that an adapter would lie on although they share one weight; empty where there are none.

    What such an adapter adds for one of them would, folded into the weight, be added for the other as well.
    """
    whole: Any = config
    if whole.target_modules is None or whole.peft_type == PeftType.TRAINABLE_TOKENS:  # which changes both alike
        return []
    return [name for name in _tied_embeddings(model) if check_target_module_exists(config, name)]


def tied_and_adapted(adapted: PeftModel) -> list[str]:
    """Names of the embeddings that an adapter lies on although they share one weight; empty where there are none."""
    base, config = adapted.get_base_model(), adapted.peft_config["default"]
    if config.peft_type == PeftType.TRAINABLE_TOKENS:  # PEFT changes both alike
        return []
    return [name for name, layer in _tied_embeddings(base).items() if isinstance(layer, BaseTunerLayer)]


def _tied_embeddings(model: Any) -> dict[str, Any]:
    ends = _ends(model)
    if len({id(layer.weight) for layer in ends}) == len(ends):
        return {}
    return {name: layer for name, layer in model.named_modules() if any(layer is end for end in ends)}


def _resize_embeddings(model: Any, folder: Path) -> None:
    """Give a model as many embeddings as an adapter brings all of, whose maker added tokens."""
    ends = {name: layer for name, layer in model.named_modules() if layer in _ends(model)}
    with safe_open(folder / "adapter_model.safetensors", framework="numpy") as weights:
        rows = {
            name: weights.get_slice(key).get_shape()[0]
            for name in ends
            for key in weights.keys()  # noqa: SIM118 - no mapping
            if re.fullmatch(
                rf"(.*\.)?{re.escape(name)}\.((token_adapter\.)?base_layer\.|modules_to_save\.)?weight", key
            )
        }
    brought = {id(ends[name].weight) for name in rows}
    whole = brought == {id(layer.weight) for layer in ends.values()} and len(set(rows.values())) == 1
    if whole and (wanted := next(iter(rows.values()))) != model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(wanted, mean_resizing=False)  # what is drawn for them is overwritten


def _ends(model: Any) -> list[Any]:
    """Input and output embeddings, where a model has them."""
    return [layer for layer in (model.get_input_embeddings(), model.get_output_embeddings()) if layer is not None]


def _weight_names(folder: Path) -> list[str]:
    with safe_open(folder / "adapter_model.safetensors", framework="numpy") as weights:
        return list(weights.keys())


@contextmanager
def without_noise() -> Iterator[None]:
    """Silences warnings of PEFT that call for no action.

    It uses a name of transformers that is going away, it sets `fan_in_fan_out` as GPT-2 needs it, it lists the weights
    that are missing, which are refused, and it tells of embeddings that are stored: those that were resized, and two
    where a copy of one unties them.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*gradient_checkpointing.* is deprecated", category=FutureWarning)
        warnings.filterwarnings("ignore", message="Found missing adapter keys", category=UserWarning)
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to", category=UserWarning)
        warnings.filterwarnings("ignore", message="Setting `save_embedding_layers`", category=UserWarning)
        warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings=True`", category=UserWarning)
        warnings.filterwarnings(
            "ignore", message="Input and output embeddings are no longer tied", category=UserWarning
        )
        yield
