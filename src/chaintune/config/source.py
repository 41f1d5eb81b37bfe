"""The text of a study file: plain data, and the line where each key stands."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from chaintune.errors import ConfigError

KeyPath = tuple[str | int, ...]

_MOST_KEYS = 20_000
_MOST_BYTES = 1_000_000
_MOST_PROBLEMS = 50
_LONGEST_SENTENCE = 800
# Python refuses to print longer ones.
_LONGEST_NUMBER = 1_000
# What PyYAML's safe constructors let through where a value does not fit its explicit tag.
_UNFIT = (LookupError, AttributeError, TypeError, OverflowError)
_STUDY = "a study file: a mapping with 'base', 'tasks' and 'chains'"
# A column's name in braces.
_TEMPLATE = re.compile(r"\{[^{}:,]+\}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a study file, and where."""

    where: str
    line: int
    path: KeyPath
    sentence: str

    def __str__(self) -> str:
        key = _cut(dotted(self.path))
        return _on_one_line(": ".join(filter(None, (self.where, key, _cut(self.sentence)))))


@dataclass(slots=True)
class Source:
    """Plain data with the place of each key, and the problems so far.

    Attributes:
        name: what to call it in messages, the file's path.
        data: what was written, as dicts, lists and scalars.
        places: key path -> line of the file, or the text of the override that set it.
        folder: relative paths in the data start here.
    """

    name: str
    data: dict[str, Any]
    places: dict[KeyPath, int | str] = field(default_factory=dict)
    folder: Path = field(default_factory=Path)
    problems: list[Problem] = field(default_factory=list)

    def report(self, path: Iterable[str | int], sentence: str) -> None:
        """Note a problem at a key path, or at its nearest ancestor that has a place."""
        path = tuple(path)
        known = next((path[:n] for n in range(len(path), -1, -1) if path[:n] in self.places), ())
        place = self.places.get(known, 0)
        where = place if isinstance(place, str) else f"{self.name}:{place}" if place else self.name
        line = place if isinstance(place, int) else 10**9
        if not any(other.path == path for other in self.problems):
            self.problems.append(Problem(where, line, path, sentence))
        if len(self.problems) >= _MOST_PROBLEMS:
            self.stop_if_wrong()

    def stop_if_wrong(self) -> None:
        """Raise one error that lists every problem in the order of the file.

        Raises:
            ConfigError: there is at least one problem.
        """
        problems = sorted(self.problems, key=lambda problem: problem.line)
        if len(problems) == 1:
            raise ConfigError(str(problems[0]))
        if problems:
            many = "" if len(problems) < _MOST_PROBLEMS else " or more"
            raise ConfigError(f"{self.name}: {len(problems)}{many} problems\n  " + "\n  ".join(map(str, problems)))


def dotted(path: Sequence[str | int]) -> str:
    """A key path as it is written in messages: `vary.seed[1]`.

    Example:
        >>> dotted(("mitigations", 0, "replay", "dose", 2))
        'mitigations[0].replay.dose[2]'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _cut(text: str) -> str:
    """Text without its middle where it is absurdly long: what is wrong stands before it, what to do behind it."""
    half = _LONGEST_SENTENCE // 2
    return text if len(text) <= _LONGEST_SENTENCE else f"{text[:half]} ... {text[-half:]}"


def _on_one_line(text: str) -> str:
    """Text with unprintable characters escaped: keys of a file may hold any."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def read_source(path: Path, *, expected: str = _STUDY) -> Source:
    """Plain data and places of a YAML file, read by the safe loader only.

    Raises:
        ConfigError: there is no such file, or it is no YAML mapping.
    """
    kind = expected.partition(":")[0].removeprefix("a ")
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        text = content.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the {kind} ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: the {kind} is not UTF-8 text (byte {error.start})") from error
    except ValueError as error:  # a path that no system knows
        raise ConfigError(f"{str(path)!r}: cannot read the {kind} ({error})") from error
    if len(content) > _MOST_BYTES:
        raise ConfigError(f"{path}: more than {_MOST_BYTES:,} bytes, too many for a {kind}; name another file")
    return parse_source(text, str(path), folder=path.parent, expected=expected)


def parse_source(text: str, name: str, *, folder: Path, expected: str = _STUDY) -> Source:
    """Plain data and places of YAML text, whose relative paths start in `folder`; duplicate keys are noted as problems.

    Raises:
        ConfigError: the text is no YAML, or no mapping at the top.
    """
    source = Source(name, {}, folder=folder)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        _mark(node, (), source)
        data = loader.construct_document(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{name}:{line}: not YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{name}: not YAML: {_first_line(error)}") from error
    except _UNFIT as error:
        raise ConfigError(f"{name}: not YAML: a value does not fit its tag, as in '!!bool x'") from error
    except RecursionError:
        many = f"has more than {_MOST_KEYS:,} keys and values, too many"
        cause = many if len(source.places) > _MOST_KEYS else "nested too deeply"
        raise ConfigError(f"{name}: {cause} to be {expected.partition(':')[0]}") from None
    if not isinstance(data, dict):
        got = "nothing" if data is None else f"a {type(data).__name__}"
        raise ConfigError(f"{name}: expected {expected.partition(': ')[2]} at the top, got {got}")
    source.data = data
    return source


def apply_override(source: Source, text: str) -> None:
    """Set one dotted key to one YAML value: `recipe.learning_rate=2e-5`, `vary.recipe.method=[full, lora]`."""
    key, equals, value_text = text.partition("=")
    place = f"--set {text}"
    parts = [part.strip() for part in key.split(".")]
    if parts[0] == "vary" and len(parts) > 1:
        parts = [parts[0], ".".join(parts[1:])]  # the knobs of `vary` are dotted names themselves
    if not equals or not all(parts):
        source.places[(place,)] = place
        source.problems.append(Problem(place, 10**9, (), "expected key=value with a dotted key"))
        return
    try:
        loader = yaml.SafeLoader(value_text)
        node = loader.get_single_node()
        if parts[0] != "tasks" or len(parts) > 1:  # tasks alone may be a mapping of names to nothing
            node = _with_templates(node, value_text)
        value = loader.construct_document(node) if node is not None else None
    except (yaml.YAMLError, ValueError, RecursionError, *_UNFIT):
        if not _TEMPLATE.search(value_text):
            source.problems.append(Problem(place, 10**9, tuple(parts), f"the value {value_text!r} is not YAML"))
            return
        value = value_text
    _set(source, parts, value, place)


def _with_templates(node: yaml.Node | None, text: str) -> yaml.Node | None:
    """The node with each template that YAML takes for a mapping to nothing, `{user}` or `Question: {user}`, as text."""
    if isinstance(node, yaml.MappingNode):
        values = [_with_templates(value, text) for _, value in node.value]
        inside = any(value is not own for value, (_, own) in zip(values, node.value, strict=True))
        written = text[node.start_mark.index : node.end_mark.index].strip()
        if any(map(_is_nothing, values)) or (inside and not written.startswith("{")):
            return yaml.ScalarNode("tag:yaml.org,2002:str", written, node.start_mark, node.end_mark)
        node.value = [(key, value) for (key, _), value in zip(node.value, values, strict=True)]
    elif isinstance(node, yaml.SequenceNode):
        node.value = [_with_templates(item, text) for item in node.value]
    return node


def _is_nothing(node: yaml.Node | None) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.value and node.tag == "tag:yaml.org,2002:null"


def _set(source: Source, parts: list[str], value: Any, place: str) -> None:
    """Put a value at a key path, making the mappings on the way; its place is the override."""
    here: Any = source.data
    for depth, part in enumerate(parts[:-1]):
        inner = here.get(part)
        if inner is None:
            inner = here[part] = {}
            source.places[tuple(parts[: depth + 1])] = place
        if not isinstance(inner, dict):
            source.problems.append(
                Problem(place, 10**9, tuple(parts), f"'{dotted(parts[: depth + 1])}' is not a mapping, it has no keys")
            )
            return
        here = inner
    here[parts[-1]] = value
    path = tuple(parts)
    source.places = {old: line for old, line in source.places.items() if old[: len(path)] != path} | {path: place}


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _mark(node: yaml.Node | None, path: KeyPath, source: Source) -> None:
    """Note the line of every key under a node, and every key that is written twice."""
    if node is None:
        return
    if len(source.places) > _MOST_KEYS:
        raise RecursionError  # aliases that contain each other, or a file that is no study
    if node.tag == "tag:yaml.org,2002:int" and len(node.value) > _LONGEST_NUMBER:
        raise ValueError(f"line {node.start_mark.line + 1} has a number of {len(node.value):,} digits")
    source.places.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _mark(item, (*path, index), source)
    elif isinstance(node, yaml.MappingNode):
        _mark_mapping(node, path, source)


def _mark_mapping(node: yaml.MappingNode, path: KeyPath, source: Source) -> None:
    first_lines: dict[str, int] = {}
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in first_lines and isinstance(key, yaml.ScalarNode) and name != "<<":
            sentence = f"the key is written twice, first on line {first_lines[name]}; remove one"
            source.problems.append(Problem(f"{source.name}:{line}", line, (*path, name), sentence))
        first_lines.setdefault(name, line)
        source.places[(*path, name)] = line
        _mark(value, (*path, name), source)


def plain_mapping(value: Mapping[str, Any], name: str) -> Source:
    """A source of data that no file holds. The data is copied.

    Raises:
        ConfigError: it is no mapping, or contains itself.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name}: expected {_STUDY.partition(': ')[2]}, got {type(value).__name__}")
    try:
        return Source(name, as_plain(value))
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply to be {_STUDY.partition(':')[0]}") from None


def as_plain(value: Any) -> Any:
    """A copy as YAML knows it: mappings as dicts, tuples, ranges and arrays as lists, paths as text."""
    if isinstance(value, Mapping):
        return {key: as_plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | range):
        return [as_plain(inner) for inner in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.tolist() if hasattr(value, "tolist") else value
