"""What is read and what is predicted, for tokenizers of several kinds."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers
from tokenizers.processors import TemplateProcessing
from transformers import ByT5Tokenizer

from chaintune.errors import DataError
from chaintune.models import encoding
from chaintune.models.encoding import Encoded, check_lengths, encode_examples, tell_special_tokens
from chaintune.records import Choices, Example, Message, Reference, examples_digest
from chaintune.scoring.measures.choice import MEASURE
from tests import tiny

TOKENIZERS = {kind: tiny.make_tokenizer(kind) for kind in get_args(tiny.Tokens)}
BYTE_LEVEL, WITH_BOS, SENTENCEPIECE = TOKENIZERS.values()


def item(prompt: str, *choices: str) -> Example:
    return Example("one", prompt, Choices(choices, 0), {}, "c")


def encode(kind: tiny.Tokens, prompt: str, *choices: str) -> Encoded:
    (encoded,) = encode_examples(TOKENIZERS[kind], [item(prompt, *choices)])
    return encoded


def pieces(kind: tiny.Tokens, tokens: tuple[int, ...]) -> list[str]:
    return [TOKENIZERS[kind].convert_ids_to_tokens(token).replace("Ġ", "_").replace("▁", "_") for token in tokens]


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_prefix_and_choice_are_the_tokens_of_the_whole_text(kind: tiny.Tokens) -> None:
    for example in tiny.examples(8):
        (encoded,) = encode_examples(TOKENIZERS[kind], [example])
        for choice, tokens in zip(example.choices.texts, encoded.continuations, strict=True):
            assert list(encoded.prefix + tokens) == TOKENIZERS[kind](example.prompt_text + choice)["input_ids"]


def test_tokenizers_of_one_content_read_an_example_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    chunk = encoding._encode_chunk

    def counted(tokenizer: Any, examples: Sequence[Example], special: Any) -> list[Encoded]:
        read.extend(example.id for example in examples)
        return chunk(tokenizer, examples, special)

    monkeypatch.setattr(encoding, "_encode_chunk", counted)
    examples = tiny.examples(4)
    first = encode_examples(tiny.make_tokenizer("byte-level"), [*examples, examples[0]])
    again = encode_examples(other := tiny.make_tokenizer("byte-level"), examples[::-1])
    assert read == [example.id for example in examples]
    assert first == [*again[::-1], again[-1]]
    other.chat_template = "{{ messages[0].content }}"
    assert encode_examples(other, examples[:1]) == first[:1]
    encode_examples(WITH_BOS, examples[:1])
    assert len(read) == 6  # another template or tokenizer may read it otherwise
    monkeypatch.setattr(encoding, "_KEPT_TOKENS", 60)
    more = tiny.examples(6)[4:]
    encode_examples(other, more[:1])
    encode_examples(other, examples[:1])
    assert len(read) == 8  # what was kept had to make room
    assert encoding._tokens_of(*encoding._read_before.values()) <= 60
    monkeypatch.setattr(encoding, "_KEPT_TOKENS", 9)
    encode_examples(other, more[1:])
    encode_examples(other, more[1:])
    assert len(read) == 10  # what is too much by itself is not kept, and drives nothing out
    encode_examples(other, examples[:1])
    assert len(read) == 10


def test_a_template_that_writes_a_special_token_by_name_is_read_anew_under_another_token() -> None:
    template = tiny.CHAT.replace("'</s>'", "eos_token")
    asked = replace(tiny.examples(1)[0], prompt=(Message("user", "Ann?"),), target=Reference("red"))
    ends = []
    for end in (tiny.END, tiny.UNKNOWN):
        tokenizer = tiny.make_tokenizer("byte-level with BOS")
        tokenizer.eos_token, tokenizer.chat_template = end, template
        (encoded,) = encode_examples(tokenizer, [asked])
        ends.append((encoded.continuations[0][-1], tokenizer.eos_token_id))
    assert ends[0] != ends[1]
    assert all(written == end for written, end in ends)


def test_bos_is_read_where_the_tokenizer_puts_one() -> None:
    assert pieces("byte-level", encode("byte-level", "Ann has", " a", " ball").prefix) == ["Ann", "_has"]
    assert pieces("byte-level with BOS", encode("byte-level with BOS", "Ann has", " a", " ball").prefix)[0] == "<s>"


def test_eos_that_a_tokenizer_appends_is_left_out() -> None:
    tokenizer = tiny.make_tokenizer("byte-level with BOS")
    processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    tokenizer.backend_tokenizer.post_processor = processor
    example = item("Ann has", " a", " ball")
    assert tokenizer("Ann")["input_ids"][-1] == tokenizer.eos_token_id
    assert encode_examples(tokenizer, [example]) == encode_examples(WITH_BOS, [example])


def test_a_choice_may_merge_with_the_end_of_the_prompt() -> None:
    encoded = encode("byte-level", "Ann has a b", "all", "ox")
    assert pieces("byte-level", encoded.prefix) == ["Ann", "_has", "_a"]
    assert [pieces("byte-level", tokens) for tokens in encoded.continuations] == [["_ball"], ["_box"]]


def test_when_one_choice_merges_all_are_scored_on_the_same_span() -> None:
    encoded = encode("byte-level", "Ann has a b", "all", "?")
    assert [pieces("byte-level", tokens) for tokens in encoded.continuations] == [["_ball"], ["_b", "?"]]


def test_a_space_at_the_end_of_a_prompt_moves_into_the_choice() -> None:
    for kind in TOKENIZERS:
        spaced, joined = encode(kind, "Ann has ", "a", "ball"), encode(kind, "Ann has", " a", " ball")
        assert spaced == joined


def test_sentencepiece_marks_the_first_word_of_the_text_and_not_of_the_choice() -> None:
    encoded = encode("sentencepiece", "Ann has", " red", "red")
    assert pieces("sentencepiece", encoded.prefix) == ["<s>", "_Ann", "_has"]
    with_space, without = (pieces("sentencepiece", tokens) for tokens in encoded.continuations)
    assert with_space == ["_red"]
    assert "".join(without) == "red"


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_choice_may_begin_another(kind: tiny.Tokens) -> None:
    encoded = encode(kind, "Colour?", " red", " red box", " red box in")
    first, second, third = encoded.continuations
    assert second[: len(first)] == first
    assert len(first) < len(second) < len(third)


@pytest.mark.parametrize(("kind", "read"), [("byte-level", "</s>"), ("byte-level with BOS", "<s>")])
def test_an_empty_prompt_is_replaced_by_a_token_that_begins_a_text(kind: tiny.Tokens, read: str) -> None:
    encoded = encode(kind, "", "red", "blue")
    assert pieces(kind, encoded.prefix) == [read]
    assert all(encoded.continuations)


def test_without_any_special_token_something_is_read_still() -> None:
    tokenizer = tiny.make_tokenizer()
    tokenizer.eos_token = None
    (encoded,) = encode_examples(tokenizer, [item("", "red", "blue")])
    assert len(encoded.prefix) == 1


def test_a_choice_that_disappears_in_the_prompts_last_token_is_predicted_with_it() -> None:
    tokenizer = tiny.make_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Strip()
    (encoded,) = encode_examples(tokenizer, [item("a red box", " ", " red")])
    assert [tokenizer.decode(tokens) for tokens in encoded.continuations] == [" box", " box red"]


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(prompt=words, choices=st.lists(words.filter(str.strip), min_size=2, max_size=4, unique=True))
@hypothesis.example(
    prompt="u", choices=["0", "e"]
)  # each choice merges with the prompt, of which nothing is left to be read
@hypothesis.example(prompt="", choices=["0", "e"])
@hypothesis.example(prompt="</s>", choices=["0", "e"])
def test_any_text_is_read_and_predicted_whole(prompt: str, choices: list[str]) -> None:
    (encoded,) = encode_examples(BYTE_LEVEL, [item(prompt, *choices)])
    read = "" if encoded.prefix == (BYTE_LEVEL.eos_token_id,) else BYTE_LEVEL.decode(encoded.prefix)
    assert prompt.encode().startswith(read.rstrip("�").encode())
    for choice, tokens in zip(choices, encoded.continuations, strict=True):
        assert tokens
        prefix = encoded.prefix if read else ()
        assert BYTE_LEVEL.decode(prefix + tokens) == prompt + choice


@pytest.mark.parametrize(
    ("prompt", "choices"),
    [("日本語の質問:", ("はい", "いいえ")), ("Qui est né ?", (" Zoë", " Zoe\u0308")), ("🙂", ("🙂", "🙃"))],
)
def test_unicode_beyond_the_vocabulary_is_bytes(prompt: str, choices: tuple[str, str]) -> None:
    encoded = encode("byte-level", prompt, *choices)
    for choice, tokens in zip(choices, encoded.continuations, strict=True):
        assert BYTE_LEVEL.decode(encoded.prefix + tokens) == prompt + choice


def test_choices_that_the_tokenizer_cannot_tell_apart_are_refused_by_name() -> None:
    assert encode("byte-level", "Which?", " 日", " 本")
    with pytest.raises(DataError, match=r"example 'one': the tokenizer reads choices 0 and 1 alike \(' 日', ' 本'\)"):
        encode("sentencepiece", "Which?", " 日", " 本")


def test_a_text_that_the_tokenizer_reads_nothing_in_is_refused_by_name() -> None:
    tokenizer = tiny.make_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("x", "")
    with pytest.raises(DataError, match="example 'one': the tokenizer reads nothing in prompt and choice 1"):
        encode_examples(tokenizer, [item("", "red", "xx")])


def special(example: Example) -> Example:
    return replace(example, special_tokens=True)


@pytest.mark.parametrize("kind", ["byte-level with BOS", "sentencepiece"])
@pytest.mark.parametrize("written", ["<s>", "<s><s>"])
def test_a_prompt_that_begins_with_bos_begins_with_one(kind: tiny.Tokens, written: str) -> None:
    assert encode(kind, f"{written}Ann has", " a", " ball") == encode(kind, "Ann has", " a", " ball")
    (read,) = encode_examples(TOKENIZERS[kind], [special(item("<s>Ann has", " a", " ball"))])
    assert pieces(kind, read.prefix).count("<s>") == 1
    assert read.continuations == encode(kind, "Ann has", " a", " ball").continuations


def test_bos_is_read_at_the_beginning_of_a_prompt_where_the_tokenizer_puts_none() -> None:
    tokenizer = tiny.make_tokenizer()
    tokenizer.bos_token = tiny.BEGIN
    (read,) = encode_examples(tokenizer, [item("<s>Ann has", " a", " ball")])
    assert read.prefix == (tokenizer.bos_token_id, *encode("byte-level", "Ann has", " a", " ball").prefix)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_special_tokens_that_are_written_are_text(kind: tiny.Tokens) -> None:
    tokenizer = TOKENIZERS[kind]
    encoded = encode(kind, "The tag </s> and <unk>", " ends", " begins <s>")
    leading = 0 if kind == "byte-level" else 1
    for tokens, choice in zip(encoded.continuations, (" ends", " begins <s>"), strict=True):
        read = encoded.prefix[leading:] + tokens
        assert not {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<s>")} & set(read)
        if kind != "sentencepiece":
            assert tokenizer.decode(read) == "The tag </s> and <unk>" + choice


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_special_tokens_are_read_as_such_where_the_example_says_so(kind: tiny.Tokens) -> None:
    tokenizer, prompt = TOKENIZERS[kind], "Ann</s>has"
    (encoded,) = encode_examples(tokenizer, [special(item(prompt, " a</s>", " ball"))])
    assert list(encoded.prefix + encoded.continuations[0]) == tokenizer(prompt + " a</s>")["input_ids"]
    assert tokenizer.eos_token_id in encoded.prefix


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_examples_without_special_tokens_are_read_alike_beside_others(kind: tiny.Tokens) -> None:
    plain, others = (
        tiny.examples(6),
        [item("<s>Ann", " a", " b"), item("Ann</s>", " a", " b"), special(item("</s>", " a", " b"))],
    )
    mixed = [one for pair in zip(plain, others * 2, strict=True) for one in pair]
    encoded = encode_examples(TOKENIZERS[kind], mixed)
    assert encoded[::2] == encode_examples(TOKENIZERS[kind], plain)
    assert encoded[1::2] == [encode_examples(TOKENIZERS[kind], [one])[0] for one in others * 2]


def test_a_tokenizer_in_python_reads_them_as_text_too() -> None:
    (encoded,) = encode_examples(ByT5Tokenizer(), [item("a</s>b", " c", " d")])
    assert len(encoded.prefix) == len("a</s>b")


def test_special_tokens_that_are_read_as_text_are_told_with_their_count(caplog: pytest.LogCaptureFixture) -> None:
    examples = [replace(item(prompt, " a", " b"), id=prompt) for prompt in ("plain", "<s>[user]", "Ann</s>", "<unk>")]
    for _ in range(2):
        tell_special_tokens(WITH_BOS, [*examples, special(examples[2])], task="mine")
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "task 'mine': 2 of 5 examples hold special tokens of the model, '</s>' in 'Ann</s>' for one, which are read as"
    )


def test_how_they_are_read_is_part_of_what_is_measured() -> None:
    plain, read = item("Ann</s>", " a", " b"), special(item("Ann</s>", " a", " b"))
    assert Example.from_content(read.content()) == read
    assert "special_tokens" not in plain.content()
    assert MEASURE.digest([plain]) != MEASURE.digest([read])
    assert examples_digest([plain]) != examples_digest([read])


def test_no_examples_give_nothing() -> None:
    assert encode_examples(BYTE_LEVEL, []) == []


def test_long_examples_are_counted_and_named() -> None:
    examples = [Example(f"item-{number}", "p", Choices(("a", "b"), 0), {}, "c") for number in range(6)]
    lengths = [10, 11, 12, 13, 14, 15]
    check_lengths(examples, lengths, 15, task="t")
    check_lengths(examples, lengths, None, task="t")
    with pytest.raises(
        DataError, match=r"task 't': 4 of 6 examples .* 11 tokens: 'item-2' \(12 tokens\), 'item-3'"
    ) as e:
        check_lengths(examples, lengths, 11, task="t")
    assert "item-5" not in str(e.value)
