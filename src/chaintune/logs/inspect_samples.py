"""A sample of Inspect as plain data: its fields, and digests of its question."""

from collections.abc import Sequence
from typing import Any

from chaintune.logs.facts import digest


def sample_fields(sample: Any) -> dict[str, Any]:
    """The fields of a sample or summary that may be named, but for the score.

    White space inside texts of the metadata counts as one space, as in the summaries that Inspect writes.
    """
    metadata = {
        name: " ".join(value.split()) if isinstance(value, str) else value for name, value in sample.metadata.items()
    }
    return {"id": sample.id, "target": sample.target, "metadata": metadata}


def question_digests(summary: Any) -> dict[str, str]:
    """Digests of what an example asked, `input` with its choices and `target`, both as long as a summary has them."""
    question = summary.input if isinstance(summary.input, str) else _messages(summary.input)
    target = summary.target if isinstance(summary.target, list) else [summary.target]
    return {"input": digest([question, *(summary.choices or ())]), "target": digest(target)}


def prompt_digest(messages: Sequence[Any]) -> str:
    """Digest of the messages before the model's first answer; empty when there are none."""
    prompt = []
    for message in messages:
        if message.role == "assistant":
            break
        prompt.append(message)
    return digest(_messages(prompt)) if prompt else ""


def _messages(messages: Sequence[Any]) -> list[Any]:
    """Role and content; the ids are drawn at random."""
    return [message.model_dump(mode="json", include={"role", "content"}) for message in messages]
