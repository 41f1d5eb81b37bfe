"""OSF: each weight matrix is trained orthogonally to its largest singular directions, which are kept.

Use when: the whole model is tuned, nothing of the earlier task is at hand, and one decomposition of each matrix and
somewhat slower steps are affordable.

On your own Trainer: train `orthogonal(model, rank=0.5)`, then `merge_and_unload()`.

Source:
    Nayak et al. 2025, Sculpting subspaces: constrained full fine-tuning in LLMs for continual learning,
    arXiv:2504.07097; the implementation is PEFT's.
"""

from typing import Any

from peft import OSFConfig

from chaintune.models.adapters import new_adapter


def orthogonal(model: Any, rank: float) -> Any:
    """The model as a PEFT model whose linear layers are trained in the smaller singular directions only.

    Args:
        model: without an adapter.
        rank: share of each matrix's directions that are kept, in (0, 1).
    """
    return new_adapter(model, OSFConfig(target_modules="all-linear", effective_rank=rank, task_type="CAUSAL_LM"))
