"""How one stage of tuning trains."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from chaintune.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Regulariser:
    """What holds a stage's weights back while it trains.

    Attributes:
        kind: a name of `chaintune.tuning.mitigations.MITIGATIONS`.
        options: its settings, sorted by name.
    """

    kind: str
    options: tuple[tuple[str, Any], ...]

    def content(self) -> list[Any]:
        """Canonical JSON-able data."""
        return [self.kind, {name: list(v) if isinstance(v, tuple) else v for name, v in self.options}]


# What does not change the trained weights.
_NO_CONTENT = frozenset({"report_to", "cpus", "gpus", "memory_gb"})
_FP32_BYTES = 4


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one stage trains. Every field but `report_to` and what it asks of a cluster is part of the stage's key.

    Attributes:
        method: `full` or `lora`.
        learning_rate: peak of the schedule.
        epochs: passes over the stage's examples.
        batch_size: examples an optimizer step.
        micro_batch_size: examples a forward pass; gradients are accumulated up to `batch_size`. 0 leaves it to
            the device.
        warmup_fraction: share of the steps in which the rate rises from 0.
        schedule: `linear`, `cosine` or `constant` after the warm-up.
        weight_decay: of AdamW.
        max_grad_norm: gradients are clipped to this norm; 0 clips nothing.
        lora_rank, lora_alpha, lora_dropout, lora_targets: used when `method` is `lora`.
        quantize: `4bit` holds the weights under an adapter in 4 bits while it is trained; None as they are stored.
            Only where `method` is `lora`.
        gradient_checkpointing: recompute activations to save memory.
        share_prefixes: compute what the lessons of a micro-batch begin with once. None does so where it saves a
            fifth of the tokens or more and the model can; not together with `gradient_checkpointing`.
        keep_together: put lessons that begin alike into one step, so that there is more to share; a step is then
            no random sample.
        fp32_masters: at bf16 the optimizer steps an fp32 copy of the weights. Without it a weight takes 8 bytes and
            not 16, and every step smaller than a bf16 number can show is lost; fp32 weights are stepped as they are.
        report_to: trackers, by transformers' names.
        devices: processes that train the stage together, one a GPU, or one a share of the cores where there is none.
        cpus, gpus, memory_gb: what the stage, and each scoring of its checkpoint, asks of a cluster; a part of a GPU
            is a fraction. 0 asks for one core, for one GPU a device where the cluster has any, and for no memory.
        regulariser: what holds the weights back; a study sets it through its mitigations.
    """

    method: Literal["full", "lora"] = "full"
    learning_rate: float = 1e-4
    epochs: float = 1.0
    batch_size: int = 16
    micro_batch_size: int = 0
    warmup_fraction: float = 0.1
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    lora_rank: int = 16
    lora_alpha: float = 32.0
    lora_dropout: float = 0.0
    lora_targets: str | tuple[str, ...] = "all-linear"
    quantize: Literal["4bit"] | None = None
    gradient_checkpointing: bool = False
    share_prefixes: bool | None = None
    keep_together: bool = False
    fp32_masters: bool = True
    report_to: tuple[str, ...] = ()
    devices: int = 1
    cpus: float = 0.0
    gpus: float = 0.0
    memory_gb: float = 0.0
    regulariser: Regulariser | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            ConfigError: weights in 4 bits, and no adapter on top.
        """
        if self.quantize and self.method != "lora":
            raise ConfigError(
                f"recipe.quantize: '{self.quantize}' holds weights under an adapter, and the method is "
                f"'{self.method}'; write method: lora, or leave quantize out"
            )

    def weight_bytes(self, stored_bytes: int) -> int:
        """What one weight of the model takes while it is trained, activations not counted; adapters are few beside it.

        In full tuning its gradient and AdamW's two averages are beside it, and in fewer bits than fp32 a copy in fp32,
        of which the averages are then. docs/how-to/memory.md shows the sums, and its test counts them on a model.

        Args:
            stored_bytes: of the weight as it is held.
        """
        if self.method != "full":
            return stored_bytes
        copied = self.fp32_masters and stored_bytes < _FP32_BYTES
        return 2 * stored_bytes + (3 * _FP32_BYTES if copied else 2 * stored_bytes)

    def content(self) -> dict[str, Any]:
        """The fields that determine the trained weights, as canonical JSON-able data."""
        apart = {*_NO_CONTENT, "regulariser"}
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in apart}
        # Left out at their defaults, so that stages of before there were these fields keep their keys.
        if self.share_prefixes is None:
            del named["share_prefixes"]
        if not self.keep_together:
            del named["keep_together"]
        if self.quantize is None:
            del named["quantize"]
        if self.fp32_masters:
            del named["fp32_masters"]
        if self.devices == 1:
            del named["devices"]  # more of them add up in another order
        if self.method == "full":
            named = {name: value for name, value in named.items() if not name.startswith("lora_")}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in named.items()}
        return plain | ({"regulariser": self.regulariser.content()} if self.regulariser else {})
