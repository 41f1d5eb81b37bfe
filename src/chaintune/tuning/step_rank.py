"""Several processes train one stage: which examples of each step are whose."""

from dataclasses import dataclass

from chaintune.errors import StageError
from chaintune.models.processes import Rank
from chaintune.records.recipe import micro_batch


@dataclass(frozen=True, slots=True)
class StepRank(Rank):
    """The examples of every step that one of several processes reads."""

    def micro_batch(self, batch_size: int, at_most: int) -> int:
        """Examples of a micro-batch: at most `at_most`, and a whole number of them in the largest share of a step.

        Raises:
            StageError: a step has fewer examples than there are processes.
        """
        if batch_size < self.ranks:
            raise StageError(
                f"recipe.devices: {self.ranks} cannot share steps of {batch_size} examples; take at most {batch_size} "
                f"devices, or a batch_size of {self.ranks} or more"
            )
        return micro_batch(self._largest(batch_size), at_most)

    def accumulation(self, batch_size: int, micro: int) -> int:
        """Micro-batches that each process reads for one step."""
        return self._largest(batch_size) // micro

    def micro_batches(self, examples: int, *, batch_size: int, micro: int) -> list[list[int]]:
        """Positions of the examples of each micro-batch of this process, in the order in which it reads them.

        A step is cut into the micro-batches that one process would read, and these are dealt out in turn. Where they
        do not go round, as in a short last step, the last ones to be dealt to get an empty one, so that all processes
        read equally many: each waits for the others at every pass.

        Example:
            >>> StepRank(1, 2).micro_batches(11, batch_size=8, micro=2)
            [[2, 3], [6, 7], [10]]
        """
        mine: list[list[int]] = []
        for start in range(0, examples, batch_size):
            end = min(start + batch_size, examples)
            runs = [list(range(at, min(at + micro, end))) for at in range(start, end, micro)]
            runs += [[] for _ in range(-len(runs) % self.ranks)]
            mine += self.in_turn(runs)
        return mine

    def _largest(self, batch_size: int) -> int:
        return -(-batch_size // self.ranks)
