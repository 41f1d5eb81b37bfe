"""One stage: a parent in memory and examples in; the same model, tuned, out."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import PrinterCallback, TrainingArguments, set_seed

from chaintune.errors import DataError, StageError
from chaintune.models.encoding import check_lengths, encode_examples
from chaintune.models.loading import LoadedModel, merge_adapter
from chaintune.records import Example, Recipe
from chaintune.tuning.lessons import LessonData, collate, lessons, micro_batch, training_order
from chaintune.tuning.optimizer import MasterAdamW
from chaintune.tuning.trainer import AnswerTrainer, StageLog, Step

# On a CPU the short sequences of multiple-choice tasks are attended to faster by plain matrix products
# than by the fused kernel, whose backward pass in bf16 is slow; benchmarks/training.py shows both.
_CPU_ATTENTION = "eager"


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a stage did.

    Attributes:
        loaded: the tuned model; the parent's own weights were changed.
        steps: optimizer steps.
        train_tokens: tokens read, padding not counted.
        seconds: wall time of the training loop.
        first_loss, final_loss: mean answer loss in nats a token over the first and last tenth of the steps.
    """

    loaded: LoadedModel
    steps: int
    train_tokens: int
    seconds: float
    first_loss: float
    final_loss: float


def tune(
    parent: LoadedModel,
    examples: Sequence[Example],
    *,
    task: str,
    recipe: Recipe,
    seed: int,
    log: Path,
    on_step: Callable[[Step], None] = lambda _: None,
) -> Tuned:
    """Train one stage with a fresh optimizer and schedule.

    The same parent, examples (in any order), recipe and seed give the same weights on the same machine.
    An adapter of the parent is trained on if the recipe asks for LoRA of the same shape, else it is
    folded into the weights first.

    Args:
        parent: changed in place.
        examples: what is taught.
        task: named in errors.
        recipe: how.
        seed: of shuffles, dropout and new adapters.
        log: JSON lines, one a step.
        on_step: called after each step.

    Raises:
        DataError: no example, or one longer than the model's context.
        StageError: the loss is not finite.
    """
    if not examples:
        raise DataError(f"task '{task}': a stage needs at least one training example, got none")
    set_seed(seed)
    loaded = _trainable(parent, recipe)
    ordered = sorted(examples, key=lambda example: example.id)
    taught = lessons(
        encode_examples(loaded.tokenizer, ordered),
        [example.gold for example in ordered],
        end=loaded.tokenizer.eos_token_id,
    )
    lengths = [len(lesson.tokens) for lesson in taught]
    check_lengths(ordered, lengths, loaded.context_tokens, task=task)
    order = training_order(lengths, batch_size=recipe.batch_size, epochs=recipe.epochs, seed=seed)
    losses: list[float] = []

    def watch(step: Step) -> None:
        losses.append(step.loss)
        on_step(step)

    started = time.monotonic()
    trainer = _train(loaded, LessonData(taught, order), recipe=recipe, seed=seed, log=log, on_step=watch)
    loaded.model.eval()
    tenth = max(1, len(losses) // 10)
    return Tuned(
        loaded=loaded,
        steps=trainer.state.global_step,
        train_tokens=trainer.tokens_seen,
        seconds=time.monotonic() - started,
        first_loss=sum(losses[:tenth]) / tenth,
        final_loss=sum(losses[-tenth:]) / tenth,
    )


def _train(
    loaded: LoadedModel, data: LessonData, *, recipe: Recipe, seed: int, log: Path, on_step: Callable[[Step], None]
) -> AnswerTrainer:
    with tempfile.TemporaryDirectory() as scratch, _attention(loaded):
        trainer = AnswerTrainer(
            model=loaded.model,
            args=_arguments(recipe, seed=seed, examples=len(data), scratch=scratch),
            train_dataset=data,
            data_collator=collate,
            optimizer_cls_and_kwargs=(MasterAdamW, {"lr": recipe.learning_rate, "fused": True}),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(StageLog(trainer, log, on_step))
        try:
            trainer.train()
        except torch.OutOfMemoryError as error:
            raise StageError(f"out of memory; halve recipe.micro_batch_size (now {recipe.micro_batch_size})") from error
    return trainer


def _arguments(recipe: Recipe, *, seed: int, examples: int, scratch: str) -> TrainingArguments:
    micro = micro_batch(recipe.batch_size, recipe.micro_batch_size)
    steps = -(-examples // recipe.batch_size)
    return TrainingArguments(
        output_dir=scratch,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=recipe.batch_size // micro,
        num_train_epochs=1,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule if recipe.schedule != "constant" else "constant_with_warmup",
        warmup_steps=round(recipe.warmup_fraction * steps),
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        seed=seed,
        report_to=list(recipe.report_to) or "none",
        save_strategy="no",
        logging_steps=1,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        activation_checkpointing=recipe.gradient_checkpointing,
    )


def _trainable(parent: LoadedModel, recipe: Recipe) -> LoadedModel:
    if recipe.method == "full":
        merged = merge_adapter(parent)
        merged.model.requires_grad_(True)
        return merged
    if parent.has_adapter and _same_shape(parent, recipe):
        return parent
    merged = merge_adapter(parent)
    return LoadedModel(get_peft_model(merged.model, _lora(recipe)), merged.tokenizer, merged.precision)


def _lora(recipe: Recipe) -> LoraConfig:
    targets = recipe.lora_targets
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
    )


def _same_shape(parent: LoadedModel, recipe: Recipe) -> bool:
    config = parent.model.peft_config["default"]
    return bool(config.r == recipe.lora_rank and config.lora_alpha == recipe.lora_alpha)


@contextmanager
def _attention(loaded: LoadedModel) -> Iterator[None]:
    model = loaded.model.get_base_model() if loaded.has_adapter else loaded.model
    before = model.config._attn_implementation
    if loaded.device.type == "cpu":
        model.set_attn_implementation(_CPU_ATTENTION)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
