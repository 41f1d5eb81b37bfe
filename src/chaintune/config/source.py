"""The text of a study file: plain data, and the line where each key stands."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from chaintune.errors import ConfigError

KeyPath = tuple[str | int, ...]

_MOST_KEYS = 20_000
# Python refuses to print longer ones.
_LONGEST_NUMBER = 1_000
# What PyYAML's safe constructors let through where a value does not fit its explicit tag.
_UNFIT = (LookupError, AttributeError, TypeError, OverflowError)
_STUDY = "a study file: a mapping with 'base', 'tasks' and 'chains'"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a study file, and where."""

    where: str
    line: int
    path: KeyPath
    sentence: str

    def __str__(self) -> str:
        key = dotted(self.path)
        return _on_one_line(f"{self.where}: {key}: {self.sentence}" if key else f"{self.where}: {self.sentence}")


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
        problem = Problem(where, line, path, sentence)
        if not any(other.path == path for other in self.problems):
            self.problems.append(problem)

    def stop_if_wrong(self) -> None:
        """Raise one error that lists every problem in the order of the file.

        Raises:
            ConfigError: there is at least one problem.
        """
        problems = sorted(self.problems, key=lambda problem: problem.line)
        if len(problems) == 1:
            raise ConfigError(str(problems[0]))
        if problems:
            raise ConfigError(f"{self.name}: {len(problems)} problems\n  " + "\n  ".join(map(str, problems)))


def dotted(path: Sequence[str | int]) -> str:
    """A key path as it is written in messages: `vary.seed[1]`.

    Example:
        >>> dotted(("mitigations", 0, "replay", "dose", 2))
        'mitigations[0].replay.dose[2]'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _on_one_line(text: str) -> str:
    """Text with unprintable characters escaped: keys of a file may hold any."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def read_source(path: Path) -> Source:
    """Plain data and places of a YAML file, read by the safe loader only.

    Raises:
        ConfigError: there is no such file, or it is no YAML mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the study file ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: the study file is not UTF-8 text (byte {error.start})") from error
    return parse_source(text, str(path), folder=path.parent)


def parse_source(text: str, name: str, *, folder: Path, expected: str = _STUDY) -> Source:
    """Plain data and places of YAML text; duplicate keys are noted as problems.

    Args:
        text: of the file.
        name: what to call it in messages.
        folder: where relative paths in it start.
        expected: what kind of file it should be, and what should be at its top.

    Raises:
        ConfigError: the text is no YAML, or no mapping at the top.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        source = Source(name, {}, folder=folder)
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
        raise ConfigError(f"{name}: nested too deeply to be {expected.partition(':')[0]}") from None
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
        value = yaml.safe_load(value_text)
    except (yaml.YAMLError, ValueError, *_UNFIT):
        source.problems.append(Problem(place, 10**9, tuple(parts), f"the value {value_text!r} is not YAML"))
        return
    _set(source, parts, value, place)


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
    """A source of data that no file holds. The data is copied."""
    return Source(name, as_plain(value))


def as_plain(value: Any) -> Any:
    """A copy with mappings as dicts and tuples as lists, which YAML knows."""
    if isinstance(value, Mapping):
        return {key: as_plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(inner) for inner in value]
    return value
