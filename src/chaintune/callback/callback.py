"""What a model forgets while it trains, seen from inside a `transformers.Trainer` or any Trainer of TRL."""

import logging
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
import torch.distributed as dist
from accelerate.utils import extract_model_from_parallel
from transformers import Trainer, TrainerCallback

from chaintune import tasks as known_tasks
from chaintune.callback.live import EncodedTask, encode_task, score_live
from chaintune.callback.series import Groups, curves, start_numbers, warnings
from chaintune.callback.sharding import check_can_watch, save_whole
from chaintune.callback.step_scores import check_same, scores_by_task, step_folder, write_step_scores
from chaintune.errors import ConfigError, DataError, ModelError, nearest
from chaintune.files.atomic import fresh_folder
from chaintune.forgetting.options import Inference
from chaintune.gate import Policy, judge, read_policy
from chaintune.logs.compare import compare_sides
from chaintune.logs.options import CompareOptions, names_of
from chaintune.logs.sides import read_sides
from chaintune.models.processes import Rank
from chaintune.records import Comparison, Gate, Scores, Task
from chaintune.records.audit import UNUSED, template_unused
from chaintune.records.crossing import parts_of
from chaintune.study.suite import TASK_FILES
from chaintune.study.task_spec import tasks_from_options
from chaintune.tasks.chat import RUN_MODES, RunMode, asked

_LOG = logging.getLogger(__name__)
_FOLDER = "forgetting"


class ForgettingCallback(TrainerCallback):
    """Scores the live model before the first step, every N steps and at the end, and logs what it forgot since.

    Use as `watch = ForgettingCallback(["bbq"], by=["category"]).attach(trainer)` before `trainer.train()`. The numbers
    go where the Trainer's own go. Training is not changed: it ends with the same weights, bit for bit, unless `stop`
    ends it early.

    Args:
        tasks: a task or its name, or several, or the path of a file with the `tasks` of a study file; their test
            examples are scored. Where texts are written, that takes as long as writing them does, so take a sample by
            `test`.
        every: optimizer steps from one scoring to the next.
        by: dimensions whose groups are compared.
        test: how many examples of tasks that are named: None for all, a number, or `40 per category`.
        chat: `on` asks in the model's chat template, `off` as plain text, `auto` as the task's data suggest; `both` in
            both ways, the other one as a task named `TASK-chat` or `TASK-raw`.
        policy: budgets of forgetting, or the path of a policy file.
        stop: end the training when a blocking budget of the policy fails. The policy's error rate is shared by all
            looks that the training's steps and `every` make, so that many looks stop no more often wrongly than one.
        keep_best: keep in `out/best` the latest model that passes every blocking budget, at the same error rate.
        before: score files, or a folder of them, to compare the model with instead of its own start.
        out: folder for score files; None is `forgetting` in the Trainer's output folder.
        tokenizer: of the model; None is the Trainer's.
        worst: groups of each dimension that are logged, those that forgot most.
        level, margin, resamples: see `chaintune.compare`.
        batch_tokens: tokens that go through the model together; None is what suits the device.

    Attributes:
        scores_before, scores_after: by task, of the start and of the last scoring.
        comparisons: by task, of the last scoring; in the first process only, where there are several.
        gate: what the policy says of them; None without one.
        kept_step: of the model in `out/best`; None when none passed.
    """

    def __init__(
        self,
        tasks: Task | str | Path | Sequence[Task | str],
        *,
        every: int = 100,
        by: str | Sequence[str] = (),
        test: known_tasks.Size = None,
        chat: RunMode = "auto",
        policy: Policy | Path | str | None = None,
        stop: bool = False,
        keep_best: bool = False,
        before: Sequence[Scores] | Path | str | None = None,
        out: Path | str | None = None,
        tokenizer: Any = None,
        worst: int = 3,
        level: float = 0.95,
        margin: float | str = 0.02,
        resamples: int = 10_000,
        batch_tokens: int | None = None,
    ) -> None:
        for name, value, least in (("every", every, 1), ("worst", worst, 0), ("batch_tokens", batch_tokens, 1)):
            if not (value is None and name == "batch_tokens") and (type(value) is not int or value < least):
                raise ConfigError(f"{name}={value!r}: expected a whole number, at least {least}")
        for name, path in (("policy", policy), ("out", out)):
            if not isinstance(path, Policy | Path | str | None):
                raise ConfigError(f"{name}={path!r}: expected a path")
        if (stop or keep_best) and policy is None:
            raise ConfigError("stop and keep_best need a policy; name one as policy=, such as 'policy.yaml'")
        self._every, self._worst, self._batch_tokens = every, worst, batch_tokens
        self._policy = read_policy(Path(policy)) if isinstance(policy, Path | str) else policy
        self._by = list(dict.fromkeys([*names_of("by", by), *(self._policy.dimensions if self._policy else ())]))
        inference = Inference(level=level, margin=margin, resamples=resamples)
        self._options = CompareOptions(also_by=tuple(self._by), inference=inference)
        self._stop, self._keep_best = stop, keep_best
        if chat not in RUN_MODES:
            raise ConfigError(f"chat={chat!r}: {nearest(str(chat), RUN_MODES)}")
        self._tasks = _loaded(tasks, test, chat, self._by)
        self._before = {} if before is None else scores_by_task(before)
        self._out, self._tokenizer = Path(out) if out else None, tokenizer
        self._encoded: list[EncodedTask] = []
        self._trainer: Any = None
        self._followed: Groups = set()
        self._warned: set[tuple[str, str]] = set()
        self._last_step, self._looks, self._planned = -1, 0, 1
        self.scores_before: dict[str, Scores] = {}
        self.scores_after: dict[str, Scores] = {}
        self.comparisons: dict[str, Comparison] = {}
        self.gate: Gate | None = None
        self.kept_step: int | None = None

    def attach(self, trainer: Any) -> Self:
        """This callback, put into a Trainer that is not training yet.

        Raises:
            ConfigError: the Trainer has no tokenizer, or spreads its weights over processes otherwise than by FSDP2; a
                budget is in another unit than the scores of its task.
            DataError: an example is longer than the model's context.
            ModelError: the model is no causal language model, or has no chat template where one has to render.
        """
        check_can_watch(trainer)
        model = _bare(trainer.model)
        if getattr(model, "get_output_embeddings", lambda: None)() is None:
            raise ModelError(f"{type(model).__name__} has no output layer over a vocabulary, so it cannot be scored")
        tokenizer = self._tokenizer or trainer.processing_class
        tokenizer = getattr(tokenizer, "tokenizer", tokenizer)
        if tokenizer is None:
            raise ConfigError("the Trainer has no tokenizer; give it one as processing_class=, or the callback one")
        context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self._encoded = [encode_task(task, tokenizer, context) for task in self._tasks]
        if unused := [task.name for task in self._encoded if task.about.get("chat") == UNUSED]:
            _LOG.warning("%s", template_unused(unused))
        for one in self._encoded:
            if self._policy:
                self._policy.check_unit(one.name, one.metric.name, one.metric.unit)
        self._trainer = trainer
        trainer.add_callback(self)
        return self

    @property
    def comparison(self) -> Comparison:
        """The comparison of the last scoring, of the first task where several are watched; `comparisons` has all.

        Raises:
            DataError: nothing was compared yet.
        """
        if not self.comparisons:
            raise DataError("comparison: nothing was compared yet; read it after training has scored the model again")
        first, *others = self.comparisons
        if others:
            _LOG.warning("comparison is of '%s'; those of %s are in comparisons", first, ", ".join(others))
        return self.comparisons[first]

    def write(self, folder: Path | str) -> None:
        """Write the score files of the start and of the last scoring, for `chaintune compare`."""
        for name, scores in (("before", self.scores_before), ("after", self.scores_after)):
            write_step_scores(Path(folder) / name, scores)

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Score the model that training starts from, or read the scores of its first start.

        Raises:
            ConfigError: the callback was not attached to the Trainer.
        """
        if self._trainer is None:
            raise ConfigError(
                "ForgettingCallback cannot reach the Trainer's log from `callbacks=[...]`; call "
                "ForgettingCallback(...).attach(trainer) before trainer.train()"
            )
        self._last_step, self.kept_step, started = state.global_step, None, time.monotonic()
        # Of a training that is resumed too, so that all its parts spend one error rate.
        self._looks, self._planned = state.global_step // self._every, math.ceil(state.max_steps / self._every)
        leads = state.is_world_process_zero
        if leads and not state.global_step:
            # A model that an earlier run kept here is not one of this run.
            shutil.rmtree(self._folder / "best", ignore_errors=True)
        self.scores_before = self.scores_after = self._start(state.global_step, leads=leads)
        if leads:
            numbers = [start_numbers(one, self._options.inference) for one in self.scores_before.values()]
            self._log({name: value for own in numbers for name, value in own.items()}, started)

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Score every N steps, and after the last one."""
        if state.global_step % self._every == 0 or control.should_training_stop:
            self._look(state, control)

    def on_epoch_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Score where another callback ends the training."""
        if control.should_training_stop:
            self._look(state, control)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Score a last step that was not foreseen, unless the Trainer has put an earlier model back."""
        if not (args.load_best_model_at_end and state.best_model_checkpoint):
            self._look(state, control)

    def _look(self, state: Any, control: Any) -> None:
        """Score, compare with the start, log, and do as the policy says; once a step at most."""
        if state.global_step == self._last_step:
            return
        self._last_step, started = state.global_step, time.monotonic()
        self._looks += 1
        self.scores_after = self._scored(state.global_step)
        if state.is_world_process_zero:
            self._compare()
            self._log(self._numbers(), started)
        answer = self.gate.answer if self.gate else ""
        decision = self._agreed(stop=self._stop and answer == "fail", keep=self._keep_best and answer == "pass")
        if decision["keep"]:
            self._keep(state)
        if decision["stop"]:
            _LOG.warning("training stops at step %d: a budget of forgetting is exceeded", state.global_step)
            control.should_training_stop = True

    def _start(self, step: int, *, leads: bool) -> dict[str, Scores]:
        """The scores to compare with: those of `before`, of an earlier run that is resumed, or of now."""
        first = step_folder(self._folder, 0)
        scores = self._before or (scores_by_task(first) if step and leads and first.is_dir() else {})
        # The first process alone may see the files.
        if self._agreed(has_scores=bool(scores))["has_scores"]:
            if leads:
                check_same(scores, self._encoded)
            return scores
        if step:
            _LOG.warning("%s holds no scores of the start; forgetting is counted from step %d", first, step)
        scores = self._scored(step)
        broken = [task.name for task in self._encoded if task.name not in scores]
        if broken:
            raise ModelError(f"what the model says on {broken[0]} is no number; its weights are broken")
        return scores

    def _scored(self, step: int) -> dict[str, Scores]:
        model, by_task = _bare(self._trainer.model), {}
        for task in self._encoded:
            scores = score_live(model, task, batch_tokens=self._batch_tokens, step=str(step))
            if scores is None:
                _LOG.warning("step %d: what the model says on %s is no number", step, task.name)
            else:
                by_task[task.name] = scores
        if self._trainer.is_world_process_zero():
            write_step_scores(step_folder(self._folder, step), by_task)
        return by_task

    def _compare(self) -> None:
        names = [name for name in self.scores_after if name in self.scores_before]
        sides = [[scores[name] for name in names] for scores in (self.scores_before, self.scores_after)]
        comparisons = compare_sides(read_sides(sides[0], sides[1], self._options), self._options) if names else []
        self.comparisons = {comparison.task: comparison for comparison in comparisons}
        looks = max(self._planned, self._looks)
        self.gate = judge(self._policy, comparisons, looks=looks) if self._policy else None
        for comparison in comparisons:
            for kind, text in warnings(comparison):
                if (comparison.task, kind) not in self._warned:
                    self._warned.add((comparison.task, kind))
                    _LOG.warning("step %d: %s", self._last_step, text)

    def _numbers(self) -> dict[str, float]:
        numbers: dict[str, float] = {}
        for comparison in self.comparisons.values():
            numbers |= curves(comparison, worst=self._worst, followed=self._followed)
        if self.gate:
            numbers |= {f"gate/{answer}": float(self.gate.answer == answer) for answer in ("pass", "fail")}
        return numbers

    def _log(self, numbers: dict[str, float], started: float) -> None:
        """Hand numbers to whatever the Trainer reports to."""
        control = self._trainer.control
        should_log = control.should_log
        # Not the Trainer's own `log`: TRL's empties what it has gathered for its next line into ours.
        Trainer.log(self._trainer, {**numbers, "forgetting/seconds": time.monotonic() - started})
        # Logging to the trackers clears the flag that the Trainer still has its own line to log at this step.
        control.should_log = should_log

    def _keep(self, state: Any) -> None:
        self.kept_step, leads = state.global_step, state.is_world_process_zero
        best, partial = self._folder / "best", self._folder / "best.partial"
        if leads:
            fresh_folder(partial)
        save_whole(_bare(self._trainer.model), partial, leads=leads)
        if not leads:
            return
        if self._trainer.processing_class is not None:
            self._trainer.processing_class.save_pretrained(partial)
        shutil.rmtree(best, ignore_errors=True)
        partial.rename(best)

    @property
    def _folder(self) -> Path:
        return self._out or Path(self._trainer.args.output_dir) / _FOLDER

    def _agreed(self, **flags: bool) -> Mapping[str, bool]:
        """The flags of the first process, so that all do the same."""
        if Rank.here().ranks == 1:
            return flags
        first = torch.tensor(list(flags.values()), dtype=torch.int32, device=_bare(self._trainer.model).device)
        dist.broadcast(first, 0)
        return dict(zip(flags, map(bool, first.tolist()), strict=True))


def _loaded(
    tasks: Task | str | Path | Sequence[Task | str], test: known_tasks.Size, chat: RunMode, by: Sequence[str]
) -> list[Task]:
    """The tasks, as they are asked, with their test examples only."""
    if isinstance(tasks, Path) or (isinstance(tasks, str) and tasks.endswith(TASK_FILES)):
        sizes = [] if test is None else [str(test)]
        tasks, test, chat = tasks_from_options((), suite=str(tasks), sizes=sizes, chat=chat), None, "auto"
    several = [tasks] if isinstance(tasks, Task | str) else tasks
    if not isinstance(several, list | tuple) or not all(isinstance(task, Task | str) for task in several):
        raise ConfigError(f"tasks={tasks!r}: expected a task or the name of a known one, or a list of these")
    named = [known_tasks.load(task, test=test) if isinstance(task, str) else task for task in several]
    loaded = [way for task in named for way in asked(task, chat)]
    if not loaded:
        raise ConfigError("tasks: expected at least one task")
    names = [task.name for task in loaded]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise ConfigError(f"tasks: '{twice}' is watched twice; name each task once")
    dimensions = {dimension for task in loaded for example in task.test for dimension in example.groups}
    for dimension in (part for name in by for part in parts_of(name)):
        if dimension not in dimensions:
            raise ConfigError(f"by: no example has a group on '{dimension}'; {nearest(dimension, dimensions)}")
    return [replace(task, train=()) for task in loaded]


def _bare(model: Any) -> Any:
    """The model under what accelerate and DDP wrap around it."""
    return extract_model_from_parallel(model, keep_fp32_wrapper=True, keep_torch_compile=False)
