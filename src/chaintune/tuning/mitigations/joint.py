"""Joint training: all tasks in one stage, shuffled together. The upper reference that chains are compared with.

Use when: asking how much of a loss comes from the order alone. As a remedy it needs all data at once, from the base.

On your own Trainer: `torch.utils.data.ConcatDataset`, which the Trainer shuffles.

Source:
    Caruana 1997, Multitask Learning; as the upper bound of continual learning: Lopez-Paz and Ranzato 2017.
"""

from collections.abc import Sequence

from chaintune.records import Example
from chaintune.tuning.mitigations.mitigation import Mitigation
from chaintune.tuning.mitigations.specs import MitigationSpec


class JointSpec(MitigationSpec):
    """All tasks of the chain taught at once."""

    @property
    def needs_old_data(self) -> bool:
        """All data are taught."""
        return True


def together(tasks: Sequence[Sequence[Example]]) -> list[Example]:
    """The examples of several tasks as those of one stage; the stage shuffles them."""
    return [example for examples in tasks for example in examples]


MITIGATION = Mitigation(spec=JointSpec, place="instead of the chain", own_trainer="together")
