"""Several processes share every step among them, and nothing of it twice."""

from itertools import chain
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chaintune.errors import StageError
from chaintune.models.encoding import Encoded
from chaintune.records import Recipe, Regulariser
from chaintune.scoring.shared_prompts import equal_prefix_batches
from chaintune.tuning.sharding import check_can_shard, training_bytes
from chaintune.tuning.shared_prefixes import collate_tree
from chaintune.tuning.step_rank import StepRank
from chaintune.tuning.tokenized import collate

SIZES = st.integers(1, 20)


@given(st.integers(1, 60), SIZES, SIZES, st.integers(1, 5))
def test_each_lesson_of_a_step_is_read_once_and_all_read_equally_many_micro_batches(
    lessons: int, batch_size: int, wanted: int, ranks: int
) -> None:
    shares = [StepRank(rank, ranks) for rank in range(ranks)]
    if batch_size < ranks:
        with pytest.raises(StageError, match=f"{ranks} cannot share steps of {batch_size} examples"):
            shares[0].micro_batch(batch_size, wanted)
        return
    micro = shares[0].micro_batch(batch_size, wanted)
    passes = shares[0].accumulation(batch_size, micro)
    read = [share.micro_batches(lessons, batch_size=batch_size, micro=micro) for share in shares]
    assert micro <= wanted
    assert len({len(mine) for mine in read}) == 1
    for step, start in enumerate(range(0, lessons, batch_size)):
        taken = [run for mine in read for run in mine[step * passes : (step + 1) * passes]]
        assert sorted(chain(*taken)) == list(range(start, min(start + batch_size, lessons)))


def test_one_process_reads_what_it_read_before_there_were_others() -> None:
    whole = StepRank()
    assert whole.micro_batch(16, 4) == 4
    assert whole.micro_batches(11, batch_size=8, micro=4) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


def test_an_empty_micro_batch_teaches_nothing() -> None:
    assert collate([])["labels"].tolist() == [[-100]]
    assert collate_tree([])["labels"].tolist() == [[-100]]
    assert collate([])["lengths"].sum() == collate_tree([])["lengths"].sum() == 0
    assert collate([])["tokens"] == collate_tree([])["tokens"] == 0


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_work_is_dealt_out_whole(ranks: int) -> None:
    encoded = [Encoded(tuple(range(length)), ((1,), (2,))) for length in (5, 5, 3, 8, 3, 2)]
    batches = equal_prefix_batches(encoded, batch_tokens=12, batch_answers=99)
    dealt = chain(*(StepRank(rank, ranks).in_turn(batches) for rank in range(ranks)))
    assert sorted(dealt) == sorted(batches)


@pytest.mark.parametrize(
    ("dtype", "changes", "bytes_a_weight"),
    [
        (torch.float32, {}, 16),
        (torch.bfloat16, {}, 16),
        (torch.bfloat16, {"fp32_masters": False}, 8),
        (torch.bfloat16, {"method": "lora"}, 2),
    ],
)
def test_bytes_of_a_stage_are_counted(dtype: torch.dtype, changes: dict[str, Any], bytes_a_weight: int) -> None:
    model = torch.nn.Linear(3, 5, dtype=dtype)
    assert training_bytes(model, Recipe(**changes).weight_bytes) == 20 * bytes_a_weight


@pytest.mark.parametrize("kind", ["sam", "osf"])
def test_what_needs_whole_weights_is_refused_on_pieces(kind: str) -> None:
    with pytest.raises(StageError, match=f"{kind} needs whole weights on every device"):
        check_can_shard(None, Regulariser(kind, ()))
    check_can_shard(None, Regulariser("ema", ()))
