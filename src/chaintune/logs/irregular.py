"""Why a quick reader leaves a file to a thorough one."""


class Irregular(Exception):  # noqa: N818 - no error: the file is read another way
    """Something that the quick reader does not know; what it was, as the end of a sentence."""
