"""One stage: a parent in memory and examples in; the same model, tuned, out."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from transformers import PrinterCallback, TrainingArguments

from chaintune.errors import DataError, StageError
from chaintune.models.loading import LoadedModel
from chaintune.models.memory import OutOfMemoryError, free_memory, unless_out_of_memory
from chaintune.models.precision import default_device
from chaintune.models.token_tree import size
from chaintune.models.tree_attention import takes_trees
from chaintune.models.undisturbed import seeded
from chaintune.records import Example, Recipe
from chaintune.tuning.memory import smaller_micro_batch, too_little
from chaintune.tuning.objectives import Objective, Tokenized, objective_of, protecting, targets_of, with_objective
from chaintune.tuning.optimizer import MasterAdamW, Step
from chaintune.tuning.order import training_order
from chaintune.tuning.regularised import Regularised, apply
from chaintune.tuning.sharding import check_can_shard, sharded
from chaintune.tuning.shared_prefixes import pays
from chaintune.tuning.step_rank import StepRank
from chaintune.tuning.tokenized import OrderedExamples, all_tokens, longest_tokens, prepared, tokenized
from chaintune.tuning.trainable import trainable
from chaintune.tuning.trainer import StageLog, StageTrainer

# On a CPU the short sequences of multiple-choice tasks are attended to faster by plain matrix products
# than by the fused kernel, whose backward pass in bf16 is slow; benchmarks/training.py shows both.
_CPU_ATTENTION = "eager"
# Four short sequences and what the backward pass needs of them still fit a core's cache; a GPU wants more at once.
_CPU_MICRO_BATCH, _GPU_MICRO_BATCH = 4, 16
# Examples that share their beginnings pad nothing, and there is more to share among many.
_SHARING_FACTOR = 4
# Where a CPU's memory is short the system kills the process, and nothing is left to be retried: steps of 16 long pairs
# took a 135M model 8.8 GB in one tree, and take 6.3 GB in trees of this size, in no more time.
_CPU_TOKENS = 2_048
_SEEDS_APART = 1_000_003


@dataclass(frozen=True, slots=True)
class Tuned:
    """The result of a stage.

    Attributes:
        loaded: the tuned model; the parent's own weights were changed.
        steps: optimizer steps.
        train_tokens: tokens read, padding not counted.
        seconds: wall time of the training loop.
        first_loss, final_loss: the objective's mean loss over the first and last tenth of the steps; of SFT in nats a
            token.
        micro_batch_size: examples a forward pass; fewer than the recipe's after out-of-memory errors.
    """

    loaded: LoadedModel
    steps: int
    train_tokens: int
    seconds: float
    first_loss: float
    final_loss: float
    micro_batch_size: int


@dataclass(frozen=True, slots=True)
class _Stage:
    """A stage ready to be trained.

    Attributes:
        data: tokenized, in training order.
        protected: tokenized, of the task that must not be lost.
        protection: by whose loss a regulariser looks at them.
        objective: whose loss is minimised.
        recipe, seed, log, on_step, report_to: as `tune` takes them.
    """

    data: OrderedExamples
    protected: Sequence[Tokenized]
    protection: Objective
    objective: Objective
    recipe: Recipe
    seed: int
    log: Path
    on_step: Callable[[Step], None]
    report_to: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Batching:
    """How the examples of a step are computed together.

    Attributes:
        sharing: whether the examples of a micro-batch are computed as a tree.
        micro_batch_size: how many they are.
        share: of this process.
        fsdp: whether FSDP shards weights, gradients and optimizer over the processes.
    """

    sharing: bool
    micro_batch_size: int
    share: StepRank
    fsdp: bool


def tune(
    parent: LoadedModel,
    examples: Sequence[Example],
    *,
    task: str,
    recipe: Recipe,
    seed: int,
    log: Path,
    replayed: Sequence[Example] = (),
    protected: Sequence[Example] = (),
    on_step: Callable[[Step], None] = lambda _: None,
    reload: Callable[[], LoadedModel] | None = None,
    fsdp: bool = False,
    report_to: Sequence[str] = (),
) -> Tuned:
    """Train one stage with a fresh optimizer and schedule.

    The same parent, examples (in any order), recipe and seed give the same weights on the same machine.
    An adapter of the parent is trained on if the recipe asks for LoRA of the same shape, else it is
    folded into the weights first.

    Out of memory, the stage is retried from its parent with half the micro-batch and the same batch size: it ends as
    if the recipe had asked for that micro-batch.

    Where torch.distributed runs, all its processes have to call this alike: they train one model together, each on its
    share of every step. All end with the same weights; of a model that was spread over them the first one has them.

    Args:
        parent: changed in place.
        examples: what is taught.
        task: named in errors.
        recipe: how.
        seed: of shuffles, dropout and new adapters.
        log: JSON lines, one a step.
        replayed: of another task, taught in every pass in place of as many examples, evenly spaced.
        protected: of a task that must not be lost, looked at by the recipe's regulariser where it asks for them.
        on_step: called after each step.
        reload: loads the parent once more, as it was; called when out of memory, with the parent's weights gone.
            Without it, and in one of several processes, there is no retry.
        fsdp: whether to shard the weights over the processes, because they do not fit one device. The parent may lie
            in main memory, and be on meta in all processes but the first; the tuned model lies in main memory, and is
            for saving only.
        report_to: trackers, by transformers' names.

    Raises:
        DataError: no example, or one longer than the model's context.
        OutOfMemoryError: in one of several processes.
        StageError: the loss, or a weight after the last step, is not finite; memory does not suffice.
    """
    if not examples:
        raise DataError(f"task '{task}': a stage needs at least one training example, got none")
    recipe = with_objective(recipe, targets_of((*examples, *replayed)), task=task)
    objective = objective_of(recipe)
    if fsdp:
        check_can_shard(recipe.quantize, recipe.regulariser)
    data = [text for part in (examples, replayed) for text in tokenized(parent, _sorted(part), objective, task=task)]
    if not fsdp:  # of what is spread over processes it takes all of them to ask the model
        data = prepared(parent, data, objective)
    order = training_order(
        list(map(all_tokens, data)),
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        seed=seed,
        replayed=len(replayed),
        keep_together=recipe.keep_together,
    )
    protection = protecting(recipe, targets_of(protected), task="the protected task")
    kept = prepared(parent, tokenized(parent, _sorted(protected), protection, task="the protected task"), protection)
    stage = _Stage(OrderedExamples(data, order), kept, protection, objective, recipe, seed, log, on_step, report_to)
    share = StepRank.here()
    while True:
        batching = unless_out_of_memory(partial(_batching, parent, stage, share=share, fsdp=fsdp))
        if batching is None:
            raise too_little(recipe, task=task)
        tuned = unless_out_of_memory(partial(_tune, parent, stage, batching))
        if tuned is not None:
            return tuned
        if share.ranks > 1:
            failed = batching.micro_batch_size
            raise OutOfMemoryError(f"out of memory at micro-batch {failed}", failed)
        can_retry = reload is not None
        smaller = smaller_micro_batch(recipe, batching.micro_batch_size, task=task, can_retry=can_retry)
        stage = replace(stage, recipe=replace(recipe, micro_batch_size=smaller))
        parent.model = None  # never two models in memory
        free_memory()
        parent.model = reload().model if reload else None


def _tune(parent: LoadedModel, stage: _Stage, batching: _Batching) -> Tuned:
    losses: list[float] = []
    recipe = stage.recipe

    def watch(step: Step) -> None:
        losses.append(step.loss)
        stage.on_step(step)

    started = time.monotonic()
    with seeded(stage.seed):
        ready = trainable(parent, recipe)
        with _training_mode(ready):  # what a regulariser reads of the parent it reads as the stage will
            regularised = apply(
                ready,
                recipe.regulariser,
                stage.protected,
                stage.protection,
                taught=(stage.data.examples, stage.objective),
                micro_batch_size=batching.micro_batch_size,
                seed=stage.seed,
            )
            try:
                with sharded(regularised.loaded.model) if batching.fsdp else nullcontext():
                    if batching.fsdp:
                        data = stage.data.replaced(prepared(regularised.loaded, stage.data.examples, stage.objective))
                        stage = replace(stage, data=data)
                    trainer = _train(regularised, stage, batching, watch)
            finally:
                loaded = regularised.remove()
    _check_weights(loaded, trainer.state.global_step)
    tenth = max(1, len(losses) // 10)
    return Tuned(
        loaded=loaded,
        steps=trainer.state.global_step,
        train_tokens=trainer.all_tokens_seen() + regularised.tokens_read(),
        seconds=time.monotonic() - started,
        first_loss=sum(losses[:tenth]) / tenth,
        final_loss=sum(losses[-tenth:]) / tenth,
        micro_batch_size=batching.micro_batch_size,
    )


def _sorted(examples: Sequence[Example]) -> list[Example]:
    return sorted(examples, key=lambda example: example.id)


def _train(
    regularised: Regularised, stage: _Stage, batching: _Batching, on_step: Callable[[Step], None]
) -> StageTrainer:
    recipe, objective, share = stage.recipe, stage.objective, batching.share
    with tempfile.TemporaryDirectory() as scratch:
        alone = share.ranks == 1
        optimizer = {"lr": recipe.learning_rate, "fused": True, "masters": recipe.fp32_masters}
        micro, batch_size = batching.micro_batch_size, recipe.batch_size
        trainer = regularised.trainer(
            model=regularised.loaded.model,
            args=_arguments(stage, batching, scratch),
            train_dataset=stage.data,
            data_collator=objective.collate_tree if batching.sharing else objective.collate,
            objective=objective,
            optimizer_cls_and_kwargs=(MasterAdamW, optimizer),
            share=share,
            batches=None if alone else share.micro_batches(len(stage.data), batch_size=batch_size, micro=micro),
        )
        # Trainer begins every process's randomness at one seed; dropout has to differ from share to share.
        if not alone:
            torch.manual_seed(stage.seed + share.rank * _SEEDS_APART)
        trainer.is_distributed_loading_by_transformers = batching.fsdp  # so that it is not wrapped in DDP
        trainer.remove_callback(PrinterCallback)
        for callback in (*regularised.callbacks, StageLog(trainer, stage.log, on_step)):
            trainer.add_callback(callback)
        trainer.train()
    return trainer


def _batching(parent: LoadedModel, stage: _Stage, *, share: StepRank, fsdp: bool) -> _Batching:
    sharing = _shares(parent, stage, share)
    return _Batching(sharing, _micro_batch(stage, share, sharing=sharing), share, fsdp)


def _shares(loaded: LoadedModel, stage: _Stage, share: StepRank) -> bool:
    """Whether the examples of a micro-batch are computed as a tree; an error where the recipe asks for it in vain."""
    recipe, data, has_trees = stage.recipe, stage.data, stage.objective.collate_tree is not None
    if recipe.share_prefixes and not has_trees:
        raise StageError("the stage's objective has no loss along a tree of tokens; leave share_prefixes out")
    if recipe.share_prefixes is False or not has_trees:
        return False
    if recipe.share_prefixes is None:
        worth = pays(data, micro_batch_size=_micro_batch(stage, share, sharing=True))
        return worth and not recipe.gradient_checkpointing and _takes_trees(loaded, data, share)
    if recipe.gradient_checkpointing:
        raise StageError("share_prefixes and gradient_checkpointing do not go together; leave one of them out")
    if not _takes_trees(loaded, data, share):
        raise StageError(
            f"{type(loaded.model).__name__} cannot attend along a tree of tokens; leave share_prefixes out"
        )
    return True


def _takes_trees(loaded: LoadedModel, data: OrderedExamples, share: StepRank) -> bool:
    """The answer of the first of all processes, as the others may hold no weights yet."""
    longest = max(longest_tokens(data[position]) for position in range(len(data)))
    return share.first_says(share.rank == 0 and takes_trees(loaded.model, longest_tokens=longest), default_device())


def _micro_batch(stage: _Stage, share: StepRank, *, sharing: bool) -> int:
    """Examples a forward pass: the recipe's, or where that says 0 what suits the device and the examples' length."""
    on_cpu = default_device().type == "cpu"
    usual = (_CPU_MICRO_BATCH if on_cpu else _GPU_MICRO_BATCH) * (_SHARING_FACTOR if sharing else 1)
    if on_cpu and not stage.recipe.micro_batch_size:
        read = [stage.data[position].sequences for position in range(len(stage.data))]
        tokens = sum(size(sorted(one)) if sharing else sum(map(len, one)) for one in read)
        usual = min(usual, max(1, _CPU_TOKENS * len(read) // tokens))
    return share.micro_batch(stage.recipe.batch_size, stage.recipe.micro_batch_size or usual)


def _arguments(stage: _Stage, batching: _Batching, scratch: str) -> TrainingArguments:
    recipe = stage.recipe
    share, micro = batching.share, batching.micro_batch_size
    on_cpu = default_device().type == "cpu"
    steps = -(-len(stage.data) // recipe.batch_size)
    arguments = TrainingArguments(
        output_dir=scratch,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=share.accumulation(recipe.batch_size, micro),
        num_train_epochs=1,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule if recipe.schedule != "constant" else "constant_with_warmup",
        warmup_steps=round(recipe.warmup_fraction * steps),
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        seed=stage.seed,
        report_to=list(stage.report_to) or "none",
        save_strategy="no",
        logging_steps=1,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        activation_checkpointing=recipe.gradient_checkpointing,
        use_cpu=on_cpu,
        ddp_backend=None if share.ranks == 1 else "gloo" if on_cpu else "nccl",
        # Everything that is trained is used in every pass; to look for what is not would cost a walk of the graph.
        ddp_find_unused_parameters=False,
    )
    # Trainer would split each batch over all GPUs it sees; the second one serves another process better.
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments


@contextmanager
def _training_mode(loaded: LoadedModel) -> Iterator[None]:
    """Within this context the model attends as suits training; after it nothing of the training is left but weights."""
    model = loaded.model.get_base_model() if loaded.has_adapter else loaded.model
    attention, use_cache = model.config._attn_implementation, getattr(model.config, "use_cache", True)
    if default_device().type == "cpu":
        model.set_attn_implementation(_CPU_ATTENTION)
    try:
        yield
    finally:
        model.set_attn_implementation(attention)
        model.config.use_cache = use_cache
        if model.is_activation_checkpointing:
            model.activation_checkpointing_disable()
            model.disable_input_require_grads()  # which came with it and does not go with it
        loaded.model.eval()


def _check_weights(loaded: LoadedModel, step: int) -> None:
    weights = dict(loaded.model.named_parameters())
    # Of weights that `osf` has put together again none asks for gradients.
    trained = {name: weight for name, weight in weights.items() if weight.requires_grad} or weights
    for name, weight in trained.items():
        if not torch.isfinite(weight).all():
            raise StageError(
                f"the weights became NaN or infinite at the last step, {step} ({name}); "
                "a smaller learning_rate or max_grad_norm usually helps"
            )
