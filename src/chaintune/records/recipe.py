"""How one stage of tuning trains, and what it asks of a cluster."""

from dataclasses import dataclass, fields
from math import isqrt
from typing import Any, Literal

from chaintune.errors import ConfigError
from chaintune.records.adapter import PeftSettings


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


_FP32_BYTES = 4
# Settings that one objective alone reads, of chaintune's own; those of other packages may read any.
_OWN = {"sft": ("turns", "teach"), "dpo": ("beta", "label_smoothing", "loss")}
_SETTINGS = tuple(name for names in _OWN.values() for name in names)


@dataclass(frozen=True, slots=True)
class Resources:
    """What a stage, and each scoring of its checkpoint, asks of a cluster; no bit of a result depends on it.

    Attributes:
        cpus: cores; 0 asks for one a device.
        gpus: a part of one is a fraction; 0 asks for one a device where the cluster has any.
        memory_gb: 0 asks for none.
    """

    cpus: float = 0.0
    gpus: float = 0.0
    memory_gb: float = 0.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one stage trains: every field may change a bit of the weights, and so the stage's key.

    Attributes:
        objective: what the stage optimises, a name of `chaintune.tuning.objectives.OBJECTIVES`; None is the one that
            takes the targets of the stage's examples.
        turns: which turns of the assistant `sft` teaches of a conversation.
        teach: which answer of a preference `sft` teaches; None takes no preferences.
        beta: of `dpo`: how much a nat of the margin counts; under `ipo` half its inverse is the margin aimed at.
        label_smoothing: of `dpo` with `sigmoid`: share of the pairs taken to be labelled the wrong way, in [0, 0.5).
        loss: of `dpo`.
        method: `full`, `lora`, or `peft` for whatever else PEFT trains.
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
        peft: the adapter where `method` is `peft`, as PEFT's own configuration takes it.
        adapter: what becomes of a parent's adapter: `continue` trains it on, `fresh` folds it into the weights and
            begins another one, `merge` folds it in whatever the method. None continues one like the recipe's, and
            folds any other in.
        quantize: `4bit` holds the weights under an adapter in 4 bits while it is trained; None as they are stored.
            Only where `method` is `lora`.
        gradient_checkpointing: recompute activations to save memory.
        share_prefixes: compute what the examples of a micro-batch begin with once. None does so where it saves a
            fifth of the tokens or more and the model can; not together with `gradient_checkpointing`.
        keep_together: put examples that begin alike into one step, so that there is more to share; a step is then
            no random sample.
        fp32_masters: at bf16 the optimizer steps an fp32 copy of the weights. Without it a weight takes 8 bytes and
            not 16, and every step smaller than a bf16 number can show is lost; fp32 weights are stepped as they are.
        devices: processes that train the stage together, one a GPU, or one a share of the cores where there is none;
            several add gradients up in another order.
        regulariser: what holds the weights back; a study sets it through its mitigations.
    """

    objective: str | None = None
    turns: Literal["all", "last"] = "all"
    teach: Literal["chosen", "rejected"] | None = None
    beta: float = 0.1
    label_smoothing: float = 0.0
    loss: Literal["sigmoid", "ipo"] = "sigmoid"
    method: Literal["full", "lora", "peft"] = "full"
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
    peft: PeftSettings | None = None
    adapter: Literal["continue", "fresh", "merge"] | None = None
    quantize: Literal["4bit"] | None = None
    gradient_checkpointing: bool = False
    share_prefixes: bool | None = None
    keep_together: bool = False
    fp32_masters: bool = True
    devices: int = 1
    regulariser: Regulariser | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            ConfigError: weights in 4 bits, and no adapter on top; a smoothing that the loss does not have.
        """
        if self.label_smoothing and self.loss == "ipo":
            raise ConfigError(
                f"recipe.label_smoothing: {self.label_smoothing:g} is for loss 'sigmoid', and the loss is 'ipo'; leave "
                "one of them out"
            )
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

    @property
    def loss_settings(self) -> "Recipe":
        """The part of it that says which loss of single answers is minimised, everything else as it is by default."""
        return Recipe(objective=self.objective, turns=self.turns, teach=self.teach)

    @property
    def adapter_settings(self) -> PeftSettings | None:
        """The adapter that is trained; None in full tuning.

        Raises:
            ConfigError: the method is `peft`, and `peft` does not say which.
        """
        if self.method == "full":
            return None
        if self.method == "peft":
            if self.peft is None or not self.peft.peft_type:
                raise ConfigError(
                    "recipe.peft: method 'peft' needs the settings of an adapter; write peft: {peft_type: OFT}, say, "
                    "or method: lora"
                )
            return self.peft
        targets = self.lora_targets if isinstance(self.lora_targets, str) else list(self.lora_targets)
        return PeftSettings.of(
            {
                "peft_type": "LORA",
                "r": self.lora_rank,
                "lora_alpha": self.lora_alpha,
                "lora_dropout": self.lora_dropout,
                "target_modules": targets,
            }
        )

    def content(self) -> dict[str, Any]:
        """What of the recipe determines the trained weights, as canonical JSON-able data."""
        usual = {field.name: field.default for field in fields(self)}
        read = _OWN.get(self.objective or "", _SETTINGS)
        own = {name: value for name in read if (value := getattr(self, name)) != usual[name]}
        named = {
            "objective": self.objective,
            "method": self.method,
            "learning_rate": self.learning_rate,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "micro_batch_size": self.micro_batch_size,
            "warmup_fraction": self.warmup_fraction,
            "schedule": self.schedule,
            "weight_decay": self.weight_decay,
            "max_grad_norm": self.max_grad_norm,
            "quantize": self.quantize,
            "gradient_checkpointing": self.gradient_checkpointing,
            "share_prefixes": self.share_prefixes,
            "keep_together": self.keep_together,
            "fp32_masters": self.fp32_masters,
            "devices": self.devices,
            "regulariser": self.regulariser and self.regulariser.content(),
        }
        return self._adapter_content() | own | named

    def _adapter_content(self) -> dict[str, Any]:
        """Fields that say something about an adapter, where there is one."""
        if self.method == "full":
            return {}
        # `fresh` and `merge` come to the same under an adapter; what is usual is left out.
        parents = {"adapter": "continue" if self.adapter == "continue" else "fresh"} if self.adapter else {}
        settings = self.adapter_settings
        if self.method == "peft" and settings is not None:
            return parents | {"peft": settings.content()}
        targets = self.lora_targets if isinstance(self.lora_targets, str) else list(self.lora_targets)
        return parents | {
            "lora_rank": self.lora_rank,
            "lora_alpha": self.lora_alpha,
            "lora_dropout": self.lora_dropout,
            "lora_targets": targets,
        }


def micro_batch(batch_size: int, at_most: int) -> int:
    """The largest divisor of `batch_size` that is at most `at_most`, so that a step is whole micro-batches."""
    sizes = (size for size in range(1, isqrt(batch_size) + 1) if batch_size % size == 0)
    divisors = [part for size in sizes for part in (size, batch_size // size)]
    return max(size for size in divisors if size <= max(1, at_most))
