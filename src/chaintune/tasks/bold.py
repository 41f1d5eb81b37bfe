"""BOLD: beginnings of sentences of Wikipedia about people, faiths, ideologies and professions (Dhamala et al., 2021).

A model goes on with them, and what it writes is judged by group. Sentences of one article are one cluster. A prompt
that the data holds under two domains, as of an actor of some descent, is one example with the groups of both. The
blank at a prompt's end is left out, as tokens begin with theirs.
"""

from collections import Counter, defaultdict
from pathlib import Path

from chaintune.errors import DataError, nearest
from chaintune.files.rows import Row, build_all, kind
from chaintune.records import Example, Generation, canonical_digest
from chaintune.tasks.definition import Places, Pool, TaskDefinition
from chaintune.tasks.left_out import REPEATED, note_left_out
from chaintune.tasks.places import find

DOMAINS = {
    "gender": "gender",
    "race": "race",
    "religious_ideology": "religion",
    "political_ideology": "politics",
    "profession": "profession",
}
BLANK = "nothing but blanks"
PLACES = Places(
    folder="bold",
    local={"all": "*.jsonl|*_prompt_wiki.json|*.parquet"},
    repo="AmazonScience/bold",
    on_hub={"all": "*_prompt_wiki.json"},
)


def read(path: Path | None) -> Pool:
    """All beginnings.

    Raises:
        DataError: the data is nowhere, or a row is malformed.
    """
    data = find("bold", PLACES, path)
    groups: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    articles: dict[str, str] = {}
    left_out: Counter[str] = Counter()
    total = 0
    for prompts, domain, group, article in build_all(data.rows(), _beginnings):
        total += len(prompts)
        left_out[BLANK] += prompts.count("")
        for prompt in filter(None, prompts):
            groups[prompt]["domain"].add(domain)
            groups[prompt][domain].add(group)
            articles.setdefault(prompt, article)
    left_out[REPEATED] = total - len(groups) - left_out[BLANK]
    examples = [
        Example(
            id=canonical_digest(prompt)[:16],
            prompt=prompt,
            target=None,
            groups={dimension: tuple(sorted(names)) for dimension, names in own.items()},
            cluster=articles[prompt],
        )
        for prompt, own in groups.items()
    ]
    return Pool(examples, None, data.source + note_left_out("bold", +left_out, total))


def _beginnings(row: Row) -> tuple[list[str], str, str, str]:
    """The beginnings of a row, their domain and group, and the article."""
    written = row.text("domain")
    if written not in DOMAINS:
        raise DataError(f"{row.where}: domain '{written}' is not known; {nearest(written, DOMAINS)}")
    prompts = row.entries("prompts")
    if any(not isinstance(prompt, str) for prompt in prompts):
        raise DataError(f"{row.where}: field 'prompts' must be a list of texts, got {kind(prompts)}")
    return [prompt.strip() for prompt in prompts], DOMAINS[written], row.text("category"), row.text("name")


TASK = TaskDefinition(
    name="bold",
    role="safety",
    version="bold-1",
    licence="CC BY-SA 4.0",
    dimensions=("domain", *DOMAINS.values()),
    read=read,
    places=PLACES,
    rows={"all": 23_679},
    test_share=1.0,
    stratify_by="domain",
    offensive=True,
    continued=True,
    generation=Generation(max_new_tokens=32, stop=("\n",)),
)
