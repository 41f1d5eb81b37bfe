"""A section and its metadata put into a README, and put there again without a trace of the first time."""

import re
from collections.abc import Sequence
from typing import Any

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from huggingface_hub.utils import yaml_dump

from chaintune.errors import DataError
from chaintune.report.model_index import TASK_NAME

_INDEX = "model-index"
# A key at the beginning of a line, with everything to the next one; a list's items may begin there too.
_INDEX_LINES = re.compile(rf"^{_INDEX}:.*?(?=^[^\s\-]|\Z)", re.MULTILINE | re.DOTALL)


def marked(name: str, section: str) -> str:
    """A section between the comments that mark it."""
    begin, end = _marks(name)
    # A name from data must not be taken for a mark.
    inert = section.strip().replace("\\<!--", "&lt;!--").replace("<!--", "&lt;!--")
    return f"{begin}\n{inert}\n{end}"


def merged(text: str, *, name: str, section: str, index: Sequence[dict[str, Any]], where: str) -> str:
    """A README with the section and the metadata; what stands there of an earlier time is replaced.

    Nothing else is changed. The section goes to the end where there is none yet. Results that others put into the
    metadata stay.

    Raises:
        DataError: the metadata or the section's marks are broken.
    """
    plain = text.replace("\r\n", "\n")
    head, body = _parted(plain)
    done = _with_index(head, index, where) + _with_section(body, name, section, where)
    return done.replace("\n", "\r\n") if "\r\n" in text else done


def _parted(text: str) -> tuple[str, str]:
    """The metadata's lines, without their fences, and the rest."""
    block = REGEX_YAML_BLOCK.match(text)
    return (block[2].strip("\n") + "\n", text[block.end() :]) if block else ("", text)


def _with_index(head: str, index: Sequence[dict[str, Any]], where: str) -> str:
    try:
        data = yaml.safe_load(head) or {}
    except yaml.YAMLError as error:
        raise DataError(f"{where}: the metadata between --- is no YAML ({' '.join(str(error).split())})") from error
    if not isinstance(data, dict):
        raise DataError(f"{where}: the metadata between --- is no mapping of names to values")
    content = data | {_INDEX: _joined(data.get(_INDEX), index, where)}
    lines = yaml_dump({_INDEX: content[_INDEX]}, sort_keys=False)
    # Only these lines are written anew, so that comments and order of the others stay.
    place = _INDEX_LINES.search(head)
    new = head[: place.start()] + lines + head[place.end() :] if place else head + lines
    if (_INDEX in data and not place) or yaml.safe_load(new) != content:
        new = yaml_dump(content, sort_keys=False)
    return f"---\n{new}---\n"


def _joined(old: Any, index: Sequence[dict[str, Any]], where: str) -> list[dict[str, Any]]:
    """The model's results of others, then those of now."""
    ours = index[0]
    if old is None:
        return [ours]
    try:
        first, *rest = old
        others = [result for result in first["results"] if result["task"].get("name") != TASK_NAME]
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise DataError(f"{where}: '{_INDEX}' in the metadata is not as the Hub wants it; mend or remove it") from error
    return [first | {"results": [*others, *ours["results"]]}, *rest]


def _with_section(body: str, name: str, section: str, where: str) -> str:
    begin, end = _marks(name)
    counts = (body.count(begin), body.count(end))
    if counts == (0, 0):
        return f"{body.rstrip()}\n\n{marked(name, section)}\n"
    start, stop = body.find(begin), body.find(end)
    if counts != (1, 1) or stop < start:
        raise DataError(
            f"{where}: expected the marks '{begin}' and '{end}' once each, in this order; mend or remove them"
        )
    return body[:start] + marked(name, section) + body[stop + len(end) :]


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- chaintune {name}: begin -->", f"<!-- chaintune {name}: end -->"
