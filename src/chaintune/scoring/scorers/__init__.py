"""What judges a generated text. A scorer is a file here, or an entry point of an installed package."""

from collections.abc import Mapping
from typing import Any, cast

from chaintune.config.source import plain_mapping
from chaintune.config.validation import Spec, check
from chaintune.registry import Registry
from chaintune.scoring.scorers.scorer import Scorer, Verdict

__all__ = ["SCORERS", "Scorer", "Verdict", "checked_settings"]

SCORERS = Registry(
    "scorer",
    "chaintune.scorers",
    Scorer,
    {
        name: f"chaintune.scoring.scorers.{name}:SCORER"
        for name in ("exact_match", "contains", "regex", "number", "multiple_choice", "refusal", "classifier", "judge")
    },
)


def checked_settings(schema: type[Spec], written: Mapping[str, Any], where: str) -> Spec:
    """The settings of a schema, those that are not written at their defaults.

    Raises:
        ConfigError: a setting is invalid.
    """
    source = plain_mapping(written, where)
    settings = check(schema, dict(written), (), source)
    source.stop_if_wrong()
    return cast("Spec", settings)
