"""A function of the user's as a scorer, `FILE.py:function`: run only where that was said, keyed by its file's text."""

import ast
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.abc import InspectLoader
from importlib.util import module_from_spec, spec_from_loader
from numbers import Real
from typing import Any

from pydantic import ConfigDict

from chaintune.config.validation import Spec
from chaintune.errors import ConfigError, DataError, nearest, number_of
from chaintune.files.rows import kind
from chaintune.records import Example, ScorerRef, canonical_digest
from chaintune.records.generation import function_of
from chaintune.scoring.scorers.references import right_answers
from chaintune.scoring.scorers.scorer import Scorer, Verdict

# What a mapping that stands for a verdict may hold.
_KEYS = ("score", "outcome", "evidence", "answer", "missing_reason")
_GIVES = "a function (texts, examples) gives a list: of each text a number from 0 to 1, None, or a mapping with 'score'"


class FunctionSpec(Spec):
    """Arguments of the function's own, by name."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)


def function_scorer(ref: ScorerRef) -> Scorer:
    """The scorer that a function is; its code runs when it judges, and not before.

    Args:
        ref: with the text of the file.

    Raises:
        ConfigError: the file is no Python, holds no such function, or one that takes other arguments.
    """
    file, name = function_of(ref.name)
    _check_arguments(ref)

    # A closure, since the key of scores holds the code of the module that a scorer's `judge` is of.
    def judge(examples: Sequence[Example], texts: Sequence[str], settings: FunctionSpec) -> list[Verdict]:
        check_runs(ref)
        plain = [as_plain(example) for example in examples]
        judged = _called(_loaded(file, ref.source, name), ref, texts, plain, settings)
        return [_verdict(one, example, ref) for one, example in zip(judged, examples, strict=True)]

    return Scorer(
        name=name,
        settings=FunctionSpec,
        judge=judge,
        limits="Tells what the function tells, and nothing else.",
        version=canonical_digest([name, ref.source]),
    )


def check_runs(ref: ScorerRef, where: str = "") -> None:
    """Refuse to run a function of which nobody said that it may run.

    Args:
        ref: of any scorer.
        where: the beginning of an error sentence.

    Raises:
        ConfigError: nobody did.
    """
    if function_of(ref.name)[1] and not ref.trusted:
        raise ConfigError(
            f"{where}scorer '{ref.name}' is Python code, which may do anything; where you trust it, "
            "--trust-remote-code lets it run, and in Python ScorerRef(..., trusted=True)"
        )


def as_plain(example: Example) -> dict[str, Any]:
    """An example as a function gets it: data that JSON can hold, its right answers among them."""
    content = example.content()
    return {
        name: content.get(name, default)
        for name, default in (("id", ""), ("prompt", ""), ("groups", {}), ("cluster", ""), ("pair", ""), ("extra", {}))
    } | {"answers": list(right_answers(example)), "target": content.get("target")}


def _check_arguments(ref: ScorerRef) -> None:
    """Look at the text of the file, without running it."""
    file, name = function_of(ref.name)
    try:
        tree = ast.parse(ref.source, file)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise ConfigError(f"{file}{f':{line}' if line else ''}: no Python, {error}") from error
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if name not in functions:
        has = nearest(name, functions) if functions else "it has none"
        raise ConfigError(f"{file}: has no function '{name}'; {has}")
    arguments = functions[name].args
    where = f"{file}:{functions[name].lineno}"
    given = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
    if len(given) < 2 and not arguments.vararg:
        raise ConfigError(f"{where}: '{name}' takes {number_of(len(given), 'argument')}; {_GIVES}")
    own = [*given[2:], *(one.arg for one in arguments.kwonlyargs)]
    for setting in ref.settings:
        if setting not in own and not arguments.kwarg:
            has = nearest(setting, own) if own else "it has none of its own"
            raise ConfigError(f"{where}: '{name}' has no argument '{setting}'; {has}")


class _Text(InspectLoader):
    """Runs a module whose text is at hand, wherever it was read."""

    def __init__(self, file: str, text: str) -> None:
        self.file, self.text = file, text

    def get_source(self, fullname: str) -> str:  # noqa: ARG002 - what the class that is extended hands over
        return self.text

    def get_code(self, fullname: str) -> Any:
        return self.source_to_code(self.get_source(fullname), self.file)


@cache
def _loaded(file: str, source: str, name: str) -> Callable[..., Any]:
    """The function, of a module that nothing else imports."""
    spec = spec_from_loader(f"chaintune_scorer_{canonical_digest(source)[:16]}", _Text(file, source))
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - there is a loader
    module = module_from_spec(spec)
    module.__file__ = file
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"{_line_of(error, file)}: cannot be run, {_told(error)}") from error
    function: Callable[..., Any] = getattr(module, name)
    return function


def _called(
    function: Callable[..., Any],
    ref: ScorerRef,
    texts: Sequence[str],
    examples: Sequence[Mapping[str, Any]],
    settings: FunctionSpec,
) -> list[Any]:
    file, name = function_of(ref.name)
    try:
        judged = function(list(texts), list(examples), **settings.model_dump())
        several = None if judged is None or isinstance(judged, str | bytes | Mapping) else list(judged)
    except Exception as error:
        raise DataError(f"{_line_of(error, file)}: '{name}' cannot judge, {_told(error)}") from error
    where = f"{file}:{function.__code__.co_firstlineno}" if hasattr(function, "__code__") else file
    if several is None:
        raise DataError(f"{where}: '{name}' gives {kind(judged)}; {_GIVES}")
    if len(several) != len(texts):
        raise DataError(f"{where}: '{name}' gives {len(several)} verdicts of {number_of(len(texts), 'text')}; {_GIVES}")
    return several


def _verdict(given: Any, example: Example, ref: ScorerRef) -> Verdict:
    file, name = function_of(ref.name)
    what = f"{file}: '{name}', example '{example.id}'"
    about = given if isinstance(given, Mapping) else {"score": given}
    for key in about:
        if key not in _KEYS:
            raise DataError(f"{what}: gives '{key}'; {nearest(key, _KEYS)}")
    score = about.get("score")
    if score is not None and (not isinstance(score, Real) or not 0 <= float(score) <= 1):
        number = f"{score!r}" if isinstance(score, Real) and math.isfinite(score) else kind(score)
        raise DataError(f"{what}: score {number}, expected a number from 0 to 1, or None")
    text = {key: None if (value := about.get(key)) is None else str(value) for key in _KEYS[1:]}
    missing = text["missing_reason"] or f"'{name}' gives none"
    return Verdict(
        None if score is None else float(score),
        text["outcome"] or "",
        text["evidence"] or "",
        missing if score is None else None,
        text["answer"],
    )


def _line_of(error: BaseException, file: str) -> str:
    """The file, and the innermost line of it where an error was raised."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{file}:{lines[-1]}" if lines else file


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
