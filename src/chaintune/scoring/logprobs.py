"""Log-probability of every answer, computed the fastest way that the model allows."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from typing import Any

import torch

from chaintune.errors import ModelError
from chaintune.models.encoding import Encoded
from chaintune.models.lockstep import lockstep
from chaintune.models.memory import unless_out_of_memory
from chaintune.models.processes import SINGLE_PROCESS, Rank
from chaintune.models.sharding import is_sharded
from chaintune.models.tree_attention import takes_trees
from chaintune.scoring.memory import too_little
from chaintune.scoring.shared_prompts import shared_prompt_logprobs
from chaintune.scoring.trees import tree_logprobs

# What fills a device's matrix products; benchmarks/scoring.py measures it. More only costs memory.
_CPU_TOKENS, _GPU_TOKENS = 2048, 16_384
# Half a gigabyte in fp32; at a vocabulary of 256k, logits and not the model's states fill the memory.
BATCH_LOGITS = 2**27

_log = logging.getLogger(__name__)


def answer_logprobs(
    model: Any,
    encoded: Sequence[Encoded],
    *,
    batch_tokens: int | None = None,
    on_scored: Callable[[int], None] = lambda _: None,
    share: Rank = SINGLE_PROCESS,
) -> list[list[float]]:
    """Natural-log probability of each answer given its prefix, in the order of `encoded`.

    Models that attend along trees compute each distinct beginning of the whole task once. Others compute
    each prompt once; the log says so. The model's mode is restored; random state is not touched.

    Of a model whose weights are spread over processes, all of them have to call this together; they run equally many
    passes, and none of them can retry with less when out of memory.

    Args:
        model: a causal language model of transformers, or a PEFT model around one.
        encoded: examples as token ids.
        batch_tokens: tokens that go through the model together; None is what suits the device.
        on_scored: called with the number of examples done after each batch.
        share: what of the work to do; choices that are not computed get 0.

    Shape:
        One row an example, one column a choice.

    Raises:
        OutOfMemoryError: of a model that is spread over processes; another call may take less at once.
        ModelError: memory does not even suffice for one example.
    """
    tokens, answers, may_halve = batch_tokens or _batch_tokens(model), _batch_answers(model), not is_sharded(model)
    along_trees = _takes_trees(model, encoded, share)
    with _answering(model):
        if along_trees:
            return tree_logprobs(
                model,
                encoded,
                bin_tokens=min(tokens, answers) if _on_cpu(model) else tokens,
                bin_answers=answers,
                on_scored=on_scored,
                may_halve=may_halve,
                share=share,
            )
        _say_once(type(model).__name__)
        return shared_prompt_logprobs(
            model,
            encoded,
            batch_tokens=tokens,
            batch_answers=answers,
            on_scored=on_scored,
            may_halve=may_halve,
            share=share,
        )


def alone_logprobs(
    model: Any, encoded: Sequence[Encoded], *, batch_tokens: int | None = None, share: Rank = SINGLE_PROCESS
) -> list[list[float]]:
    """The same numbers with nothing shared between examples: what differs from them is rounding."""
    # Models that attend along trees are held to prompts side by side, the others to one prompt after another.
    along_trees = _takes_trees(model, encoded, share)
    with _answering(model):
        return shared_prompt_logprobs(
            model,
            encoded,
            batch_tokens=(batch_tokens or _batch_tokens(model)) if along_trees else 1,
            batch_answers=_batch_answers(model),
            may_halve=not is_sharded(model),
            share=share,
        )


def _takes_trees(model: Any, encoded: Sequence[Encoded], share: Rank) -> bool:
    """What the first of all processes finds, as the pieces that they deal out have to be the same ones.

    All of them look, as it takes all to run a sharded model.
    """
    longest = max((example.longest_tokens for example in encoded), default=1)
    with _answering(model):
        takes = unless_out_of_memory(partial(takes_trees, model, longest_tokens=longest))
    if takes is None:
        raise ModelError(too_little(type(model).__name__, "a few dozen tokens"))
    return share.first_says(takes, next(model.parameters()).device)


def _batch_tokens(model: Any) -> int:
    return _CPU_TOKENS if _on_cpu(model) else _GPU_TOKENS


def _on_cpu(model: Any) -> bool:
    return bool(next(model.parameters()).device.type == "cpu")


def _batch_answers(model: Any) -> int:
    return max(1, BATCH_LOGITS // int(model.config.get_text_config().vocab_size))


@contextmanager
def _answering(model: Any) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        # Not inference_mode: FSDP keeps what it gathers in tensors that training uses again.
        with torch.no_grad(), lockstep(model) if is_sharded(model) else nullcontext():
            yield
    finally:
        model.train(was_training)


@cache
def _say_once(architecture: str) -> None:
    _log.info("%s cannot attend along a tree of tokens; each prompt is computed once instead", architecture)
