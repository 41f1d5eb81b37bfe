"""File names made of other names: short, of signs that every file system takes, no two of them alike."""

import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import count

# Bytes. File systems take 255, and a name that is being written has something behind it.
LONGEST_NAME = 200
_REFUSED = re.compile(r"[^A-Za-z0-9._@%=+-]")
# Devices of Windows, whatever follows the first dot.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)


def file_names(texts: Sequence[str], suffix: str) -> list[str]:
    """One file name for each text, the text itself as far as it goes: `bbq-csqa.seed0.on-bbq.parquet`.

    A text that is too long, or whose name differs from an earlier one in case only, has a digest in its name.

    Args:
        texts: in an order that is always the same, since the first of two that look alike keeps its plain name.
        suffix: of every file, with its dot.

    Example:
        >>> file_names(["bbq/csqa", "BBQ csqa"], ".parquet")
        ['bbq_csqa.parquet', 'BBQ_csqa.2a1c0ce1.parquet']
    """
    taken: set[str] = set()
    names = []
    for text in texts:
        name = next(name for name in _candidates(text, suffix) if name.casefold() not in taken)
        taken.add(name.casefold())
        names.append(name)
    return names


def _candidates(text: str, suffix: str) -> Iterator[str]:
    """The plain name, where it is one, then names with digests."""
    plain = _REFUSED.sub("_", text)
    if plain and len(plain + suffix) <= LONGEST_NAME and not _DEVICE.match(plain):
        yield plain + suffix
    for number in count():
        tail = f".{sha256(f'{text} {number}'.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}{suffix}"
        yield f"{'_' if _DEVICE.match(plain) else ''}{plain}"[: LONGEST_NAME - len(tail)] + tail
