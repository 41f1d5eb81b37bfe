"""What a language model forgot when it was fine-tuned again, whom it forgot, and what brings it back.

    import chaintune

    results = chaintune.Study.from_yaml("study.yaml").run()
    results.to_polars()

    before = chaintune.score("my-model", "bbq", test="40 per category")
    after = chaintune.score("my-model-tuned-again", "bbq", test="40 per category")
    chaintune.compare(before, after, by=["category"])

Importing this loads no torch; what needs it loads it when it is called.
"""

from typing import TYPE_CHECKING, Any

from chaintune.errors import (
    ChaintuneError,
    ConfigError,
    DataError,
    MissingPackageError,
    ModelError,
    StageError,
    StoreError,
)

if TYPE_CHECKING:
    from chaintune.api import Study, curvature, mitigate, suite
    from chaintune.auditing import audit, score
    from chaintune.callback.callback import ForgettingCallback
    from chaintune.logs import compare, compare_series
    from chaintune.records import (
        Audit,
        Choices,
        Comparison,
        Curvature,
        Estimate,
        Example,
        Message,
        Preference,
        Recipe,
        Reference,
        ResultRow,
        Scores,
        Series,
        Task,
    )
    from chaintune.rescoring import rescore
    from chaintune.series import audit_series

__all__ = [
    "Audit",
    "ChaintuneError",
    "Choices",
    "Comparison",
    "ConfigError",
    "Curvature",
    "DataError",
    "Estimate",
    "Example",
    "ForgettingCallback",
    "Message",
    "MissingPackageError",
    "ModelError",
    "Preference",
    "Recipe",
    "Reference",
    "ResultRow",
    "Scores",
    "Series",
    "StageError",
    "StoreError",
    "Study",
    "Task",
    "audit",
    "audit_series",
    "compare",
    "compare_series",
    "curvature",
    "mitigate",
    "rescore",
    "score",
    "suite",
]

_RECORDS = (
    "Audit", "Choices", "Comparison", "Curvature", "Estimate", "Example", "Message", "Preference", "Recipe",
    "Reference", "ResultRow", "Scores", "Series", "Task",
)  # fmt: skip
_HOMES = dict.fromkeys(_RECORDS, "records") | {
    "ForgettingCallback": "callback.callback",
    "Study": "api",
    "audit": "auditing",
    "audit_series": "series",
    "compare": "logs",
    "compare_series": "logs",
    "curvature": "api",
    "mitigate": "api",
    "rescore": "rescoring",
    "score": "auditing",
    "suite": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'chaintune' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"chaintune.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
