"""How a prompt goes to a server that renders turns and reads text by itself: as it is, or as our own token ids."""

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from chaintune.models.chat import has_template
from chaintune.models.encoding import encode_prompts
from chaintune.records import Example, Message


def own_ids(tokenizer: PreTrainedTokenizerBase, example: Example) -> tuple[int, ...] | None:
    """Token ids of a prompt that a server would read otherwise, were it sent as text or turns; None of any other.

    Turns that no template here renders are the server's to render.

    Args:
        tokenizer: of the model that is served.
        example: whose prompt is sent.

    Raises:
        DataError: the chat template cannot render the turns.
        ModelError: there is no chat template of the name that the task gives.
    """
    prompt = example.prompt
    if not isinstance(prompt, str) and not has_template(tokenizer, example.chat):
        return None
    (tokens,) = encode_prompts(tokenizer, [example])
    if isinstance(prompt, str):
        plain = tokenizer(prompt, verbose=False)["input_ids"]
    elif tokenizer.chat_template and not example.chat.template:
        turns = plain_turns(prompt)
        plain = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    else:
        return tokens
    return None if tuple(plain) == tokens else tokens


def plain_turns(turns: Sequence[Message]) -> list[dict[str, Any]]:
    """The turns as chat completions take them."""
    return [{"role": turn.role, "content": turn.content, **turn.extra} for turn in turns]
