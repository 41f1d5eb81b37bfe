"""What the folder of a model or adapter holds; one that cannot be used is refused by name before anything is loaded."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

from safetensors import safe_open

from chaintune.errors import ChaintuneError, ModelError
from chaintune.files.reading import refuse_lfs_pointer
from chaintune.records import canonical_digest

CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"
_WEIGHTS, _ADAPTER_WEIGHTS, _INDEX = "model.safetensors", "adapter_model.safetensors", "model.safetensors.index.json"
TOKENIZER_FILES = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.model")
_BESIDE = (CONFIG, ADAPTER_CONFIG, _INDEX, *TOKENIZER_FILES)
_PICKLES = ("*.bin", "*.pt", "*.pth")
# What a Trainer writes beside the weights, to go on from there.
_TRAINING_STATE = ("optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt", "training_args.bin", "rng_state*.pth")
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
# Of what lies beside weights: the largest index known has 10 MB, a tokenizer 40.
_MOST_BYTES = 2**28
_DEEPEST = 200
_MOST_WORDS = 400


@contextmanager
def opening(what: str, doing: str = "cannot be opened") -> Iterator[None]:
    """Raise whatever a library says while it opens a model as one sentence.

    Transformers, tokenizers, PEFT and safetensors check little of what they read, and raise almost any exception there
    is, tokenizers also Rust's panic, which is no `Exception`.

    Raises:
        ModelError: for anything that is neither ours nor a wish to stop.
    """
    try:
        yield
    except ChaintuneError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ModelError(f"{what}: {doing} ({_reason(error)})") from error


def check_folder(folder: Path, needs: str) -> None:
    """Refuse a folder that holds no model, or no adapter, whose weights are safetensors.

    Args:
        folder: that exists.
        needs: name of the configuration.

    Raises:
        ModelError: the message says what the folder is instead, and what to name.
    """
    with opening(f"model folder {folder}"):
        if not (folder / needs).is_file():
            raise ModelError(f"model folder {folder}: {needs} is missing{_instead(folder, needs)}")
        read_files(folder, adapter=needs == ADAPTER_CONFIG)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model or adapter folder, at least one.

    Raises:
        ModelError: there is none; weights in pickle formats are refused, because to read them is to run them.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"model folder {folder}: expected .safetensors files, got {_no_weights(folder)}")
    return files


def read_files(folder: Path, *, adapter: bool = False) -> list[Path]:
    """The safetensors files of a folder that hold its model, or its adapter; others may lie beside them.

    Raises:
        ModelError: there is none, or a pointer of Git LFS in its place; the index of shards names something else than
            safetensors files of this very folder, as what lies elsewhere is no part of its digest.
    """
    files = weight_files(folder)
    for path in (*files, *(path for pattern in _BESIDE for path in sorted(folder.glob(pattern)))):
        if not path.is_file():
            raise ModelError(f"model folder {folder}: {path.name} is no file")
        if path not in files and (size := path.stat().st_size) > _MOST_BYTES:
            raise ModelError(f"model folder {folder}: {path.name} is too large, it has {size / 1e9:.1f} GB")
        refuse_lfs_pointer(path, ModelError)
    if not adapter and (folder / ADAPTER_CONFIG).is_file():  # transformers would put it on top
        whole = (folder / _WEIGHTS).is_file() or (folder / _INDEX).is_file()
        both = (
            f"it holds a whole model and an adapter beside it; remove {ADAPTER_CONFIG} if the adapter is merged, "
            "else move it with its weights to a folder of its own"
        )
        raise ModelError(f"model folder {folder}: {both if whole else _adapter(folder)}")
    shards = set() if adapter else {folder / name for name in shard_index(folder).values()}
    single = folder / (_ADAPTER_WEIGHTS if adapter else _WEIGHTS)
    if not single.is_file():
        if not shards:
            expected = single.name if adapter else f"{_WEIGHTS} or {_INDEX}"
            raise ModelError(f"model folder {folder}: expected {expected}, got {files[0].name}")
        return sorted(shards)
    if shards - {single}:
        raise ModelError(
            f"model folder {folder}: it holds {_WEIGHTS} and {_INDEX}, which names other files; remove the one that is "
            "not this model's"
        )
    return [single]


def shard_index(folder: Path) -> dict[str, str]:
    """Name -> file of every weight of a sharded model, as its index says; empty where there is no index.

    Raises:
        ModelError: it cannot be read, or names a file that is no safetensors file of this folder.
    """
    path = folder / _INDEX
    if not path.is_file():
        return {}
    named = json_object(path).get("weight_map")
    if not isinstance(named, dict) or not named or not all(isinstance(file, str) for file in named.values()):
        raise ModelError(f"model folder {folder}: {_INDEX} holds no 'weight_map', which names the file of every weight")
    for file in sorted(set(named.values())):
        plain = re.fullmatch(r"[^/\\]+\.safetensors", file)
        if not plain or not _lies_in(folder / file, folder):
            raise ModelError(
                f"model folder {folder}: {_INDEX} names {file!r}, expected safetensors files of this very folder"
            )
        if not (folder / file).is_file():
            raise ModelError(f"model folder {folder}: {_INDEX} names {file!r}, which is not there")
    return named


def brings_tokenizer(folder: Path) -> bool:
    """Whether a folder, of an adapter say, holds a whole tokenizer."""
    return any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json"))


def index_digest(folder: Path) -> dict[str, str]:
    """File name -> digest of the index of shards; empty where the weights are one file and no index is read."""
    named = {} if (folder / _WEIGHTS).is_file() else shard_index(folder)
    return {_INDEX: canonical_digest(named)} if named else {}


def weight_shapes(folder: Path) -> dict[str, list[int]]:
    """Name -> shape of every weight of a model folder, read from its files' headers.

    Raises:
        ModelError: a file cannot be read.
    """
    shapes: dict[str, list[int]] = {}
    for path in read_files(folder):
        with opening(f"model folder {folder}", f"{path.name} cannot be read"), safe_open(path, "numpy") as weights:
            shapes |= {name: weights.get_slice(name).get_shape() for name in weights.keys()}  # noqa: SIM118 - no mapping
    return shapes


def json_object(path: Path) -> dict[str, Any]:
    """The JSON object of a file.

    Raises:
        ModelError: it is none, or nested too deeply to be one of a model.
    """
    with opening(f"model folder {path.parent}", f"{path.name} cannot be read as a JSON object"):
        content = path.read_bytes()
        signs = re.findall(rb"[\[\]{}]", content)
        if max(accumulate(1 if sign in b"[{" else -1 for sign in signs), default=0) > _DEEPEST:
            raise RecursionError
        value = json.loads(content, parse_constant=str)  # old files hold infinities, JSON does not
        if not isinstance(value, dict):
            raise TypeError(f"it is a {type(value).__name__}")
        return value


def _lies_in(path: Path, folder: Path) -> bool:
    """Whether a file is in a folder, links followed; the Hub's cache keeps the files of its folders in one beside."""
    here, there = folder.resolve(), path.resolve()
    return there.is_relative_to(here) or (
        here.parent.name == "snapshots" and there.is_relative_to(here.parent.parent / "blobs")
    )


def _instead(folder: Path, needs: str) -> str:
    """What a folder is that is not what it was named for."""
    if needs == CONFIG and (folder / ADAPTER_CONFIG).is_file():
        return f"; {_adapter(folder)}"
    known = [(int(match[1]), path) for path in folder.iterdir() if (match := _CHECKPOINT.fullmatch(path.name))]
    if known:
        newest = max(known)[1]
        adapter = needs == CONFIG and not (newest / CONFIG).is_file() and (newest / ADAPTER_CONFIG).is_file()
        name = f"BASE+{newest}" if adapter else newest
        return f"; it is the output folder of a Trainer: name one of its checkpoints, the newest is {name}"
    return f"; it holds {_no_weights(folder)}" if _training_state(folder) else ""


def _adapter(folder: Path) -> str:
    return f"it holds an adapter: name its base too, BASE+{folder}"


def _no_weights(folder: Path) -> str:
    pickles = [path.name for pattern in _PICKLES for path in sorted(folder.glob(pattern))]
    state = _training_state(folder)
    if weights := [name for name in pickles if name not in state]:
        return f"only {weights[0]}, which may run code when it is read; convert the model first"
    return f"a Trainer's state ({state[0]}) without the model" if state else "no weights; convert the model first"


def _training_state(folder: Path) -> list[str]:
    return [path.name for pattern in _TRAINING_STATE for path in sorted(folder.glob(pattern))]


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    text = " ".join(str(error).split()) or type(error).__name__
    if "contains custom code which must be executed" in text:
        return "it brings Python code of its own, which runs with --trust-remote-code only; read it first"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, KeyError | AttributeError | TypeError | IndexError | AssertionError):
        text = f"{type(error).__name__}: {text}"
    return text if len(text) <= _MOST_WORDS else f"{text[:_MOST_WORDS]} ..."
