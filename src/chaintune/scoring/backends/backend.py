"""What a backend is: one that is open on a checkpoint, and a kind of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from chaintune.errors import ConfigError

if TYPE_CHECKING:
    from chaintune.models import LoadedModel, Reader  # loads torch
    from chaintune.models.processes import Rank
    from chaintune.records import Example, Generation, Remember, Texts
    from chaintune.records.generation import Keep

Ability = Literal["log-probabilities", "log-probabilities of ended answers", "text"]


@dataclass(frozen=True, slots=True)
class CheckpointFiles:
    """A checkpoint that a backend is to be opened on.

    Attributes:
        weights: folder of the weights.
        adapter: folder of the adapter on top of them; None where there is none.
        precision: of the weights, `fp32` or `bf16`.
        load: reads them into this process, or hands out the model that is in memory already.
    """

    weights: Path
    adapter: Path | None
    precision: str
    load: Callable[[], "LoadedModel"]


class Backend(Protocol):
    """Computes what a measure asks of one checkpoint. One that lacks an ability need not have its methods."""

    @property
    def about(self) -> Mapping[str, str]:
        """What a measurement keeps of the backend, text to text: the precision, and whatever its numbers depend on."""
        ...

    def answer_logprobs(
        self,
        examples: "Sequence[Example]",
        *,
        task: str,
        on_scored: Callable[[int], None] = ...,
        keep: "Keep" = ...,
    ) -> tuple[list[list[float]], list[list[int]]]:
        """Natural-log probability of each answer given its prompt, and of how many tokens it is the sum.

        Args:
            examples: with answers (choices, a reference, or a chosen and a rejected one), sorted by id.
            task: named in errors.
            on_scored: called with the number of examples done.
            keep: keeps what was answered before the last one is.

        Raises:
            DataError: an example is longer than the model's context.
            ModelError: the model answers with something that is no number, or memory does not suffice.
        """
        ...

    def ended_logprobs(
        self, examples: "Sequence[Example]", *, task: str, on_scored: Callable[[int], None]
    ) -> tuple[list[list[float]], list[list[int]]]:
        """The same of the answers as tuning teaches them, each with what ends it."""
        ...

    def generate(
        self,
        examples: "Sequence[Example]",
        *,
        task: str,
        generation: "Generation",
        on_written: Callable[[int, int], None],
        remember: "Remember",
        apart: bool = False,
    ) -> "Texts":
        """The texts written to each prompt, its samples.

        Args:
            examples: sorted by id.
            task: named in errors.
            generation: how they are written.
            on_written: called with the numbers of texts and of tokens that were written so far.
            remember: keeps texts that were written before the last one is.
            apart: write few together, so that the arithmetic is grouped in another way than usual, where that can be
                chosen.

        Raises:
            DataError: a prompt with the longest text is longer than the model's context.
            ModelError: the model answers with something that is no number, or memory does not suffice.
        """
        ...

    def rounding(self, examples: "Sequence[Example]", logprobs: Sequence[Sequence[float]]) -> str:
        """JSON of what changes when some examples are asked again in another grouping; empty where nothing can."""
        ...


# Requests to a server that others may ask, too.
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Serving:
    """How servers are asked.

    Attributes:
        at_once: requests that are under way at once; None is `AT_ONCE`, and more of a server that was started for one
            checkpoint.
        timeout_seconds: after which a request counts as lost.
        tokenizer: folder or Hub id of the model whose tokenizer the served one has, or by the names of served ones;
            without it the folder that a server of this machine says it reads.
    """

    at_once: int | None = None
    timeout_seconds: float = 600.0
    tokenizer: str | Mapping[str, str] = field(default="", hash=False)

    def tokenizer_of(self, name: str) -> str:
        """The folder or Hub id for a served model of this name; empty where there is none."""
        return self.tokenizer if isinstance(self.tokenizer, str) else self.tokenizer.get(name, "")

    def kept_to(self, names: Iterable[str]) -> "Serving":
        """The same with a tokenizer that has no name kept to served models of these names, if there are any."""
        known = list(names)
        if not known or not isinstance(self.tokenizer, str) or not self.tokenizer:
            return self
        return replace(self, tokenizer=dict.fromkeys(known, self.tokenizer))

    def __post_init__(self) -> None:
        if self.at_once is not None and self.at_once < 1:
            raise ConfigError(f"requests at once: expected 1 or more, got {self.at_once}")
        if not 0 < self.timeout_seconds < float("inf"):
            raise ConfigError(f"timeout: expected seconds above 0, got {self.timeout_seconds}")


AS_USUAL = Serving()


@dataclass(frozen=True, slots=True)
class Served:
    """Models that users write `BACKEND:REFERENCE` and whose weights are not here: they are measured, never trained.

    Attributes:
        identity: reference -> what stands for the model in keys and results, in place of a digest of its bytes; raises
            a `ModelError` where there is no such model.
        open: on a reference, to be asked in some way.
        check: refuses, before anything else is asked of a reference, abilities that its server does not have.
        reader: tokenizer and context of the model behind a reference, where they are here.
    """

    identity: Callable[[str], str]
    open: Callable[[str, Serving], Backend]
    check: Callable[[str, Serving, frozenset[Ability]], None] = lambda *_: None
    reader: "Callable[[str, Serving], Reader | None]" = lambda *_: None


@dataclass(frozen=True, slots=True)
class BackendKind:
    """A kind of backend, as the registry holds it.

    Attributes:
        name: as users write it.
        version: raised when its numbers change; part of every key.
        abilities: what it can compute.
        opens: the files of a checkpoint, or models that are served.
        share: opens a part of the work, where several of our processes compute together: a loaded model, tokens that go
            through it together, and which process it is. None where they cannot.
    """

    name: str
    version: str
    abilities: frozenset[Ability]
    opens: Callable[[CheckpointFiles], Backend] | Served
    share: "Callable[[LoadedModel, int | None, Rank], Backend] | None" = None

    @property
    def is_served(self) -> bool:
        """Whether its models are served, so that their weights are not here."""
        return isinstance(self.opens, Served)

    def check(self, needs: frozenset[Ability], measure: str) -> None:
        """Refuse a measure that needs what this backend cannot compute.

        Raises:
            ConfigError: it needs more.
        """
        if missing := sorted(needs - self.abilities):
            raise ConfigError(
                f"measure '{measure}' needs {' and '.join(missing)}, and backend '{self.name}' computes "
                f"{' and '.join(sorted(self.abilities))} only; name another backend"
            )

    def content(self) -> list[Any]:
        """What of the backend determines its numbers."""
        return [self.name, self.version]
