"""Names that leave this machine: of files, as every file system takes them, and of models without their folders."""

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import count
from pathlib import Path

# Bytes. File systems take 255, and a name that is being written has something behind it.
LONGEST_NAME = 200
_REFUSED = re.compile(r"[^A-Za-z0-9._@%=+-]")
# Devices of Windows, whatever follows the first dot.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)
# Paths as a task's source names them.
_PATH = re.compile(r"(?:(?<= )|^)(?:[/~]|[A-Za-z]:[/\\\\]).*?(?= \(sha256|[,;]|$)")


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
        whole = f"{'_' if _DEVICE.match(plain) else ''}{plain}"
        half = (LONGEST_NAME - len(tail) - 1) // 2
        # Its end says what was measured.
        yield (whole if len(whole) < 2 * half else f"{whole[:half]}_{whole[-half:]}") + tail


def shown_names(names: Iterable[str]) -> dict[str, str]:
    """Each model's name -> what results call it: a path of this machine by its last parts, no two alike.

    Example:
        >>> shown_names(["/home/me/llama+/home/me/tuned", "owner/name", "runs/model"])
        {'/home/me/llama+/home/me/tuned': 'llama+tuned', 'owner/name': 'owner/name', 'runs/model': 'runs/model'}
        >>> shown_names(["/a/model", "/b/model"])
        {'/a/model': 'a/model', '/b/model': 'b/model'}
    """
    every = list(dict.fromkeys(names))
    shown: dict[str, str] = {}
    for name in every:
        others = [other for other in every if other != name]
        lasts = (_last_parts(name, parts) for parts in range(1, len(Path(name).parts) + 1))
        shown[name] = next((one for one in lasts if all(not _ends_in(other, one) for other in others)), name)
    return shown


def told_apart(names: Sequence[str]) -> list[str]:
    """Short names of checkpoints that were typed as paths, Hub ids or parts of files: what tells them apart.

    Beginnings and ends that all share are left out; one that stands there twice is numbered.

    Example:
        >>> told_apart(["runs/base/scores.parquet", "runs/sft/scores.parquet", "runs/dpo/scores.parquet"])
        ['base', 'sft', 'dpo']
        >>> told_apart(["models/llama", "models/llama+adapters/sft", "models/llama"])
        ['llama', 'llama+sft', 'llama (3)']
        >>> told_apart(["log.csv#base", "log.csv#sft"])
        ['base', 'sft']
    """
    parts = [re.split(r"[/#]", name.rstrip("/")) for name in names]
    while all(len(own) > 1 for own in parts) and len({own[-1] for own in parts}) == 1 and len(set(names)) > 1:
        parts = [own[:-1] for own in parts]
    whole = ["/".join(own) for own in parts]
    short = list(whole)
    for count_of_parts in range(1, 1 + max(len(own) for own in parts)):
        short = ["+".join("/".join(piece.split("/")[-count_of_parts:]) for piece in one.split("+")) for one in whole]
        if len(set(short)) == len(set(names)):
            break
    suffixes = {Path(one).suffix for one in short}
    if len(suffixes) == 1 and len({Path(one).stem for one in short}) == len(set(short)):
        short = [one.removesuffix(*suffixes) for one in short]
    return [f"{one} ({place})" if one in short[: place - 1] else one for place, one in enumerate(short, start=1)]


def shown_arguments(arguments: Iterable[str]) -> list[str]:
    """A command's arguments with paths as they are seen from the current folder, others by their last part.

    Example:
        >>> shown_arguments(["audit", "/models/llama+/adapters/mine", "--set", "tasks.own.path=/home/me/x.jsonl"])
        ['audit', 'llama+mine', '--set', 'tasks.own.path=x.jsonl']
    """
    return ["".join(map(_shown_path, re.split(r"([=+,])", str(argument)))) for argument in arguments]


def without_folders(text: str) -> str:
    """Where a task's data come from, files by their names alone.

    Example:
        >>> without_folders("/home/me/my data/x.jsonl (sha256 12ab); 3 rows left out")
        'x.jsonl (sha256 12ab); 3 rows left out'
    """
    return _PATH.sub(lambda path: Path(path[0]).name, text)


def _is_of_this_machine(path: str) -> bool:
    return path.startswith("~") or Path(path).is_absolute()


def _last_parts(name: str, count: int) -> str:
    """A model's name with so many parts of each path of this machine."""
    pieces = [
        Path(*Path(piece).parts[-count:]).as_posix() if _is_of_this_machine(piece) else piece
        for piece in name.split("+")
    ]
    return "+".join(pieces)


def _ends_in(name: str, shown: str) -> bool:
    return name == shown or any(_last_parts(name, parts) == shown for parts in range(1, len(Path(name).parts) + 1))


def _shown_path(text: str) -> str:
    text = text.removeprefix("file://")
    if not _is_of_this_machine(text):
        return text
    path = Path(text).expanduser()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name or text
