"""An adapter that a stage trains, by the settings of PEFT's own configuration."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PROMPT = "learns a prompt, which cannot be merged into the weights"
_ROUTED = "chooses among adapters for each input, which cannot be merged into the weights"
_NOT_MERGED = "cannot be merged into the weights by PEFT"
REFUSED_TYPES: Mapping[str, str] = {
    "PROMPT_TUNING": _PROMPT,
    "MULTITASK_PROMPT_TUNING": _PROMPT,
    "P_TUNING": _PROMPT,
    "PREFIX_TUNING": _PROMPT,
    "ADAPTION_PROMPT": _PROMPT,
    "CPT": _PROMPT,
    "CARTRIDGE": _PROMPT,
    "XLORA": _ROUTED,
    "POLY": _ROUTED,
    "LILY": _NOT_MERGED,
    "SHADOW": _NOT_MERGED,
    "ADALORA": "has to reallocate its ranks after every step, which a stage does not do",
}
"""Types of PEFT that no stage trains, and why."""

# Ways to begin a LoRA adapter that leave the weights under it as they are; others, PiSSA for one, take their part out.
_PLAIN_BEGINNINGS = (True, False, "gaussian")


@dataclass(frozen=True, slots=True)
class PeftSettings:
    """Settings of an adapter; equal ones are equal, in whatever order they were written.

    Attributes:
        text: of the settings, as canonical JSON.
    """

    text: str

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "PeftSettings":
        """The settings of a mapping of plain data."""
        return cls(json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False))

    def content(self) -> dict[str, Any]:
        """Canonical JSON-able data."""
        settings: dict[str, Any] = json.loads(self.text)
        return settings

    @property
    def peft_type(self) -> str:
        """PEFT's name of the method, such as `OFT`; empty where the settings do not say."""
        return str(self.content().get("peft_type", ""))

    @property
    def leaves_base_alone(self) -> bool:
        """Whether the weights under the adapter stay as they are when it begins, so that it is stored without them."""
        settings = self.content()
        begins = starts_plain(settings.get("init_lora_weights", True)) and not settings.get("kasa_config")
        return self.peft_type != "LORA" or begins


def starts_plain(init_lora_weights: Any) -> bool:
    """Whether a LoRA adapter that begins in a way leaves the weights under it as they are."""
    return init_lora_weights in _PLAIN_BEGINNINGS
