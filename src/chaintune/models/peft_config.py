"""PEFT's configuration of an adapter, made of a recipe's settings and compared with that of another."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from pydantic import ConfigDict, TypeAdapter, ValidationError

from chaintune.errors import ConfigError, nearest
from chaintune.records import REFUSED_TYPES, PeftSettings

_TASK_TYPE = "CAUSAL_LM"
_TYPES = {str(kind.value): config for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
# Settings that want something of the training beside its loss, or of the data before it.
_REFUSED: Mapping[str, str] = {
    "alora_invocation_tokens": "an activated LoRA counts from certain tokens on, so that no weights say the same",
    "arrow_config": "it chooses among adapters for each input, which cannot be merged into the weights",
    "corda_config": "it begins with activations of data, which a stage does not take first",
    "eva_config": "it begins with activations of data, which a stage does not take first",
    "lora_ga_config": "it begins with gradients of data, which a stage does not take first",
    "loftq_config": "it quantises the weights, which quantize: 4bit does under method: lora",
    "megatron_config": "no model of transformers has Megatron's layers",
    "megatron_core": "no model of transformers has Megatron's layers",
    "monteclora_config": "it adds to the loss, which a stage does not",
    "runtime_config": "it is not stored with the adapter",
}
_BEGINNINGS_WITH_DATA = ("corda", "eva", "loftq", "lora_ga")
_FILLED_IN = frozenset(
    ["auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version", "revision", "task_type"]
)
# Names and shapes of what is trained tell these; a file spells out what a recipe has as a pattern.
_SHOWN_BY_SHAPES = frozenset(
    [
        "exclude_modules",
        "fan_in_fan_out",
        "feedforward_modules",
        "layers_pattern",
        "layers_to_transform",
        "modules_to_save",
        "target_modules",
    ]
)
_WORDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}


def peft_config(settings: PeftSettings) -> PeftConfig:
    """The configuration of an adapter that is to be trained.

    Raises:
        ConfigError: PEFT has no such type or setting, refuses a value, or makes an adapter that no stage can train.
    """
    kind = settings.peft_type
    if kind not in _TYPES:
        valid = _TYPES.keys() - REFUSED_TYPES.keys()
        raise ConfigError(f"recipe.peft.peft_type: PEFT has no type '{kind}'; {nearest(kind, valid, limit=50)}")
    if reason := REFUSED_TYPES.get(kind):
        raise _refused(kind, reason)
    made, hints = _TYPES[kind], get_type_hints(_TYPES[kind])
    known = [one.name for one in fields(made) if one.init and one.name not in {*_FILLED_IN, *_REFUSED}]
    values = {name: value for name, value in settings.content().items() if name != "peft_type"}
    for name, value in values.items():
        if reason := _REFUSED.get(name):
            raise ConfigError(f"recipe.peft.{name}: no stage can train it, as {reason}; leave it out")
        if name not in known:
            valid_names = nearest(name, known, limit=50)
            raise ConfigError(f"recipe.peft.{name}: {made.__name__} has no such setting; {valid_names}")
        values[name] = _typed(name, value, hints[name])
    if str(values.get("init_lora_weights", "")).startswith(_BEGINNINGS_WITH_DATA):
        raise ConfigError(
            f"recipe.peft.init_lora_weights: '{values['init_lora_weights']}' begins with data or quantised weights, "
            "which a stage does not take first; leave it out, or take another such as 'pissa' or 'olora'"
        )
    with named_refusals():
        config: PeftConfig = made(task_type=_TASK_TYPE, **values)
    if config.is_prompt_learning or config.is_adaption_prompt:  # of a type that PEFT has got since
        raise _refused(kind, REFUSED_TYPES["PROMPT_TUNING"])
    return config


def _refused(kind: str, reason: str) -> ConfigError:
    return ConfigError(f"recipe.peft.peft_type: an adapter of type {kind} {reason}; take one such as LORA or OFT")


def do_alike(one: PeftConfig, other: PeftConfig) -> bool:
    """Whether two adapters whose trained weights have the same names and shapes do the same with them."""
    return type(one) is type(other) and _effect(one) == _effect(other)


@contextmanager
def named_refusals() -> Iterator[None]:
    """Within this context what PEFT refuses is an error of ours.

    Raises:
        ConfigError: it refuses something.
    """
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        if isinstance(error, ConfigError):
            raise
        sentence = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise ConfigError(f"recipe.peft: PEFT refuses this adapter ({sentence}); change its settings") from error


def _typed(name: str, value: Any, hint: Any) -> Any:
    """A value as the setting's type; a number that YAML takes for text, `1e-4`, as a number."""
    reads = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    try:
        return reads.validate_python(value, strict=isinstance(value, bool))
    except ValidationError as error:
        if get_origin(hint) is Literal:
            valid = nearest(value, get_args(hint))
            raise ConfigError(f"recipe.peft.{name}: {value!r} is no valid value; {valid}") from error
        is_text = isinstance(value, str) and any(one["type"] == "literal_error" for one in error.errors())
        is_number = isinstance(value, float) and int in (hint, *get_args(hint))
        if value is None or is_text or is_number:  # hints that are narrower than what PEFT takes, as for lora_alpha
            return value
        raise ConfigError(f"recipe.peft.{name}: expected {_in_words(hint)}, got {value!r}") from error


def _in_words(hint: Any) -> str:
    kinds = [get_origin(one) or one for one in _members(hint)]
    return " or ".join(dict.fromkeys(_WORDS.get(kind, "a value of PEFT's") for kind in kinds))


def _members(hint: Any) -> list[Any]:
    """The types of a union, None apart; a type alone."""
    is_union = get_origin(hint) is not None and get_origin(hint) not in (list, dict, tuple, set, Literal)
    return [inner for one in get_args(hint) if one is not type(None) for inner in _members(one)] if is_union else [hint]


def _effect(config: PeftConfig) -> dict[str, Any]:
    """What of a configuration says what the weights do."""
    return {
        name: _plain(value)
        for name, value in config.to_dict().items()
        if name not in _FILLED_IN | _SHOWN_BY_SHAPES and not name.startswith("init_")
    }


def _plain(value: Any) -> Any:
    """A value as a file has it; nothing for what is empty."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()} or None
    if isinstance(value, set | list | tuple):
        return sorted(value, key=str) if isinstance(value, set) else [_plain(inner) for inner in value] or None
    return value
