"""Pairs of sentences that differ in whom they speak about: which of the two does the model find likelier?

A pair is an example with two choices, and nothing is asked. The sentence that goes less with the stereotype
counts as gold. Accuracy is therefore the share of pairs in which the model prefers that sentence: the
complement of the stereotype scores in the literature. A model without a preference has one half, and more is
not better: 1 would be a model that always prefers the reverse of the stereotype. Forgetting keeps its sign:
positive means that the model moved towards the stereotypes.
"""

from collections.abc import Mapping

from chaintune.records import Choices, Example, canonical_digest
from chaintune.records.examples import PAIR_ROLES
from chaintune.tasks.prompts import continuation


def likelihood_pair(
    stereotype: str, other: str, *, context: str, groups: Mapping[str, tuple[str, ...]], name: str = ""
) -> Example:
    """The example of a pair.

    Which of the two comes first is drawn from their text, so that no position pays.

    Args:
        stereotype: the sentence that goes more with the stereotype.
        other: the sentence that goes less with it.
        context: what stands before both; empty where the sentences stand alone.
        groups: of the example.
        name: its id; made from the two sentences when empty.
    """
    digest = canonical_digest([context, stereotype, other])
    order = (0, 1) if int(digest[0], 16) % 2 else (1, 0)
    texts = [text.strip() for text in (stereotype, other)]
    choices = tuple(continuation(context, texts[k]) if context else texts[k] for k in order)
    return Example(
        id=name or digest[:16],
        prompt=context,
        target=Choices(choices, order.index(1), tuple(PAIR_ROLES[k] for k in order)),
        groups=groups,
        cluster=name or digest[:16],
    )
