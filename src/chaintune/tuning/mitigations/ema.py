"""EMA: the stage ends with a running average of its weights, which begins at the weights before it.

Use when: a late checkpoint forgets more than an early one; the average lies nearer to the start.

On your own Trainer: `trainer.add_callback(EMA(model, decay=0.99))`, made before training begins.

Source:
    Polyak and Juditsky 1992; against forgetting: Stojanovski et al. 2022, Momentum-based weight interpolation,
    arXiv:2211.03186.
"""

from typing import Any

import torch
from transformers import TrainerCallback

from chaintune.tuning.mitigations.anchor import laid_like, trainable_weights
from chaintune.tuning.optimizer import exact_weight


class EMA(TrainerCallback):
    """After each step `average = decay * average + (1 - decay) * weights`; at the end the average is the model.

    Memory: 4 bytes a trained weight. What the Trainer saves on the way are the weights, not their average.

    Args:
        model: with the weights that the average begins at.
        decay: in (0, 1); about `1 / (1 - decay)` steps are averaged.
    """

    def __init__(self, model: Any, *, decay: float) -> None:
        self._decay = decay
        self._average = {name: weight.detach().float().clone() for name, weight in trainable_weights(model).items()}

    @torch.no_grad()
    def on_step_end(self, *_: Any, model: Any = None, optimizer: Any = None, **__: Any) -> None:
        """Take the step's weights into the average."""
        for name, weight in trainable_weights(model).items():
            average = self._average[name] = laid_like(weight, self._average[name])
            average.lerp_(exact_weight(optimizer, weight).float(), 1 - self._decay)

    @torch.no_grad()
    def on_train_end(self, *_: Any, model: Any = None, **__: Any) -> None:
        """Put the average into the model."""
        for name, weight in trainable_weights(model).items():
            weight.copy_(self._average[name])
