"""A model and examples in, a table out."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from chaintune.errors import DataError, ModelError
from chaintune.models import LoadedModel, load
from chaintune.models.encoding import Encoded, encode_examples
from chaintune.records import LIKELIHOOD_METRICS, Choices, Example, Reference, Scores, scores_of
from chaintune.scoring.backends.transformers import TransformersBackend
from chaintune.scoring.checkpoint import measure_checkpoint
from chaintune.scoring.measures import MEASURES
from chaintune.tasks.chat import in_chat
from tests import tiny
from tests.conftest import MakeModel
from tests.harness import harness_chat_logprobs, harness_logprobs
from tests.reference import reference_logprobs

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def loaded(model_folder: MakeModel) -> LoadedModel:
    return load(model_folder(), precision="fp32")


def test_each_row_tells_what_the_model_answered(loaded: LoadedModel) -> None:
    examples = tiny.examples(12)
    scores = tiny.score(loaded, examples, task="balls", provenance={"checkpoint": "abc"})
    assert scores.example_ids == [example.id for example in examples]
    assert scores.provenance == {"precision": "fp32", "checkpoint": "abc"}
    encoded = encode_examples(loaded.tokenizer, examples)
    expected = reference_logprobs(loaded.model, encoded)
    for row, example, item, logprobs in zip(scores.table.to_pylist(), examples, encoded, expected, strict=True):
        assert row["choice_logprobs"] == pytest.approx(logprobs, abs=1e-4)
        assert row["choice_tokens"] == [len(choice) for choice in item.continuations]
        assert row["prediction"] == logprobs.index(max(logprobs))
        assert row["correct"] == (row["prediction"] == example.choices.gold)
        assert (row["task"], row["cluster"]) == ("balls", example.cluster)


def test_the_order_of_the_examples_does_not_matter_at_all(loaded: LoadedModel, tmp_path: Path) -> None:
    examples = tiny.examples(30)
    for name, ordered in {"a": examples, "b": examples[::-1], "c": examples[7:] + examples[:7]}.items():
        tiny.score(loaded, ordered, task="balls").write(tmp_path / name)
    assert len({(tmp_path / name).read_bytes() for name in "abc"}) == 1


def test_what_runs_together_does_not_depend_on_the_order_either(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who shares a batch with whom may change the last bits, so it must follow from the examples alone."""
    seen: list[list[Encoded]] = []
    module = import_module("chaintune.scoring.backends.transformers")
    real = module.answer_logprobs

    def spy(model: Any, encoded: list[Encoded], **options: Any) -> Any:
        seen.append(encoded)
        return real(model, encoded, **options)

    monkeypatch.setattr(module, "answer_logprobs", spy)
    for examples in (tiny.examples(8), tiny.examples(8)[::-1]):
        tiny.score(loaded, examples, task="balls")
    assert seen[0] == seen[1]


def test_an_example_longer_than_the_context_is_refused_by_name(loaded: LoadedModel) -> None:
    long = Example("long-one", "red " * 300, Choices((" red", " blue"), 0), {}, "c")
    with pytest.raises(DataError, match=r"task 'balls': 1 of 5 examples .* 256 tokens: 'long-one' \(\d+ tokens\)"):
        tiny.score(loaded, [*tiny.examples(4), long], task="balls")


@pytest.mark.parametrize(("tokens", "fits"), [(256, True), (257, False)])
def test_the_context_is_used_to_its_last_token(tokens: int, fits: bool, loaded: LoadedModel) -> None:
    def item(words: int) -> Example:
        return Example("long", "Ann" + " red" * words, Choices((" red", " blue"), 0), {}, "c")

    (short,) = encode_examples(loaded.tokenizer, [item(0)])
    example = item(tokens - short.longest_tokens)
    if fits:
        assert len(tiny.score(loaded, [example], task="balls")) == 1
    else:
        with pytest.raises(DataError, match=r"'long' \(257 tokens\)"):
            tiny.score(loaded, [example], task="balls")


def test_broken_weights_are_an_error_that_says_so(model_folder: MakeModel) -> None:
    loaded = load(model_folder(), precision="fp32")
    with torch.no_grad():
        loaded.model.model.norm.weight[0] = float("nan")
    with pytest.raises(ModelError, match="task 'balls': the model gives NaN for example 'colours-000'"):
        tiny.score(loaded, tiny.examples(4), task="balls")


def test_scores_come_back_from_their_file(loaded: LoadedModel, tmp_path: Path) -> None:
    scores = tiny.score(loaded, tiny.examples(5), task="balls")
    scores.write(tmp_path / "scores.parquet")
    again = Scores.read(tmp_path / "scores.parquet")
    assert again.table.equals(scores.table)
    assert again.provenance == scores.provenance


def test_nothing_is_printed(loaded: LoadedModel, capfd: pytest.CaptureFixture[str]) -> None:
    tiny.score(loaded, tiny.examples(5), task="balls")
    assert capfd.readouterr() == ("", "")


@pytest.mark.filterwarnings("ignore")  # lm-eval's own
def test_log_probabilities_are_those_of_lm_eval(loaded: LoadedModel) -> None:
    examples = tiny.examples(12)
    ours = tiny.score(loaded, examples, task="balls")
    theirs = harness_logprobs(loaded, examples)
    for mine, other in zip(ours.table.to_pylist(), theirs, strict=True):
        assert mine["choice_logprobs"] == pytest.approx(other, abs=1e-4)


def test_log_probabilities_in_a_chat_template_are_those_of_lm_eval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    tokenizer = tiny.make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHATML
    loaded = LoadedModel(tiny.make_model(vocabulary=len(tokenizer)), tokenizer, "fp32")
    examples = in_chat(tiny.numbered(tiny.examples(12)), "on")
    assert {turn.role for example in examples for turn in example.prompt if not isinstance(turn, str)} == {"user"}
    scores = tiny.score(loaded, examples, task="t")
    theirs = harness_chat_logprobs(loaded, examples, tmp_path)
    for row, logprobs in zip(scores.table.column("choice_logprobs").to_pylist(), theirs, strict=True):
        assert row == pytest.approx(logprobs, abs=1e-4)


@pytest.mark.parametrize("tokens", ["byte-level", "byte-level with BOS"])
@pytest.mark.parametrize("prompt", ["Ann has a red ball in a", ""])
def test_a_likelihood_is_minus_the_loss_of_transformers(prompt: str, tokens: tiny.Tokens) -> None:
    """Of a prompt that is not predicted; of an empty one behind BOS, or EOS where there is none."""
    model, tokenizer = tiny.make_model(), tiny.make_tokenizer(tokens)
    answers = [" dark green box", " box. Colour of the ball?"]
    examples = [Example(f"e{k}", prompt, Reference(text), {}, f"e{k}") for k, text in enumerate(answers)]
    backend = TransformersBackend(LoadedModel(model, tokenizer, "fp32"))
    measured = measure_checkpoint(backend, examples, measure=MEASURES.get("likelihood"), task="t")
    likelihoods = scores_of("t", measured, examples, LIKELIHOOD_METRICS["likelihood"]).item_scores().tolist()

    def loss(answer: str) -> float:
        ids = tokenizer(prompt + answer)["input_ids"]
        read = len(tokenizer(prompt)["input_ids"])
        ids, read = (ids, read) if read else ([tokenizer.eos_token_id, *ids], 1)
        labels = [-100] * read + ids[read:]
        with torch.no_grad():
            return float(model(torch.tensor([ids]), labels=torch.tensor([labels])).loss)

    assert likelihoods == pytest.approx([-loss(answer) for answer in answers], abs=1e-5)
    assert likelihoods[0] != likelihoods[1]
