"""What servers are asked in a run: requests and tokens, known before the first is sent."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from chaintune.errors import ConfigError, number_of
from chaintune.execution.bases import BaseModel
from chaintune.execution.run import pending_nodes
from chaintune.execution.sizing import about_tokens
from chaintune.plan.nodes import JudgementNode, ScoreNode
from chaintune.plan.plan import Plan
from chaintune.records import Example, Task
from chaintune.records.examples import shown_text
from chaintune.scoring.backends import BACKENDS, Served, Serving
from chaintune.scoring.backends.served_name import writes_several
from chaintune.scoring.backends.server import is_here
from chaintune.scoring.measures.measure import evenly_spaced
from chaintune.scoring.reading import measure_of
from chaintune.scoring.scorers.judgements import asks_of, reads_probabilities
from chaintune.scoring.scorers.metric import configured
from chaintune.store.store import Store


@dataclass(frozen=True, slots=True)
class ServerWork:
    """What one model of a server is asked at most, where nothing of it was answered yet.

    Attributes:
        model: as it is identified.
        requests: that are sent.
        read_tokens: about as many as the server reads.
        written_tokens: that it writes at most.
    """

    model: str
    requests: int
    read_tokens: int
    written_tokens: int

    @property
    def is_here(self) -> bool:
        """Whether the server is on this machine, so that nobody else pays."""
        return is_here(self.model)

    def __str__(self) -> str:
        requests = number_of(self.requests, "request")
        return (
            f"{self.model}: at most {requests}, about {self.read_tokens:,} tokens read and at most "
            f"{self.written_tokens:,} written"
        )


def server_work(
    plan: Plan, store: Store, bases: Mapping[str, BaseModel], tasks: Mapping[str, Task]
) -> list[ServerWork]:
    """What is left to be asked of each model that is served, in the order in which they are asked."""
    served = {name for name, base in bases.items() if base.weights is None}
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for node in pending_nodes(plan, store) if served else ():
        if isinstance(node, ScoreNode) and node.base in served:
            one_by_one = not writes_several(bases[node.base].identity)
            for place, more in enumerate(_asked(node, tasks[node.task], one_by_one=one_by_one)):
                counts[node.base][place] += more
    return [ServerWork(bases[name].identity or name, *numbers) for name, numbers in counts.items()]


def check_judges(plan: Plan, store: Store, bases: Mapping[str, BaseModel], serving: Serving) -> None:
    """Refuse, before anything is computed, judges whose server does not give the probabilities that a scorer reads.

    Raises:
        ModelError: a server gives none.
    """
    if not any(isinstance(node, JudgementNode) for node in plan.nodes):
        return  # what is pending takes a look at every entry
    asked = {
        node.base: bases[node.base]
        for node in pending_nodes(plan, store)
        if isinstance(node, JudgementNode) and reads_probabilities(configured(node.scorer)[1])
    }
    for base in asked.values():
        if isinstance(served := BACKENDS.get(base.backend).opens, Served):
            served.check(base.reference, serving, frozenset({"log-probabilities"}))


def check_requests(work: Sequence[ServerWork], most: int) -> None:
    """Refuse a run that asks servers too much.

    Raises:
        ConfigError: it takes more requests than `most`, or that is no number of requests.
    """
    if most < 0:
        raise ConfigError(f"max requests: expected 0 or more, got {most}")
    if (needed := sum(one.requests for one in work)) > most:
        raise ConfigError(
            f"max requests {most:,}: {number_of(needed, 'request')} to servers may be needed ({work[0]}); take fewer "
            "examples, or allow more"
        )


def _asked(node: ScoreNode, task: Task, *, one_by_one: bool) -> tuple[int, int, int]:
    """Requests, tokens read and tokens written of a node; `one_by_one` where each sample is a request."""
    examples = task.test if node.split == "test" else task.train
    samples = task.generation.samples
    if isinstance(node, JudgementNode):
        scorer, settings = configured(node.scorer)
        texts = len(examples) * samples
        written = texts * asks_of(scorer).written_tokens(settings)
        return texts, max(0, node.tokens - written), written
    measure = measure_of(task, node.measure)
    if measure.generation:
        again = [examples[place] for place in evenly_spaced(len(examples))] if node.asks_twice else []
        asked = [*examples, *again]
        read = sum(about_tokens(shown_text(example.prompt)) for example in asked)
        times = samples if one_by_one else 1
        return len(asked) * times, read * times, len(asked) * samples * measure.generation.max_new_tokens
    sizes = [size for example in examples for size in _sizes(example)]
    return len(examples), sum(sizes), len(sizes)


def _sizes(example: Example) -> Iterator[int]:
    """About how many tokens each answer has with its prompt."""
    prompt = shown_text(example.prompt)
    return (about_tokens(prompt + shown_text(answer)) for answer in example.answers)
