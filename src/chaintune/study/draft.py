"""A study file to begin with, drafted from a data file: its columns, groups, clusters and sizes."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from chaintune import tasks
from chaintune.errors import DataError, number_of, visible
from chaintune.files.cells import group_names, plain_text
from chaintune.files.reading import read_rows
from chaintune.files.rows import Row
from chaintune.records import Task
from chaintune.records.crossing import one_name
from chaintune.records.examples import LABEL, is_no_group
from chaintune.study.schema import TASK_NAME
from chaintune.tasks.columns import ColumnNames, template_columns
from chaintune.tasks.items import read_items
from chaintune.tasks.places import at_hand
from chaintune.tasks.registry import definition

# What people call the columns, the likeliest first; a name is compared in small letters.
_PROMPTS = ("prompt", "question", "instruction", "query", "question_stem", "problem", "input", "sentence", "text")
_CHOICES = ("choices", "options", "answers", "endings", "candidates")
_GOLD = (
    "gold", "answer", "label", "correct", "answerkey", "correct_answer", "answer_key", "target", "right", "key",
    "gold_label", "class", "sentiment", "stance", "toxic",
)  # fmt: skip
_RESPONSES = ("response", "completion", "output", "answer", "reply", "target", "solution")
_MESSAGES = ("messages", "conversations", "conversation", "dialogue", "dialog", "turns", "chat")
_BETTER, _WORSE = ("chosen", "preferred", "better", "accepted"), ("rejected", "dispreferred", "worse", "refused")
_BEFORE_LETTERS = ("", "choice", "option", "answer", "choice_", "option_", "answer_", "ending", "ending_", "op")
_TEXTS = ("text", "content", "document", "body")
_CLUSTERS = ("cluster", "template", "source", "passage", "context", "article", "document", "case", "author", "_id")
_NO_NAMES = ("base", "train", "test", "validation", "dev", "data")
# The first of these whose data are here shows what tuning on the file costs.
_KEPT = {"bbq": "20 per category", "csqa": "200", "openbookqa": "200", "arc_easy": "200"}
_TRIED_ROWS = 200
_MOST_GROUPS, _ROWS_A_GROUP, _MOST_LETTERS, _MOST_LABELS = 20, 5, 40, 10
_ROWS_A_CLUSTER, _FEWEST_CLUSTERS = 1.5, 10
_MOST_TAUGHT, _MOST_TESTED, _TESTED_OF_A_GROUP = 400, 300, 40


@dataclass(frozen=True, slots=True)
class Draft:
    """A study file that is proposed.

    Attributes:
        text: of the file.
        findings: what was recognised in the data, a sentence each.
        doubts: what could not be told from them, a sentence each.
    """

    text: str
    findings: tuple[str, ...]
    doubts: tuple[str, ...]


def draft_study(data: Path, *, shown: str, base: str) -> Draft:
    """A study file that tunes a model on a data file, `shown` by this path, and measures what that gives and takes.

    Raises:
        DataError: it cannot be read, or no column could be what is asked and what is right.
    """
    rows = read_rows(data)
    columns, read = _columns_of(rows, str(data))
    findings, doubts = [_in_words(columns)], list[str]()
    columns |= _people_and_clusters(rows, read, findings, doubts)
    name = _task_name(data)
    task, skipped = _loaded(name, data, columns)
    if skipped:
        doubts.append(f"what to do about rows that cannot be used; they are left out: {skipped}")
    findings.append(f"{number_of(len(task.train), 'example')} could be taught and {len(task.test):,} tested")
    if read.labels and columns["choices"] == columns["labels"]:
        doubts.append(
            f"what {_flow(columns['labels'])} stand for; put words in their place under 'choices', in this order"
        )
    kept = next((one for one in _KEPT if (where := definition(one).places) and at_hand(where)), "")
    if not kept:
        doubts.append("what tuning on this file takes away, as no known task's data are here (chaintune tasks)")
    doubts.append("its role: 'safety' is what later tuning must not take away, 'capability' what is to be learned")
    spec = {"role": "capability", "path": shown, "columns": columns} | ({"unusable": "skip"} if skipped else {})
    text = _written(name, spec | _sizes(task), kept, base=base, sizes=findings[-1], doubts=doubts)
    return Draft(text, tuple(findings), tuple(doubts))


def _people_and_clusters(
    rows: Sequence[Row], read: ColumnNames, findings: list[str], doubts: list[str]
) -> dict[str, Any]:
    """The columns of groups and of clusters, and what is to be said of them."""
    free, columns = _free_columns(rows, read), dict[str, Any]()
    groups = {} if read.groups or read.group_map else _groups(free)
    if groups:
        columns["groups"] = dict(zip(_dimensions(groups), groups, strict=True))
        findings.append(f"groups: {', '.join(f'{name} ({count})' for name, count in groups.items())}")
    elif not read.group_map:
        doubts.append("groups of people or topics: no column looks like any; name one, 'groups: {NAME: COLUMN}'")
    clusters = [name for name, values in free.items() if name not in groups and _is_cluster(values)]
    cluster = next((name for name in clusters if any(word in name.lower() for word in _CLUSTERS)), "")
    if cluster:
        columns["cluster"] = cluster
        findings.append(f"clusters: rows with the same '{cluster}' stay together ({len(set(free[cluster])):,} of them)")
    elif not read.cluster:
        like = f", such as '{clusters[0]}'," if clusters else ""
        doubts.append(f"which rows are not independent: each is its own evidence; name a 'cluster'{like} if some are")
    return columns


def _task_name(data: Path) -> str:
    name = data.name.partition(".")[0]
    own = TASK_NAME.fullmatch(name) and ":" not in name
    return name if own and name not in (*_NO_NAMES, *tasks.names()) else "mine"


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.columns()))


def _columns_of(rows: Sequence[Row], where: str) -> tuple[dict[str, Any], ColumnNames]:
    """What to write under `columns` so that most rows can be read, nothing where they have usual names; and as read."""
    tried, refusal = rows[:_TRIED_ROWS], DataError(f"{where}: holds no rows")
    best: tuple[float, dict[str, Any], ColumnNames] | None = None
    for columns in _candidates(rows):
        try:
            items = read_items(tried, columns, where, Counter(), unusable="skip")
        except DataError as error:
            refusal = refusal if columns else error
            continue
        # A text beside a label is a question about it before it is a text to be taught.
        usable = len(items.examples) / (2 if items.columns.form == "text" else 1)
        if best is None or usable > best[0]:
            best = (usable, columns, items.columns)
        if usable == len(tried):
            break
    if best is None:
        raise refusal
    return best[1], best[2]


def _candidates(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Ways to name the columns, the surest first."""
    yield {}
    there = {name.lower(): name for name in _names(rows)}

    def known(names: Sequence[str], *besides: str) -> list[str]:
        return [there[name] for name in names if name in there and there[name] not in besides]

    yield from ({"messages": name} for name in known(_MESSAGES))
    prompts = known(_PROMPTS) or _longest(rows, known((*_GOLD, *_RESPONSES)))
    pairs = list(zip(known(_BETTER), known(_WORSE), strict=False))
    for chosen, rejected in pairs:
        yield from ({"prompt": prompt, "chosen": chosen, "rejected": rejected} for prompt in prompts)
        yield {"chosen": chosen, "rejected": rejected}
    for prompt in prompts:
        for choices in _choices(there):
            for gold in known(_GOLD, prompt):
                yield {"prompt": prompt, **choices, "gold": gold}
        for gold in known(_GOLD, prompt):
            labels = sorted({plain_text(row.get(gold)) or "" for row in rows})
            if 2 <= len(labels) <= _MOST_LABELS and not any(label.upper() in "ABCDE" for label in labels):
                coded = {"labels": labels, "gold": gold} if _are_codes(labels) else {"gold": f"{{{gold}}}"}
                yield {"prompt": f"{{{prompt}}}\n{gold}:", "choices": labels, **coded}
        yield from ({"prompt": prompt, "response": response} for response in known(_RESPONSES, prompt))
    yield from ({"text": name} for name in known(_TEXTS))


def _are_codes(labels: Sequence[str]) -> bool:
    return all(len(label) == 1 for label in labels)


def _longest(rows: Sequence[Row], besides: Sequence[str]) -> list[str]:
    """The column of the longest texts of several words, which is the likeliest to be what is asked, if there is one."""
    lengths = {
        name: sum(map(len, texts))
        for name in _names(rows)
        if name not in besides and len(texts := _sentences(rows, name)) > len(rows) / 2
    }
    return sorted(lengths, key=lambda name: -lengths[name])[:1]


def _sentences(rows: Sequence[Row], name: str) -> set[str]:
    return {cell for row in rows if isinstance(cell := row.get(name), str) and len(cell.split()) > 2}


def _choices(there: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Columns that hold choices, with the labels that gold may be one of."""
    for name in _CHOICES:
        if f"{name}.text" in there and f"{name}.label" in there:
            yield {"choices": there[f"{name}.text"], "labels": there[f"{name}.label"]}
        if name in there:
            yield {"choices": there[name]}
            yield from ({"choices": there[name], "labels": list(letters)} for letters in ("ABCDE", "12345"))
    for before in _BEFORE_LETTERS:
        for letters in ("abcde", "12345", "01234"):
            columns = [there[before + letter] for letter in letters if before + letter in there]
            if len(columns) > 1:
                texts = [f"{{{name}}}" for name in columns]
                yield {"choices": texts, "labels": list(letters[: len(columns)].upper())}
                yield {"choices": texts}
                yield {"choices": texts, "labels": columns}


def _free_columns(rows: Sequence[Row], read: ColumnNames) -> dict[str, list[str]]:
    """Column -> its values as text, of those that say something else than what is asked and what is right."""
    values = [getattr(read, field.name) for field in fields(read) if field.name not in ("form", "groups", "extra")]
    texts = [text for value in values for text in (value if isinstance(value, tuple) else [value])]
    used = {column for text in texts if isinstance(text, str) for column in template_columns(text)}
    used |= {column.partition(".")[0] for column in used}
    free: dict[str, list[str]] = {}
    for name in _names(rows):
        if name in used or name.partition(".")[0] in used:
            continue
        cells = [value for row in rows if not is_no_group(value := row.get(name))]
        several = [cell if isinstance(cell, list | tuple) else [cell] for cell in cells]
        texts = [text for cell in several for value in cell if (text := plain_text(value)) is not None]
        if len(texts) > len(rows) / 2:
            free[name] = texts
    return free


def _groups(free: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Columns of few, short, recurring values -> the number of these."""
    counts = {name: Counter(values) for name, values in free.items() if not all(map(_is_number, values))}
    return {
        name: len(count)
        for name, count in counts.items()
        if 2 <= len(count) <= _MOST_GROUPS
        and count.total() >= _ROWS_A_GROUP * len(count)
        and max(map(len, count)) <= _MOST_LETTERS
        and all(map(_is_read, count))
    }


def _is_read(text: str) -> bool:
    """Whether a cell can be read as one that names groups, which a list that is cut off cannot."""
    try:
        return bool(group_names(text, "", untyped=True))
    except DataError:
        return False


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).removeprefix("-").isdecimal()


def _dimensions(columns: Iterable[str]) -> list[str]:
    """The names of columns as those of dimensions: the last part, where no other has it."""
    names = list[str]()
    for column in columns:
        own = one_name(column.rpartition(".")[2])
        own = f"{own}_group" if own == LABEL else own
        names.append(one_name(column) if own in names else own)
    return names


def _is_cluster(values: Sequence[str]) -> bool:
    """Whether values recur as those of templates or sources do: many different ones, several rows each."""
    different = len(set(values))
    return different >= _FEWEST_CLUSTERS and len(values) >= _ROWS_A_CLUSTER * different


def _loaded(name: str, data: Path, columns: Mapping[str, Any]) -> tuple[Task, str]:
    """The task that the file is, split as its name has it, and why rows had to be left out, where some had."""
    options: dict[str, Any] = {"role": "capability", "path": data, "columns": dict(columns)}
    try:
        return tasks.load(name, **options), ""
    except DataError as error:
        reason = str(error).splitlines()
        return tasks.load(name, **options, unusable="skip"), (reason[1] if len(reason) > 1 else reason[0]).strip()


def _sizes(task: Task) -> dict[str, int | str]:
    """Sizes that a first run can afford; no number where it is all, as a cluster named later divides the rows anew.

    Of a part of the test split even over the groups, where these are large enough.
    """
    taught: int | str = "all" if len(task.train) <= _MOST_TAUGHT else _MOST_TAUGHT
    if len(task.test) <= _MOST_TESTED:
        return {"train": taught, "test": "all"}
    for dimension in task.dimensions:
        counts = Counter(name for example in task.test for name in example.groups.get(dimension, ()))
        if counts and (least := min(counts.values())) >= _ROWS_A_GROUP:
            return {"train": taught, "test": f"{min(least, _TESTED_OF_A_GROUP)} per {dimension}"}
    return {"train": taught, "test": _MOST_TESTED}


def _in_words(columns: Mapping[str, Any]) -> str:
    if not columns:
        return "its columns have their usual names"
    return "columns: " + ", ".join(f"{key} is {_flow(column)}" for key, column in columns.items())


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    if "\\n" in (plain := json.dumps(value, ensure_ascii=False)):
        return plain
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n...\n").strip()


def _written(name: str, spec: Mapping[str, Any], kept: str, *, base: str, sizes: str, doubts: Sequence[str]) -> str:
    """The study file with its comments."""
    lines = [
        f"# What does a model gain when it is tuned on {_flow(spec['path'])}, and what does it lose?",
        "# chaintune plan says what would run, chaintune run does it; the docs list every key (Reference, Study file).",
        "# yaml-language-server: $schema=study.schema.json",
        *(f"# Not known: {visible(' '.join(doubt.split()))}." for doubt in doubts),
        f"base: {_flow(base)}  # a Hub id, a folder, a .gguf file, BASE+ADAPTER",
        "tasks:",
        f"  {_flow(name)}:  # {sizes}",
        *(f"    {key}: {_flow(value)}" for key, value in spec.items() if value not in ({}, [])),
    ]
    if kept:
        lines += ["  # Never taught, so what it loses is counted from the base."]
        lines += [f"  {kept}: {{train: none, test: {_KEPT[kept]}}}"]
    lines += [
        f"chains: {_flow([[name]])}  # with a second task to be taught: both orders",
        "recipe: {method: lora, learning_rate: 0.0002, epochs: 1, batch_size: 8}",
        "# vary: {seed: 3}  # three seeds, to speak of the recipe and not of one model",
        "# keep: final  # only the checkpoint at a chain's end stays in the store",
    ]
    return "\n".join(lines) + "\n"
