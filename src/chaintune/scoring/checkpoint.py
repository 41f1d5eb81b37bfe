"""One checkpoint and examples in; a measurement out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from chaintune.records import Example, Generation, Measurement
from chaintune.records.generation import Keep, kept_nowhere
from chaintune.scoring.backends import Backend
from chaintune.scoring.measures import Asking, Measure


def measure_checkpoint(
    backend: Backend,
    examples: Sequence[Example],
    *,
    measure: Measure,
    task: str,
    provenance: Mapping[str, str] | None = None,
    measure_rounding: bool = False,
    on_scored: Callable[[int], None] = lambda _: None,
    on_written: Callable[[int, int], None] = lambda *_: None,
    keep: Keep = kept_nowhere,
) -> Measurement:
    """What a checkpoint is recorded to say to every example.

    Args:
        backend: open on the checkpoint.
        examples: in any order; the measurement does not depend on it.
        measure: how they are asked.
        task: named in errors.
        provenance: what made the measurement, to be kept with it.
        measure_rounding: ask some examples a second way and keep the differences.
        on_scored: called with the number of examples done.
        on_written: called with the numbers of texts and of tokens that were written so far.
        keep: keeps parts of the measurement that are there before the last one is.

    Raises:
        DataError: the measure does not take an example, or one is longer than the model's context.
        ModelError: the model answers with something that is no number, or memory does not suffice.
    """
    ordered = sorted(examples, key=lambda example: example.id)
    measure.check(ordered, task)
    asking = Asking(
        task,
        measure_rounding,
        measure.generation or Generation(),
        on_scored=on_scored,
        on_written=on_written,
        keep=keep,
    )
    recorded = measure.record(backend, ordered, asking)
    return replace(recorded, provenance={**recorded.provenance, **(provenance or {})})
