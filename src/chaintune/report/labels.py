"""Names in figures: short ones that stay apart, and ones for files."""

import re
from collections.abc import Iterable, Mapping, Sequence

_ELLIPSIS = "…"
# What could break a line, turn the direction of writing or be no character at all has no place in a label.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ud800-\udfff\ufeff]+")
_JOINTS = re.compile(r"(?<=[ _/>])")
_PARTS = re.compile(r"(?<=>)|(?<=, )|(?<=: )")
LONGEST_LINE = 200
_LAST_LINES, _MOST_LINES = 2, 6


def slug(*parts: str) -> str:
    """Parts joined for a file name or an anchor: `slug("forgetting", "BBQ>csqa")` is `forgetting-bbq-csqa`."""
    return "-".join(filter(None, (re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-")[:48] for part in parts)))


def one_line(text: str) -> str:
    """Text for a tooltip or a sentence: whole unless it is absurdly long."""
    return _cut(_UNSEEN.sub(" ", text).strip(), LONGEST_LINE)


def shortened(names: Iterable[str], most: int) -> dict[str, str]:
    """Each name -> its label, at most so many characters (8 or more) and no two alike.

    Example:
        >>> shortened(["Age", "Physical_appearance"], 12)
        {'Age': 'Age', 'Physical_appearance': 'Physica…ance'}
    """
    labels: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        label, number = _cut(one_line(name) or "(no name)", most), 2
        while label in taken:
            mark = f" ({number})"
            label, number = _cut(one_line(name), most - len(mark)) + mark, number + 1
        labels[name] = label
        taken.add(label)
    return labels


def in_lines(names: Iterable[str], most: int, *, whole: int = 3) -> dict[str, str]:
    r"""Each name -> its label in lines, no two alike: whole where these are few, else a line for each of its parts.

    Parts are the steps of a chain, and what `, ` and `: ` join. A number is never broken; the last part, such as a
    variant's name, may take two lines.

    Args:
        names: to be shown.
        most: characters a line; at least 9.
        whole: lines that a whole name may take.

    Example:
        >>> in_lines(["lora lr=1e-3 epochs=2"], 12)
        {'lora lr=1e-3 epochs=2': 'lora lr=1e-3\nepochs=2'}
    """
    texts = {name: one_line(name) or "(no name)" for name in dict.fromkeys(names)}
    parts = {name: list(filter(None, _PARTS.split(text))) for name, text in texts.items()}
    short = shortened((_core(part) for own in parts.values() for part in own), most - 1)
    labels: dict[str, str] = {}
    for name, text in texts.items():
        found = lines_of(text, most)
        found = found if len(found) <= whole else _part_lines(parts[name], short, most)
        labels[name] = unique("\n".join(found), labels.values())
    return labels


def wrapped(names: Iterable[str], most: int) -> dict[str, str]:
    """Each name -> its label as of `in_lines` below a first line; empty of an empty one."""
    return {"": ""} | {name: f"\n{label}" for name, label in in_lines(filter(None, names), most).items()}


def _part_lines(parts: Sequence[str], short: Mapping[str, str], most: int) -> list[str]:
    cut = [short[_core(part)] + part.removeprefix(_core(part)).rstrip() for part in parts]
    last = lines_of(parts[-1], most)
    lines = [*cut[:-1], *(last if len(last) == _LAST_LINES else cut[-1:])]
    return lines if len(lines) <= _MOST_LINES else [*lines[:2], _ELLIPSIS, *lines[-3:]]


def _core(part: str) -> str:
    return part.removesuffix(">").removesuffix(", ").removesuffix(": ") or part


def lines_of(text: str, most: int) -> list[str]:
    """The text in lines, broken behind a blank or a sign that joins words; what has neither is broken anywhere."""
    lines = [""]
    for word in _JOINTS.split(text):
        if len(f"{lines[-1]}{word}".rstrip()) <= most:
            lines[-1] += word
        else:
            lines += [word[start : start + most] for start in range(0, len(word), most)]
    return [line.strip() for line in lines if line.strip()]


def unique(name: str, taken: Iterable[str]) -> str:
    """The name, numbered if it is taken."""
    used, candidate, number = set(taken), name, 2
    while candidate in used:
        candidate, number = f"{name}-{number}", number + 1
    return candidate


def listed(names: Iterable[str], most: int = 5) -> str:
    """`a, b and c`, or the first ones and how many more."""
    all_names = [one_line(name) for name in names]
    shown = all_names[:most]
    if len(all_names) > most:
        return f"{', '.join(shown)} and {len(all_names) - most} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1]))) if shown else "none"


def _cut(text: str, most: int) -> str:
    """The beginning and the end: similar names often differ only there."""
    if len(text) <= most:
        return text
    tail = (most - 1) * 2 // 5
    return text[: most - 1 - tail].rstrip() + _ELLIPSIS + text[len(text) - tail :].lstrip()
