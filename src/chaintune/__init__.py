"""What a language model forgot when it was fine-tuned again, whom it forgot, and what brings it back.

    import chaintune

    results = chaintune.Study.from_yaml("study.yaml").run()
    print(results)

    before = chaintune.score("my-model", "bbq", test="40 per category")
    after = chaintune.score("my-model-tuned-again", "bbq", test="40 per category")
    print(chaintune.compare(before, after, by=["category"]))

    results = chaintune.load("runs/study")
    model, tokenizer = results.checkpoint("bbq>csqa").load()

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
from chaintune.shown import Presentation, Printed

if TYPE_CHECKING:
    from chaintune import tasks
    from chaintune.api import Study, curvature, mitigate, order, suite
    from chaintune.auditing import audit, score
    from chaintune.callback.callback import ForgettingCallback
    from chaintune.finished import join, load
    from chaintune.forgetting.orders import PredictedOrders
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
    from chaintune.results import Mitigations, StudyCheckpoint, StudyResults
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
    "Mitigations",
    "ModelError",
    "PredictedOrders",
    "Preference",
    "Recipe",
    "Reference",
    "ResultRow",
    "Scores",
    "Series",
    "StageError",
    "StoreError",
    "Study",
    "StudyCheckpoint",
    "StudyResults",
    "Task",
    "audit",
    "audit_series",
    "compare",
    "compare_series",
    "curvature",
    "join",
    "load",
    "mitigate",
    "order",
    "rescore",
    "score",
    "suite",
    "tasks",
]

_RECORDS = (
    "Audit", "Choices", "Comparison", "Curvature", "Estimate", "Example", "Message", "Preference", "Recipe",
    "Reference", "ResultRow", "Scores", "Series", "Task",
)  # fmt: skip
_RESULTS = ("Mitigations", "StudyCheckpoint", "StudyResults")
_HOMES = (
    dict.fromkeys(_RECORDS, "records")
    | dict.fromkeys(_RESULTS, "results")
    | {
        "ForgettingCallback": "callback.callback",
        "PredictedOrders": "forgetting.orders",
        "Study": "api",
        "audit": "auditing",
        "audit_series": "series",
        "compare": "logs",
        "compare_series": "logs",
        "curvature": "api",
        "join": "finished",
        "load": "finished",
        "mitigate": "api",
        "order": "api",
        "rescore": "rescoring",
        "score": "auditing",
        "suite": "api",
    }
)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "tasks":  # a room, which one reaches without importing it
        return import_module("chaintune.tasks")
    if name not in _HOMES:
        raise AttributeError(f"module 'chaintune' has no attribute '{name}'")
    return getattr(import_module(f"chaintune.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)


def _presented(results: Any) -> Presentation:
    from chaintune.report.shown import presented  # nothing of a report is loaded before something is shown

    return presented(results)


Printed.present = _presented
