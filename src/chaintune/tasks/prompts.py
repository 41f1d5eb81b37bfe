"""How a question becomes a prompt, and a choice the text that follows it.

The context stands first, so that examples that differ in the question only share a prefix. Whoever
changes a text here raises the version of the tasks that use it: the version is part of every key.
"""

from collections.abc import Sequence

YES_OR_NO = ("yes", "no")


def question_prompt(question: str, choices: Sequence[str] = (), *, context: str = "") -> str:
    """The prompt of a question, with its choices listed in the order of the data where they are given.

    Where the question cannot be answered without seeing the choices (BBQ's "cannot be known") they are
    listed; where it can (CommonsenseQA, OpenBookQA) they are not, as in the cloze formulation that small
    models are measured with.

    Source:
        Gu et al. 2024, OLMES (arXiv:2406.08446), section 3.3, on both formulations.

    Example:
        >>> print(question_prompt("Who was late?", ["Ann", "Bob"], context="Ann came at noon."))
        Ann came at noon.
        Question: Who was late?
        Choices:
        - Ann
        - Bob
        Answer:
    """
    lines = [context] if context else []
    lines.append(f"Question: {question}")
    lines += ["Choices:", *(f"- {choice}" for choice in choices)] if choices else []
    return "\n".join([*lines, "Answer:"])


def continuation(prompt: str, choice: str) -> str:
    """The text that is scored for a choice: with a space before it unless one side already has white space."""
    return choice if prompt[-1:].isspace() or choice[:1].isspace() else f" {choice}"


def choice_defect(choices: Sequence[str]) -> str:
    """Why these choices cannot be told apart by their scores; empty when they can.

    Example:
        >>> choice_defect(["home", "school", "home "])
        "choices 0 and 2 read the same ('home')"
    """
    if len(choices) < 2:
        return f"{len(choices)} choice, expected at least 2"
    first: dict[str, int] = {}
    for k, choice in enumerate(text.strip() for text in choices):
        if not choice:
            return f"choice {k} is blank"
        if choice in first:
            return f"choices {first[choice]} and {k} read the same ('{choice}')"
        first[choice] = k
    return ""
