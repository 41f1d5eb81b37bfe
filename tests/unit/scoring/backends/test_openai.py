"""An OpenAI-compatible server: a small model behind one gives the numbers and texts that it gives here; troubles."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from shutil import which
from threading import Lock, Thread, current_thread, main_thread
from typing import Any

import pytest

from chaintune.errors import DataError, MissingPackageError, ModelError
from chaintune.models import LoadedModel, load
from chaintune.records import Chat, Example, Generation, Message, Reference, Texts
from chaintune.records.generation import at_once
from chaintune.scoring.backends import Serving
from chaintune.scoring.backends.openai import KIND, OpenAiBackend
from chaintune.scoring.backends.prompts import own_ids
from chaintune.scoring.backends.served_name import split_reference
from chaintune.scoring.backends.server import KEY
from chaintune.scoring.backends.transformers import TransformersBackend
from tests import tiny
from tests.served import Served, Trouble, serving

PROMPTS = (Example("a", "Is it red?", None, {}, "a"), Example("b", (Message("user", "No </s>?"),), None, {}, "b"))
FEW = Generation(max_new_tokens=5)
ONE_BY_ONE = Serving(at_once=1, timeout_seconds=5)
openai = pytest.importorskip("openai")


@pytest.fixture(autouse=True)
def _retried_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.001, raising=False)


@pytest.fixture
def server() -> Iterator[Served]:
    """One that answers without a model."""
    with serving(Served()) as served:
        yield served


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny.write_model(tmp_path_factory.mktemp("served"), tokens="byte-level with BOS")
    loaded = load(folder, precision="fp32")
    loaded.tokenizer.chat_template = tiny.CHAT
    loaded.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(folder: Path) -> LoadedModel:
    return load(folder, precision="fp32")


@pytest.fixture
def model(folder: Path, loaded: LoadedModel) -> Iterator[Served]:
    """One that answers as vLLM does, by a model."""
    with serving(Served(loaded=loaded, root=str(folder))) as served:
        yield served


def written(url: str, generation: Generation = FEW, how: Serving = ONE_BY_ONE, **more: Any) -> Texts:
    asked: dict[str, Any] = {"on_written": lambda *_: None, "remember": at_once, **more}
    return OpenAiBackend(url, "own", how).generate(PROMPTS, task="t", generation=generation, **asked)


class Kept:
    """Keeps parts in memory, as a store does."""

    def __init__(self) -> None:
        self.parts: dict[str, Any] = {}
        self.lock = Lock()

    def __call__(self, name: str, compute: Callable[[], Any]) -> Any:
        if name not in self.parts:
            made = compute()
            with self.lock:
                self.parts[name] = made
        return self.parts[name]


def in_chat(items: list[Example]) -> list[Example]:
    return [replace(item, prompt=(Message("user", item.prompt_text),), chat=Chat()) for item in items]


def test_choices_have_the_log_probabilities_of_the_same_model_here(model: Served, loaded: LoadedModel) -> None:
    items = [
        *tiny.examples(6),
        replace(tiny.example(7), prompt="<s>Ann has </s> a red"),
        replace(tiny.example(8), prompt=""),
        replace(tiny.example(9), prompt="<s>Ann </s>", special_tokens=True),
        *in_chat(tiny.examples(3)),
    ]
    done: list[int] = []
    got, tokens = OpenAiBackend(model.url, "own").answer_logprobs(items, task="t", on_scored=done.append)
    expected, sizes = TransformersBackend(loaded).answer_logprobs(items, task="t")
    assert tokens == sizes
    for row, own in zip(got, expected, strict=True):
        assert row == pytest.approx(own, abs=1e-3)
    assert done == list(range(1, len(items) + 1))
    # One request to ask whether it can, then one an example.
    assert len(model.requests) == 1 + len(items)


def test_references_and_pairs_are_scored_alike_too(model: Served, loaded: LoadedModel) -> None:
    pairs = tiny.pairs(3)
    items = [
        *pairs,
        *tiny.talks(3),
        *(replace(item, id=f"r{item.id}", target=Reference(item.target.chosen)) for item in pairs),  # type: ignore[union-attr]
    ]
    got, _ = OpenAiBackend(model.url, "own").answer_logprobs(items, task="t")
    expected, _ = TransformersBackend(loaded).answer_logprobs(items, task="t")
    assert [one for row in got for one in row] == pytest.approx([one for row in expected for one in row], abs=1e-3)


def test_texts_are_those_of_the_same_model_here(model: Served, loaded: LoadedModel) -> None:
    items = [
        *(replace(item, target=None) for item in [*tiny.examples(2), *in_chat(tiny.examples(2))]),
        replace(PROMPTS[1], id="control token in a turn"),
        replace(in_chat(tiny.examples(1))[0], id="own template", target=None, chat=Chat(template="{{ messages }}")),
    ]
    how: dict[str, Any] = {"task": "t", "generation": Generation(max_new_tokens=6), "on_written": lambda *_: None}
    got = OpenAiBackend(model.url, "own").generate(items, remember=at_once, **how)
    expected = TransformersBackend(loaded).generate(items, **how)
    assert [[one.text for one in own] for own in got] == [[one.text for one in own] for own in expected]
    assert [one.tokens for own in got for one in own] == [one.tokens for own in expected for one in own]
    paths = [path for path, asked in model.requests if not asked.get("echo")]
    assert sorted(paths) == ["/v1/chat/completions"] * 2 + ["/v1/completions"] * 4


def test_turns_go_to_chat_and_plain_text_is_continued(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "secret")
    first, second = written(server.url)
    assert [one.text for one in first] == ["Yes: Is it red?"]
    assert (second[0].text, second[0].tokens, second[0].finish_reason) == ("Yes: No </s>?", 4, "stop")
    plain = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
    how = {"model": "own", "max_tokens": 5, "temperature": 0.0, **plain}
    assert server.requests == [
        ("/v1/completions", {**how, "prompt": "Is it red?"}),
        ("/v1/chat/completions", {**how, "messages": [{"role": "user", "content": "No </s>?"}]}),
    ]
    assert server.keys == {"Bearer secret"}


def test_prompts_are_cut_into_tokens_before_the_threads_start(model: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[Thread] = []

    def noted(*asked: Any) -> tuple[int, ...] | None:
        threads.append(current_thread())
        return own_ids(*asked)

    monkeypatch.setattr("chaintune.scoring.backends.openai.own_ids", noted)
    written(model.url)
    assert threads == [main_thread()] * 2


def test_turns_without_a_template_here_are_left_to_the_server(model: Served, tmp_path: Path) -> None:
    bare = tiny.write_model(tmp_path, tokens="byte-level with BOS")
    turns = [replace(PROMPTS[1], prompt=(Message("user", "Is it red?"),), chat=Chat(fallback=True))]
    how: dict[str, Any] = {"task": "t", "generation": FEW, "on_written": lambda *_: None, "remember": at_once}
    OpenAiBackend(model.url, "own", Serving(tokenizer=str(bare))).generate(turns, **how)
    ((path, asked),) = model.requests
    assert path == "/v1/chat/completions"
    assert asked["messages"] == [{"role": "user", "content": "Is it red?"}]


def test_text_and_turns_are_sent_where_ids_cannot_be_checked_and_it_is_said_once(
    folder: Path, loaded: LoadedModel, caplog: pytest.LogCaptureFixture
) -> None:
    marked = [replace(PROMPTS[0], id=name, prompt="Is it </s> red?") for name in "cd"]
    how: dict[str, Any] = {"task": "t", "generation": FEW, "on_written": lambda *_: None, "remember": at_once}
    with serving(Served(loaded=loaded, root=str(folder), kind="llamacpp")) as served:
        backend = OpenAiBackend(served.url, "own")
        backend.generate([*marked, PROMPTS[1]], **how)
        assert sorted(path for path, _ in served.requests[1:]) == ["/v1/chat/completions", *["/v1/completions"] * 2]
        assert {asked.get("prompt", "") for _, asked in served.requests[1:]} == {"", "Is it </s> red?"}
        with pytest.raises(DataError, match="the task names another one; leave 'chat_template' out"):
            backend.generate([replace(PROMPTS[1], chat=Chat(template="{{ messages }}"))], **how)
    assert caplog.text.count("and are read as the server does") == 1


def test_a_refusal_is_what_was_written(server: Served) -> None:
    server.troubles += [200, "refusal"]
    assert written(server.url)[1][0].text == "I can't."


def test_another_model_is_noticed_over_all_measurements_of_a_run(server: Served) -> None:
    backend = OpenAiBackend(server.url, "own", ONE_BY_ONE)
    how: dict[str, Any] = {"task": "t", "generation": FEW, "on_written": lambda *_: None, "remember": at_once}
    assert "answered_as" not in backend.about
    backend.generate(PROMPTS[:1], **how)
    assert backend.about["answered_as"] == "own"
    server.troubles.append("other model")
    with pytest.raises(ModelError, match="answers as model 'another' where it answered as 'own' before"):
        backend.generate(PROMPTS[1:], **how)


def test_numbers_of_other_tokens_are_none(model: Served) -> None:
    model.troubles.append("shifted")
    with pytest.raises(ModelError, match="gives log-probabilities of other tokens than those that it was sent"):
        OpenAiBackend(model.url, "own").answer_logprobs(tiny.examples(1), task="t")


def test_samples_and_stop_strings_are_handed_on(server: Served) -> None:
    texts = written(server.url, Generation(max_new_tokens=5, samples=3, temperature=0.5, seed=7, stop=("\n",)))
    assert [len(samples) for samples in texts] == [3, 3]
    asked = server.requests[0][1]
    assert {name: asked[name] for name in ("n", "seed", "stop")} == {"n": 3, "seed": 7, "stop": ["\n"]}


def test_samples_are_asked_one_by_one_where_a_server_writes_no_more() -> None:
    with serving(Served(kind="llamacpp")) as served:
        texts = written(served.url, Generation(max_new_tokens=5, samples=3, temperature=0.5, seed=7))
    assert [len(samples) for samples in texts] == [3, 3]
    assert [asked["seed"] for _, asked in served.requests] == [7, 8, 9] * 2


@pytest.mark.parametrize("trouble", [429, 500, 503, "closed", "cut", "slow"])
def test_a_request_that_was_lost_is_asked_again_and_no_other(server: Served, trouble: Trouble) -> None:
    server.troubles.append(trouble)
    how = replace(ONE_BY_ONE, timeout_seconds=0.2) if trouble == "slow" else ONE_BY_ONE
    assert len(written(server.url, how=how)) == 2
    assert len(server.requests) == 3
    assert len(server.answered) == 2


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        (429, r"keeps answering that it is asked too much \(HTTP 429"),
        (500, r"refuses /chat/completions \(HTTP 500"),
        (400, r"refuses /chat/completions \(HTTP 400"),
        (401, r"refuses the key in OPENAI_API_KEY"),
        ("closed", r"does not answer \("),
        ("cut", r"answers /chat/completions with something that is no JSON object, 3 times over"),
        ("slow", r"has not answered within 0\.05 seconds, several times over; wait longer by --timeout"),
        ("redirect", r"redirects to http://elsewhere\.example/v1/completions, and the key would go along"),
        ("other model", r"answers as model 'another' where it answered as 'own' before"),
        ("no text", r"answers with 0 choices where 1 were asked for"),
        ("filtered", r"withholds a text, or the rest of one \(finish_reason content_filter\)"),
    ],
)
def test_what_a_hostile_server_does_is_one_sentence_and_loses_nothing(
    server: Served, monkeypatch: pytest.MonkeyPatch, trouble: Trouble, sentence: str
) -> None:
    monkeypatch.setenv(KEY, "sk-very-secret")
    kept = Kept()
    server.troubles += [200, *[trouble] * 7]
    how = replace(ONE_BY_ONE, timeout_seconds=0.05) if trouble == "slow" else ONE_BY_ONE
    with pytest.raises(ModelError, match=sentence) as caught:
        written(server.url, how=how, remember=kept)
    told = str(caught.value)
    assert told.startswith(f"task 't', example 'b': {server.url} ")
    assert "sk-very" not in told
    assert "hidden" not in told
    assert caught.value.__cause__ is None
    server.troubles.clear()
    assert len(written(server.url, remember=kept)) == 2
    prompts = [asked.get("prompt") or asked["messages"] for asked in server.answered]
    assert len(prompts) == 2, prompts


def test_a_failure_lets_what_is_under_way_end_and_asks_no_more(server: Served) -> None:
    items = [Example(f"{number:02}", f"Day {number}?", None, {}, "") for number in range(20)]
    kept = Kept()
    server.troubles += [200] * 3 + [400]
    how: dict[str, Any] = {"task": "t", "generation": FEW, "on_written": lambda *_: None, "remember": kept}
    backend = OpenAiBackend(server.url, "own", Serving(at_once=2))
    with pytest.raises(ModelError, match="HTTP 400"):
        backend.generate(items, **how)
    assert len(server.requests) < len(items)
    backend.generate(items, **how)
    assert len(server.answered) == len(items)


def test_who_interrupts_it_waits_for_no_answer(server: Served) -> None:
    def interrupted(*_: int) -> None:
        raise KeyboardInterrupt

    server.troubles += ["slow", 200]
    how: dict[str, Any] = {"task": "t", "generation": FEW, "on_written": interrupted, "remember": at_once}
    with pytest.raises(KeyboardInterrupt):
        OpenAiBackend(server.url, "own", Serving(at_once=2)).generate(PROMPTS, **how)
    assert (len(server.requests), len(server.answered)) == (2, 1)


def test_log_probabilities_that_are_missing_midway_are_not_made_up(model: Served) -> None:
    items, kept = tiny.examples(4), Kept()
    backend = OpenAiBackend(model.url, "own", ONE_BY_ONE)
    model.troubles += [200, 200, 200, "no numbers"]
    with pytest.raises(ModelError, match=rf"example '{items[2].id}': .* gives 0 log-probabilities of \d+ tokens"):
        backend.answer_logprobs(items, task="t", keep=kept)
    rows, _ = backend.answer_logprobs(items, task="t", keep=kept)
    assert len(rows) == 4
    assert len(model.answered) == 5


def test_a_server_that_leaves_the_prompt_out_is_refused_once_it_was_asked(folder: Path, loaded: LoadedModel) -> None:
    with serving(Served(loaded=loaded, root=str(folder), kind="llamacpp")) as served:
        with pytest.raises(ModelError, match=r"gives 1 log-probabilities of \d+ tokens.*serve the model by vLLM"):
            OpenAiBackend(served.url, "own").answer_logprobs(tiny.examples(3), task="t")
        assert len(served.requests) == 1


def test_a_server_that_puts_a_token_in_front_is_refused(folder: Path, loaded: LoadedModel) -> None:
    with (
        serving(Served(loaded=loaded, root=str(folder), more=(1,))) as served,
        pytest.raises(ModelError, match=r"read \d+ tokens where \d+ were sent"),
    ):
        OpenAiBackend(served.url, "own").answer_logprobs(tiny.examples(3), task="t")


def test_without_its_tokenizer_nothing_is_guessed(server: Served, folder: Path) -> None:
    with pytest.raises(ModelError, match=r"does not say which tokenizer model 'own' has.*--tokenizer"):
        OpenAiBackend(server.url, "own").answer_logprobs(tiny.examples(1), task="t")
    template = [replace(PROMPTS[1], chat=Chat(template="{{ messages }}"))]
    with pytest.raises(DataError, match="renders turns by its own chat template"):
        OpenAiBackend(server.url, "own").generate(
            template, task="t", generation=FEW, on_written=lambda *_: None, remember=at_once
        )
    assert not server.requests
    assert folder.is_dir()


def test_another_models_tokenizer_is_found_out(loaded: LoadedModel, tmp_path: Path) -> None:
    other = tiny.write_model(tmp_path, tokens="sentencepiece")
    with serving(Served(loaded=loaded)) as served:
        backend = OpenAiBackend(served.url, "own", Serving(tokenizer=str(other)))
        with pytest.raises(ModelError, match="as other words than it means"):
            backend.answer_logprobs(tiny.examples(1), task="t")


def test_the_identity_is_what_the_server_says_of_its_model(
    model: Served, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert KIND.is_served
    identity = KIND.opens.identity  # type: ignore[union-attr]
    assert identity(f"{model.url}#own") == f"{model.url}#own (vllm, {folder})"
    with pytest.raises(ModelError, match=r"serves no model 'owl'; did you mean 'own'\?"):
        identity(f"{model.url}#owl")
    monkeypatch.setenv(KEY, "sk-very-secret")
    model.root = "of sk-very-secret"
    assert identity(f"{model.url}#own") == f"{model.url}#own (vllm, of ...)"
    monkeypatch.setenv(KEY, "sk-é\n")
    with pytest.raises(ModelError, match="OPENAI_API_KEY holds characters that no key has"):
        identity(f"{model.url}#own")


def test_a_certificate_that_nobody_vouches_for_is_said_so(tmp_path: Path) -> None:
    program, certificate = which("openssl"), tmp_path / "own.pem"
    if program is None:
        pytest.skip("openssl, which makes a certificate, is not installed")
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=127.0.0.1"]
    files = ["-keyout", str(certificate), "-out", str(tmp_path / "cert.pem")]
    subprocess.run([program, *made, *files], check=True, capture_output=True)  # noqa: S603
    certificate.write_text(certificate.read_text() + (tmp_path / "cert.pem").read_text())
    with (
        serving(Served(), certificate=certificate) as served,
        pytest.raises(ModelError, match=r"has a certificate that is not trusted \(self.signed certificate\)"),
    ):
        KIND.opens.identity(f"{served.url}#own")  # type: ignore[union-attr]


def test_a_server_that_is_not_there_says_so() -> None:
    with pytest.raises(ModelError, match=r"http://127\.0\.0\.1:9/v1 does not answer"):
        written("http://127.0.0.1:9/v1")


def test_without_the_client_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaintune.errors.find_spec", lambda _name: None)
    with pytest.raises(MissingPackageError, match=r"pip install 'chaintune\[openai\]'"):
        written("http://127.0.0.1:9/v1")


@pytest.mark.parametrize(
    "reference",
    [
        *("http://host/v1", "ftp://host#own", "http://#own", "", "http://host/v1#"),
        *("http://localhost:abc/v1#own", "http://[::1/v1#own"),
    ],
)
def test_a_reference_names_a_server_and_a_model(reference: str) -> None:
    with pytest.raises(ModelError, match="expected openai:URL#NAME"):
        split_reference(reference)


def test_an_address_holds_no_secret() -> None:
    for address in ("http://user:secret@host/v1#own", "https://host/v1?key=secret#own"):
        with pytest.raises(ModelError, match="would be written into results") as caught:
            split_reference(address)
        assert "secret" not in str(caught.value)
