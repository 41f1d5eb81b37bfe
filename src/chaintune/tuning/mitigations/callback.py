"""A Trainer's callback that is defined without loading transformers."""

from collections.abc import Callable
from typing import Any


class Callback:
    """Base of a mitigation's callback; events that it does not define do nothing.

    A Trainer asks its callbacks for the events by name and for nothing else. `transformers.TrainerCallback` would load
    torch wherever a mitigation is only named, as in reading a study file.
    """

    def __getattr__(self, event: str) -> Callable[..., None]:
        if not event.startswith("on_"):
            raise AttributeError(f"{type(self).__name__} has no attribute '{event}'")
        return _nothing


def _nothing(*_: Any, **__: Any) -> None:
    return None
