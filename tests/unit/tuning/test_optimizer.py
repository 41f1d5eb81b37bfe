"""AdamW in fp32, whatever the weights are stored in."""

from typing import Any

import pytest
import torch

from chaintune.tuning import optimizer as module
from chaintune.tuning.optimizer import MasterAdamW

OPTIONS: dict[str, Any] = {"lr": 1e-2, "weight_decay": 0.1, "betas": (0.9, 0.99)}


def parameter(seed: int, dtype: torch.dtype = torch.float32) -> torch.nn.Parameter:
    draw = torch.randn(6, 5, generator=torch.Generator().manual_seed(seed))
    return torch.nn.Parameter(draw.to(dtype))


def gradients(steps: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(9)
    return [torch.randn(6, 5, generator=generator) for _ in range(steps)]


@pytest.mark.parametrize("fused", [True, False])
def test_on_fp32_weights_it_is_adamw(fused: bool) -> None:
    ours, theirs = [parameter(0), parameter(1)], [parameter(0), parameter(1)]
    groups = [{"params": [ours[0]], "lr": 1e-3}, {"params": [ours[1]], "weight_decay": 0.0}]
    same = [{"params": [theirs[0]], "lr": 1e-3}, {"params": [theirs[1]], "weight_decay": 0.0}]
    optimizers = MasterAdamW(groups, fused=fused, **OPTIONS), torch.optim.AdamW(same, fused=fused, **OPTIONS)
    for gradient in gradients(20):
        for weights, optimizer in zip((ours, theirs), optimizers, strict=True):
            for weight in weights:
                weight.grad = gradient.clone()
            optimizer.step()
    assert all(a.equal(b) for a, b in zip(ours, theirs, strict=True))


def test_on_bf16_weights_it_is_adamw_in_fp32_rounded_once() -> None:
    stored, exact = parameter(0, torch.bfloat16), torch.nn.Parameter(parameter(0, torch.bfloat16).detach().float())
    ours, theirs = MasterAdamW([stored], **OPTIONS), torch.optim.AdamW([exact], **OPTIONS)
    for gradient in gradients(50):
        stored.grad, exact.grad = gradient.bfloat16(), gradient.bfloat16().float()
        ours.step()
        theirs.step()
        assert stored.equal(exact.bfloat16())
        assert stored.grad is None


def test_gradients_in_fp32_are_of_few_weights_at_a_time_and_of_none_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 60)  # two of the weights
    stored = [parameter(seed, torch.bfloat16) for seed in range(5)]
    exact = [torch.nn.Parameter(weight.detach().float()) for weight in stored]
    beside, same = parameter(7), parameter(7)  # in fp32 among the others
    groups = [{"params": [*stored[:3], beside]}, {"params": stored[3:], "weight_decay": 0.0}]
    alike = [{"params": [*exact[:3], same]}, {"params": exact[3:], "weight_decay": 0.0}]
    ours, theirs = MasterAdamW(groups, **OPTIONS), torch.optim.AdamW(alike, **OPTIONS)
    held: list[list[float]] = []
    step = torch.optim.AdamW.step

    def counted(self: torch.optim.AdamW, closure: Any = None) -> Any:
        held.append([ours.exact(weight).grad is not None for weight in stored])
        return step(self, closure)

    for gradient in gradients(20):
        for weight in (*stored, *exact, beside, same):
            weight.grad = gradient.to(weight.dtype) if weight.dtype == torch.bfloat16 else gradient.bfloat16().float()
        theirs.step()
        with monkeypatch.context() as patch:
            patch.setattr(torch.optim.AdamW, "step", counted)
            ours.step()
        assert all(weight.equal(other.bfloat16()) for weight, other in zip(stored, exact, strict=True))
        assert beside.equal(same)
        assert not any(ours.exact(weight).grad is not None for weight in stored)
    assert [sum(now) for now in held] == [2, 1, 2] * 20
    assert ours._buffer.numel() == 60
    assert [len(group["params"]) for group in ours.param_groups] == [4, 2]


def test_many_steps_too_small_for_bf16_are_not_lost() -> None:
    ours, naive = (torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16)) for _ in range(2))
    optimizers = MasterAdamW([ours], lr=1e-4, weight_decay=0), torch.optim.AdamW([naive], lr=1e-4, weight_decay=0)
    for _ in range(200):
        for weight, optimizer in zip((ours, naive), optimizers, strict=True):
            weight.grad = torch.ones_like(weight)
            optimizer.step()
    assert naive.tolist() == [1.0] * 4
    torch.testing.assert_close(ours.float(), torch.full((4,), 0.98), atol=0.002, rtol=0)


def test_a_weight_without_a_gradient_stays() -> None:
    used, unused = parameter(0, torch.bfloat16), parameter(1, torch.bfloat16)
    before = unused.detach().clone()
    optimizer = MasterAdamW([used, unused], **OPTIONS)
    used.grad = torch.ones_like(used)
    optimizer.step()
    assert unused.equal(before)
    assert not used.equal(parameter(0, torch.bfloat16))


def test_a_schedule_reaches_it() -> None:
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    optimizer = MasterAdamW([weight], lr=0.5, weight_decay=0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _step: 0.0)
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    schedule.step()
    assert weight.item() == 1.0


def test_without_the_copy_it_is_adamw_on_bf16_and_small_steps_are_lost() -> None:
    ours, theirs, exact = (parameter(0, torch.bfloat16) for _ in range(3))
    optimizers = (
        MasterAdamW([ours], masters=False, lr=1e-5),
        torch.optim.AdamW([theirs], lr=1e-5),
        MasterAdamW([exact], lr=1e-5),
    )
    before = ours.detach().clone()
    for gradient in gradients(200):
        for weight, optimizer in zip((ours, theirs, exact), optimizers, strict=True):
            weight.grad = gradient.bfloat16()
            optimizer.step()
    assert ours.equal(theirs)
    assert (exact != before).sum() > (ours != before).sum()
