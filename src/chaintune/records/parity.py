"""How far a server and our own scorer agree on a sample of one checkpoint's examples."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

PARITY = "parity"  # its place in a measurement's provenance


@dataclass(frozen=True, slots=True)
class Parity:
    """What a server and our own scorer made of the same examples.

    Attributes:
        task: whose examples.
        examples: how many.
        kind: what is alike: greedy texts, or the preferred answers; empty where there is neither.
        alike: of how many examples it is.
        nats: largest difference of an answer's log-probability; None where the server gives none.
    """

    task: str
    examples: int
    kind: Literal["greedy texts", "preferred answers", ""]
    alike: int
    nats: float | None

    def to_json(self) -> str:
        """As text, for the provenance of a measurement."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Parity":
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))

    def sentence(self, checkpoint: str) -> str:
        """What it says in words of a checkpoint that is called so.

        Example:
            >>> Parity("xstest", 16, "greedy texts", 15, 0.0004).sentence("base").partition("; ")[2]
            'log-probabilities differ by 0.0004 nats at most.'
        """
        both = "the server and our own scorer give"
        sample = f"Of {self.examples} examples of '{self.task}' under '{checkpoint}', {both}"
        alike = f" {self.alike} {self.kind} alike" if self.kind else ""
        if self.nats is None:
            return f"{sample}{alike}; log-probabilities were not compared, as the server gives none of prompts."
        join = "; log-probabilities differ" if alike else " log-probabilities that differ"
        return f"{sample}{alike}{join} by {self.nats:.2g} nats at most."
