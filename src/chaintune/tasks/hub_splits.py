"""Which files of a Hub data set hold which configuration and split, as its card says or its file names do."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from glob import escape
from pathlib import Path, PurePosixPath
from typing import Any

from chaintune.errors import DataError, nearest
from chaintune.files.reading import READERS, suffix_of
from chaintune.tasks.hub import HubError, fetch, file_names
from chaintune.tasks.places import CONVERTED

Splits = Mapping[str, tuple[str, ...]]
CARD = "README.md"
DEFAULT = "default"
# What the Hub itself takes for a split's name in a file's or folder's name.
WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Configurations, splits and files of a data set.

    Attributes:
        repo: its name on the Hub.
        revision: branch that holds the files; the default branch when empty.
        configs: configuration -> split -> patterns of its files.
        default: the configuration that is read when none is named; empty when one must be.
        licence: as its card states it; empty when it states none.
    """

    repo: str
    revision: str
    configs: Mapping[str, Splits]
    default: str
    licence: str

    def splits(self, config: str | None) -> Splits:
        """The splits of a configuration.

        Raises:
            DataError: there is no such configuration, or several and none is named.
        """
        name = config or self.default
        if name in self.configs:
            return self.configs[name]
        if config:
            raise DataError(f"Hub data set {self.repo}: no config '{config}'; {nearest(config, self.configs)}")
        raise DataError(
            f"Hub data set {self.repo} has several configs; name one as 'config'; {nearest('', self.configs)}"
        )


def read_layout(repo: str) -> Layout:
    """The layout of a data set, without fetching its data.

    Raises:
        DataError: the Hub does not give it, or it holds no file that can be read.
    """
    try:
        names = _names(repo)
        card = _card(fetch(repo, [CARD])[0] / CARD) if CARD in names else {}
        if configs := _declared(card, repo) or _inferred(names):
            return _laid_out(repo, "", configs, card)
        if configs := _converted(_names(repo, revision=CONVERTED)):
            return _laid_out(repo, CONVERTED, configs, card)
    except HubError as error:
        raise DataError(str(error)) from error
    raise DataError(f"Hub data set {repo}: it has no files that end in {', '.join(READERS)}")


def _laid_out(repo: str, revision: str, configs: Mapping[str, Splits], card: Mapping[str, Any]) -> Layout:
    marked = [c["config_name"] for c in _entries(card) if c.get("default") is True and "config_name" in c]
    default = next((name for name in (*marked, DEFAULT) if name in configs), "")
    licence = card.get("license", "")
    return Layout(
        repo=repo,
        revision=revision,
        configs=configs,
        default=default or (next(iter(configs)) if len(configs) == 1 else ""),
        licence=", ".join(map(str, licence)) if isinstance(licence, list) else str(licence or ""),
    )


def _card(path: Path) -> Mapping[str, Any]:
    """The metadata at the top of a card; empty when there is none that can be read."""
    import yaml
    from huggingface_hub.repocard import metadata_load

    try:
        return metadata_load(path) or {}
    except (OSError, ValueError, yaml.YAMLError):
        return {}


def _entries(card: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    entries = card.get("configs")
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _declared(card: Mapping[str, Any], repo: str) -> dict[str, Splits]:
    configs: dict[str, Splits] = {}
    for entry in _entries(card):
        splits = _declared_splits(entry.get("data_files"))
        for pattern in (pattern for patterns in splits.values() for pattern in patterns):
            if PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
                raise DataError(f"Hub data set {repo}: its card names a file outside of it, {pattern!r}")
        if splits:
            configs[str(entry.get("config_name", DEFAULT))] = splits
    return configs


def _declared_splits(data_files: Any) -> dict[str, tuple[str, ...]]:
    if isinstance(data_files, str):
        return {"train": (data_files,)}
    entries = data_files if isinstance(data_files, list) else []
    if entries and all(isinstance(entry, str) for entry in entries):
        return {"train": tuple(entries)}
    named = [entry for entry in entries if isinstance(entry, dict) and "path" in entry]
    paths = {str(entry.get("split", "train")): entry["path"] for entry in named}
    return {split: tuple(map(str, path)) if isinstance(path, list) else (str(path),) for split, path in paths.items()}


def _names(repo: str, *, revision: str = "") -> list[str]:
    """Names of the files; those that were fetched before when the Hub cannot be asked."""
    try:
        return file_names(repo, revision=revision)
    except HubError:
        folder, _ = fetch(repo, [CARD], revision=revision)
        return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _is_data(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(suffix_of(Path(name))) and path.name != "dataset_infos.json" and not path.name.startswith(".")


def _inferred(names: Iterable[str]) -> dict[str, Splits]:
    """A folder at the top is a configuration, unless it is called `data` or after a split."""
    configs: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in sorted(filter(_is_data, names)):
        top, *below = name.split("/")
        is_config = below and top != "data" and not _split_of(top)
        split = _split_of("/".join(below) if is_config else name) or "train"
        configs[top if is_config else DEFAULT][split].append(escape(name))
    return _frozen(configs)


def _converted(names: Iterable[str]) -> dict[str, Splits]:
    """The Hub's own conversion lays files out as `config/split/0000.parquet`."""
    configs: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in sorted(filter(_is_data, names)):
        if len(parts := name.split("/")) == 3:
            configs[parts[0]][parts[1].removeprefix("partial-")].append(escape(name))
    return _frozen(configs)


def _frozen(configs: Mapping[str, Mapping[str, list[str]]]) -> dict[str, Splits]:
    return {config: {split: tuple(names) for split, names in splits.items()} for config, splits in configs.items()}


def _split_of(name: str) -> str:
    """The split that a name speaks of, the first one; empty when none."""
    for word in re.split(r"[^a-z]+", name.lower()):
        for split, words in WORDS.items():
            if word in words:
                return split
    return ""
