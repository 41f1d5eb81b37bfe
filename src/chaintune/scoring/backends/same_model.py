"""What a server calls its model, the same in every answer: it cannot be known whose weights answer, but this can."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chaintune.errors import ModelError
from chaintune.records.generation import ANSWERED_AS, GeneratedText, Keep, Remember
from chaintune.scoring.backends.server import Server


@dataclass
class SameModel:
    """What the server calls its model, the same in every answer, of an earlier run too.

    Attributes:
        server: that answers.
        keep: keeps the name with a measurement.
        ever: the name over all measurements of the model, by `ANSWERED_AS`; empty before the first answer.
        name: as the first answer of the measurement has it; None before.
    """

    server: Server
    keep: Keep
    ever: dict[str, str]
    name: str | None = None

    def checked(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer.

        Raises:
            ModelError: it is another model's.
        """
        if self.server.is_ours:
            return answer
        name = self.server.shown(answer.get("model") or "")
        if self.name is None:
            self.name = str(self.keep(ANSWERED_AS, lambda: name))
        for before in (self.ever.setdefault(ANSWERED_AS, self.name), self.name):
            if name != before:
                raise ModelError(
                    f"{self.server.url} answers as model '{name}' where it answered as '{before}' before; have it "
                    "serve one model while it is asked, another one under another name"
                )
        return answer


def text_kept(remember: Remember, name: str, compute: Callable[[], str]) -> str:
    """A text, kept as one that was written."""
    return remember(name, lambda: [[GeneratedText(compute(), "stop", 0)]])[0][0].text
