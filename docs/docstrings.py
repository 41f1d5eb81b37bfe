"""Our docstrings speak of several fields at once (`before, after: mean score`); Google style has one a line."""

import re
from typing import Any

from griffe import Extension, Object

SEVERAL = re.compile(r"^( {4,})(\w+(?:, \w+)+): (.*(?:\n\1 +.*)*)$", re.MULTILINE)


class OneByOne(Extension):
    """Gives each name its own entry, with the same words."""

    def on_object(self, *, obj: Object, **_others: Any) -> None:
        """Rewrite the docstring of an object that was read."""
        if obj.docstring:
            obj.docstring.value = one_by_one(obj.docstring.value)


def one_by_one(text: str) -> str:
    """A docstring with an entry for each name."""

    def apart(found: re.Match[str]) -> str:
        indent, names, told = found.groups()
        return "\n".join(f"{indent}{name}: {told}" for name in names.split(", "))

    return SEVERAL.sub(apart, text)
