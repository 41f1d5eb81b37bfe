"""Comparisons as JSON by a published schema."""

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from chaintune.records import Comparison

FORMAT = 1


def comparison_json(comparisons: Sequence[Comparison], gate: dict[str, Any] | None = None) -> str:
    """Everything about every task as JSON that fits `comparison_schema`; what is undefined is null.

    Args:
        comparisons: one a task.
        gate: what a policy says about them.
    """
    content = {"format": FORMAT, "comparisons": [comparison.to_dict() for comparison in comparisons], "gate": gate}
    return json.dumps(content, indent=2, allow_nan=False)


def comparison_schema() -> dict[str, Any]:
    """The JSON Schema of `comparison_json`."""
    text = resources.files("chaintune.report").joinpath("comparison.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
