"""How a dimension is written: one name, or two whose groups are crossed."""

import re

from chaintune.errors import ConfigError

# People write `category x polarity`, results say `category & polarity`; both mean the same everywhere.
_TIMES = re.compile(r"\s+[x&]\s+")


def parts_of(dimension: str) -> tuple[str, ...]:
    """The one name of a dimension, or the two that are crossed in it, without the blanks around them.

    Example:
        >>> parts_of("category"), parts_of("category x polarity"), parts_of("category  &  polarity")
        (('category',), ('category', 'polarity'), ('category', 'polarity'))

    Raises:
        ConfigError: an empty name, or anything but two different dimensions are crossed.
    """
    parts = tuple(part.strip() for part in _TIMES.split(dimension))
    if not all(parts) or len(parts) > 2 or len(set(parts)) != len(parts):
        raise ConfigError(f"by '{dimension}': expected a dimension, or two of them as 'category x polarity'")
    return parts


def one_name(text: str) -> str:
    """A text as the name of one dimension, which nobody takes for two that are crossed.

    Example:
        >>> one_name(" age x faith "), one_name("")
        ('age_x_faith', 'group')
    """
    return _TIMES.sub("_x_", text.strip()) or "group"


def joined(*parts: str) -> str:
    """The name in results of one dimension, of two that are crossed, or of a pair of their groups.

    Example:
        >>> joined("category", "polarity"), joined("category")
        ('category & polarity', 'category')
    """
    return " & ".join(parts)
