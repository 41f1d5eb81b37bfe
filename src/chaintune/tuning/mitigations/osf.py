"""OSF: each weight matrix is trained orthogonally to its largest singular directions, which are kept.

Use when: the whole model is tuned, nothing of the earlier task is at hand, and one decomposition of each matrix and
somewhat slower steps are affordable.

On your own Trainer: train `orthogonal(model, rank=0.5)`, then `merge_and_unload()`.

Source:
    Nayak et al. 2025, Sculpting subspaces: constrained full fine-tuning in LLMs for continual learning,
    arXiv:2504.07097; the implementation is PEFT's.
"""

from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import Field

from chaintune.config.validation import as_list
from chaintune.errors import StageError
from chaintune.tuning.mitigations.mitigation import Hook, Mitigation, StageModel
from chaintune.tuning.mitigations.specs import Inside, MitigationSpec, Several


class OsfSpec(MitigationSpec):
    """Steps orthogonal to the largest directions of each weight matrix.

    Attributes:
        rank: share of the directions that are kept.
    """

    rank: Annotated[list[Inside], Several, as_list] = Field(default_factory=lambda: [0.5])

    varied: ClassVar[str] = "rank"


def orthogonal(model: Any, rank: float) -> Any:
    """The model as a PEFT model whose linear layers are trained in the smaller singular directions only.

    Args:
        model: without an adapter.
        rank: share of each matrix's directions that are kept, in (0, 1).
    """
    from peft import OSFConfig

    from chaintune.models.adapters import new_adapter

    return new_adapter(model, OSFConfig(target_modules="all-linear", effective_rank=rank, task_type="CAUSAL_LM"))


def _apply(stage: StageModel, *, rank: float) -> Hook:
    from chaintune.models.loading import merge_adapter

    if stage.loaded.has_adapter:
        raise StageError(
            "osf trains the whole weight matrices, 'method: lora' and 'peft' an adapter beside them; choose one"
        )
    wrapped = replace(stage.loaded, model=orthogonal(stage.loaded.model, rank))
    return Hook(loaded=wrapped, remove=lambda: merge_adapter(wrapped))


MITIGATION = Mitigation(spec=OsfSpec, place="later stages", apply=_apply, weights="whole", own_trainer="orthogonal")
