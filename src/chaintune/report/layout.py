"""Tables as lines of text: columns side by side as far as a width goes, numbers and names whole."""

import re
from collections.abc import Iterator, Sequence

from rich.cells import cell_len

from chaintune.errors import visible
from chaintune.report.cells import Table

_GAP, _NARROW_GAP = 3, 2
_LONG_NAME = 20  # that may be folded where it has a joint
# What stays on one line: an interval, a number with its unit; a name as far as the next `>` of a chain.
_INTERVAL = re.compile(r"\([^()]{1,28}\)|\d (?:%|points?)")
_PIECE = re.compile(r" *(?:[^ >]*>+|[^ >]+)")
_JOINT = re.compile(r"(?<=[_/.:-])")
_TOGETHER = "\u00a0"
POINT = "- "  # before each of the points of a paragraph
Column = Sequence[str]


def text_lines(text: str, width: int) -> list[str]:
    """A paragraph in lines, points indented: no interval is broken, and a name only behind a sign that joins parts."""
    lines = list[str]()
    for part in text.split("\n"):
        sign = POINT if part.startswith(POINT) else ""
        own = _wrapped(_kept_together(part.removeprefix(sign)), width - len(sign))
        lines += [(" " * len(sign) if k else sign) + line.replace(_TOGETHER, " ") for k, line in enumerate(own)]
    return lines


def table_lines(table: Table, width: int) -> Iterator[str]:
    """The header, a rule and the rows; columns for which there is no room follow below, beside what tells rows apart.

    Names that would take more than half of a line stand once, with numbers by which the columns below go on.
    """
    columns = [list(map(_cell, column)) for column in zip(table.header, *table.rows, strict=True)]
    for number, block in enumerate(_blocks(columns, width)):
        if number:
            yield ""
        yield from _side_by_side(block, width)


def _cell(text: str) -> str:
    """Text that no log reads as a command: where a long one is folded, any two colons may begin a line."""
    return _kept_together(visible(text).replace("::", "\\u003a:"))


def _kept_together(text: str) -> str:
    return _INTERVAL.sub(lambda found: found[0].replace(" ", _TOGETHER), text)


def _blocks(columns: Sequence[Column], width: int) -> Iterator[list[Column]]:
    """The columns, in parts where they do not fit beside each other, each part with what tells the rows apart."""
    least = list(map(_least, columns))
    if sum(least) <= _room(width, len(columns)):
        yield list(columns)
        return
    keys, names = _keys(columns), 0
    if not keys or sum(least[:keys]) + _NARROW_GAP * keys > width // 2:
        numbers = ["row", *map(str, range(1, len(columns[0])))]
        columns, least, keys, names = [numbers, *columns], [_least(numbers), *least], 1, keys
    block = list(range(keys))
    for place in range(keys, len(columns)):
        beyond = _room(width, len(block) + 1) < sum(least[one] for one in (*block, place))
        if len(block) > keys and (beyond or place == keys + names):
            yield [columns[one] for one in block]
            block = list(range(keys))
        block.append(place)
    yield [columns[one] for one in block]


def _keys(columns: Sequence[Column]) -> int:
    """How many of the first columns tell the rows apart; 0 where they do not."""
    rows = list(zip(*(column[1:] for column in columns), strict=True))
    names = next((place for place, column in enumerate(columns) if _is_number(column)), len(columns))
    return next((n for n in range(1, names + 1) if len({row[:n] for row in rows}) == len(rows)), 0)


def _is_number(column: Column) -> bool:
    return any(cell[:1] in "+-.<0123456789" for cell in column[1:] if cell)


def _room(width: int, columns: int) -> int:
    return width - 1 - _NARROW_GAP * (columns - 1)


def _least(column: Column) -> int:
    """The width that what stays together needs; a long name is folded, but not into many parts."""
    pieces = [piece.lstrip(" ") for cell in column for piece in _PIECE.findall(cell)]
    parts = (part for piece in pieces for part in _parts(piece, _LONG_NAME))
    longest = max((cell_len(part) for part in parts), default=0)
    return max(longest, min(_LONG_NAME, max(map(cell_len, pieces), default=0)))


def _side_by_side(columns: Sequence[Column], width: int) -> Iterator[str]:
    natural = [max(map(cell_len, column)) for column in columns]
    fits = 1 + sum(natural) + _GAP * (len(columns) - 1) <= width
    widths = natural if fits else _narrowed(natural, [_least(column) for column in columns], _room(width, len(columns)))
    lines = [
        [_wrapped(cell, most) for cell, most in zip(row, widths, strict=True)] for row in zip(*columns, strict=True)
    ]
    used = [max(cell_len(line) for row in lines for line in row[place]) for place in range(len(columns))]
    gap = " " * (_GAP if 1 + sum(used) + _GAP * (len(used) - 1) <= width else _NARROW_GAP)
    for number, row in enumerate(lines):
        for at in range(max(map(len, row))):
            parts = [(cell[at] if at < len(cell) else "", most) for cell, most in zip(row, used, strict=True)]
            line = gap.join(part + " " * (most - cell_len(part)) for part, most in parts)
            yield f" {line}".rstrip(" ").replace(_TOGETHER, " ")
        if not number:
            yield " " + "─" * (sum(used) + len(gap) * (len(used) - 1))


def _narrowed(natural: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """The widths of columns, the widest made narrower until all fit; below what stays whole where that is too much."""
    widths = list(natural)
    while sum(widths) > room:
        above = [place for place, own in enumerate(widths) if own > least[place]] or range(len(widths))
        widest = max(above, key=widths.__getitem__)
        if widths[widest] == 1:
            break
        widths[widest] -= 1
    return widths


def _wrapped(text: str, width: int) -> list[str]:
    lines, line = list[str](), ""
    for piece in _parts(text, width):
        if line and cell_len(line + piece) > width:
            lines.append(line)
            line = piece.lstrip(" ")
        else:
            line += piece if line else piece.lstrip(" ")
    return [*lines, line]


def _parts(text: str, width: int) -> Iterator[str]:
    """What stays together; a name that is longer than a line in its own parts, or in any."""
    for piece in _PIECE.findall(text):
        if cell_len(piece.lstrip(" ")) <= width:
            yield piece
            continue
        for part in _JOINT.split(piece):
            yield from [part] if cell_len(part.lstrip(" ")) <= max(width, _LONG_NAME) else list(part)
