"""Examples that are the same though they have other ids: within a task, and between what is taught and tested."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from chaintune.errors import DataError, number_of
from chaintune.records import Choices, Example, Preference, Reference, Task
from chaintune.records.examples import shown_text

_LOG = logging.getLogger(__name__)
Content = tuple[str, tuple[str, ...]]
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Overlap:
    """Examples of one task's training split that some task tests.

    Attributes:
        taught, tested: names of the tasks.
        ids: of the same examples, as the one and the other call them.
    """

    taught: str
    tested: str
    ids: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        one, other = self.ids[0]
        named = f"'{one}'" if one == other else f"'{one}', tested as '{other}'"
        more = "" if self.taught == self.tested else f" that task '{self.tested}' tests"
        again = " that it also tests" if self.taught == self.tested else ""
        return f"task '{self.taught}' teaches {number_of(len(self.ids), 'example')}{more}{again}, such as {named}"


def content_of(example: Example) -> Content:
    """Prompt and answers of an example; the order of the answers and the width of blanks say nothing.

    Another answer to a prompt does not make it another example, another pair of answers does. Nor does it matter
    whether a prompt is text or one turn of a conversation.
    """
    match example.target:
        case Choices(texts=texts):
            answers: Iterable[str] = texts
        case Preference(chosen, rejected):
            answers = map(shown_text, (chosen, rejected))
        case Reference(text) if not example.prompt:
            answers = (shown_text(text),)
        case _:
            answers = ()
    return _asked(example), tuple(sorted(map(_squeezed, answers)))


def shared_items(taught: Sequence[Example], tested: Sequence[Example]) -> list[tuple[str, str]]:
    """The ids of examples that are in both, as the one and the other call them."""
    known = {content_of(example): example.id for example in tested}
    both = ((example.id, known.get(content_of(example))) for example in taught)
    return [(one, other) for one, other in both if other is not None]


def overlaps(tasks: Mapping[str, Task], taught: Collection[str]) -> list[Overlap]:
    """What is taught and also tested, by pair of tasks; all of them are tested."""
    tested: dict[Content, dict[str, str]] = {}
    for name, task in tasks.items():
        for example in task.test:
            tested.setdefault(content_of(example), {})[name] = example.id
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for one in (name for name in tasks if name in taught):
        for example in tasks[one].train:
            for other, known in tested.get(content_of(example), {}).items():
                pairs.setdefault((one, other), []).append((example.id, known))
    place = {name: number for number, name in enumerate(tasks)}
    ordered = sorted(pairs.items(), key=lambda pair: (place[pair[0][0]], place[pair[0][1]]))
    return [Overlap(one, other, tuple(ids)) for (one, other), ids in ordered]


def kept_apart(tasks: Mapping[str, Task], taught: Collection[str], *, allow_overlap: bool) -> dict[str, Task]:
    """The tasks of a study; where what one teaches is also tested and may be, its source says so.

    Raises:
        DataError: what is taught is also tested, and may not be.
    """
    kept, both = dict(tasks), overlaps(tasks, taught)
    if both and not allow_overlap:
        raise DataError(
            f"what is taught cannot be tested: {_first_few(both)}; leave the examples out of one of the two, "
            "or say 'allow_overlap: true' in the study, which the results then tell"
        )
    if both:
        _LOG.warning("%s (allow_overlap)", _first_few(both))
    for overlap in both:
        task = kept[overlap.taught]
        kept[overlap.taught] = replace(task, source=f"{task.source}; {overlap} (allow_overlap)")
    return kept


def _first_few(both: Sequence[Overlap]) -> str:
    more = [f"and {len(both) - _NAMED:,} more pairs of tasks"] if len(both) > _NAMED else []
    return "; ".join([*map(str, both[:_NAMED]), *more])


def joined_clusters(examples: Sequence[Example]) -> tuple[list[Example], int]:
    """The examples, those of the same content in one cluster; and how many rows repeat one of another cluster.

    Of answers that are no choices, the prompt alone is the content: answers to one prompt are no evidence apart.
    Clusters that are joined bear the name that comes first in the alphabet.
    """
    first: dict[Content, str] = {}
    parent: dict[str, str] = {}
    repeats = 0

    def root(cluster: str) -> str:
        while parent.get(cluster, cluster) != cluster:
            parent[cluster] = cluster = parent.get(parent[cluster], parent[cluster])
        return cluster

    for example in examples:
        other = first.setdefault(_shared_content(example), example.cluster)
        repeats += other != example.cluster
        one, two = sorted((root(other), root(example.cluster)))
        parent[two] = one
    if not repeats:
        return list(examples), 0
    return [
        example if root(example.cluster) == example.cluster else replace(example, cluster=root(example.cluster))
        for example in examples
    ], repeats


def _shared_content(example: Example) -> Content:
    return (_asked(example), ()) if example.prompt and isinstance(example.target, Preference) else content_of(example)


def _asked(example: Example) -> str:
    turns = example.prompt
    if not isinstance(turns, str):
        turns = tuple(turn for turn in turns if turn.role != "system")
        turns = turns[0].content if len(turns) == 1 else turns
    return _squeezed(shown_text(turns))


def _squeezed(text: str) -> str:
    return " ".join(text.split())
