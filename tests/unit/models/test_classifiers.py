"""Classifiers of two layers, of the classes of those that the docs name, against transformers' own pipeline."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, pipeline

from chaintune.errors import ConfigError, ModelError
from chaintune.models.classifiers import Labels, labels_of, load_classifier, probabilities
from tests import tiny

TEXTS = ["Ann has a red ball.", "", "Bob", "blue " * 100, "Cem has a dark green box.", "Dia has a black ball."]
SEVERAL: dict[str, Any] = {
    "problem_type": "multi_label_classification",
    "id2label": {0: "toxic", 1: "insult", 2: "threat"},
}
CLASSES: dict[str, dict[str, Any]] = {
    "roberta": {"id2label": {0: "LABEL_0", 1: "LABEL_1"}},
    "bert": SEVERAL,
    "llama": {},
}


@pytest.fixture(scope="module", params=CLASSES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_classifier(tmp_path_factory.mktemp(request.param), request.param, **CLASSES[request.param])


def test_probabilities_are_those_of_transformers_pipeline(folder: Path) -> None:
    classifier = load_classifier(folder)
    theirs = pipeline("text-classification", model=str(folder), top_k=None, device="cpu")
    for place, name in enumerate(classifier.labels.names):
        done: list[int] = []
        ours = probabilities(classifier, TEXTS, place, on_judged=done.append)
        assert done[-1] == len(TEXTS)
        for text, judged in zip(TEXTS, ours, strict=True):
            if not text and folder.name.startswith("llama"):
                continue
            (answers,) = theirs([text], truncation=True, max_length=classifier.most_tokens)
            expected = {answer["label"]: answer["score"] for answer in answers}[name]
            assert judged.probability == pytest.approx(expected, abs=1e-5)


def test_texts_that_are_too_long_are_cut_at_the_end_and_said_to_be(folder: Path) -> None:
    classifier = load_classifier(folder)
    assert classifier.most_tokens == (62 if folder.name.startswith("roberta") else 64)
    long, short = probabilities(classifier, [TEXTS[3], TEXTS[0]], 0)
    assert (long.read, short.read) == (classifier.most_tokens, short.tokens)
    assert long.tokens > 100
    (again,) = probabilities(classifier, [TEXTS[3] + "and more"], 0)
    assert again.probability == long.probability


def test_a_text_does_not_depend_on_those_beside_it(folder: Path) -> None:
    classifier = load_classifier(folder)
    together = probabilities(classifier, TEXTS, 1)
    alone = [probabilities(classifier, [text], 1)[0] for text in TEXTS]
    assert [one.probability for one in together] == pytest.approx([one.probability for one in alone], abs=1e-6)
    assert probabilities(classifier, [], 1) == []


def test_labels_are_told_apart_by_the_configuration(tmp_path: Path) -> None:
    several = labels_of(tiny.write_classifier(tmp_path / "several", "bert", **SEVERAL))
    assert several == Labels(("toxic", "insult", "threat"), are_apart=True)
    one = labels_of(tiny.write_classifier(tmp_path / "one", "bert", num_labels=1))
    assert one.are_apart
    with pytest.raises(ModelError, match="gives numbers"):
        labels_of(tiny.write_classifier(tmp_path / "numbers", "bert", num_labels=1, problem_type="regression"))


def test_a_label_is_found_by_name_or_number() -> None:
    labels = Labels(("toxic", "insult"), are_apart=True)
    assert (labels.place("Toxic", "m"), labels.place(1, "m")) == (0, 1)
    with pytest.raises(ConfigError, match=r"classifier 'm': label 'toxik', .*toxic"):
        labels.place("toxik", "m")
    with pytest.raises(ConfigError, match="label 2, it has labels 0 to 1"):
        labels.place(2, "m")


def test_what_is_no_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="LlamaForCausalLM, which is no sequence classifier"):
        load_classifier(tiny.write_model(tmp_path / "model"))
    folder = tiny.write_classifier(tmp_path / "pickled", "bert")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"only pytorch_model\.bin, which may run code"):
        load_classifier(folder)


def test_code_of_its_own_is_not_run(tmp_path: Path) -> None:
    folder = tiny.write_classifier(tmp_path, "bert")
    config = AutoConfig.from_pretrained(folder)
    config.auto_map = {"AutoModelForSequenceClassification": "own.Own", "AutoConfig": "own.OwnConfig"}
    config.model_type = "own"
    config.save_pretrained(folder)
    text = (folder / "config.json").read_text().replace('"model_type": "bert"', '"model_type": "own"')
    (folder / "config.json").write_text(text)
    (folder / "own.py").write_text("raise SystemExit('code was run')")
    with pytest.raises(ModelError):
        load_classifier(folder)


def test_weights_on_the_meta_device_are_not_read(tmp_path: Path) -> None:
    classifier = load_classifier(tiny.write_classifier(tmp_path, "bert"), on_meta=True)
    assert next(classifier.model.parameters()).device == torch.device("meta")
