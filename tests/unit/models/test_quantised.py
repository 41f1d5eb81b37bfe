"""Folders whose weights are quantised: loaded as they are, whole or refused, never trained."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from chaintune.errors import ModelError, StageError
from chaintune.execution.bases import check_trainable, open_base
from chaintune.models import load, locate, model_digest
from chaintune.models.quantised import quantisation_of
from chaintune.models.tree_attention import takes_trees
from chaintune.records import Recipe
from chaintune.scoring.logprobs import answer_logprobs
from chaintune.store.folder import FolderStore
from chaintune.tuning.trainable import trainable
from tests import quantised, tiny

Made = Callable[[str], Path]
IN_WORDS = {
    "fp8": "fp8",
    "nf4": "bitsandbytes, 4 bits (nf4)",
    "int8": "bitsandbytes, 8 bits (LLM.int8)",
    "torchao": "torchao (IntxWeightOnlyConfig)",
    "compressed": "compressed-tensors (pack-quantized)",
}
KINDS = [
    pytest.param(
        name, marks=pytest.mark.skipif(not quantised.is_installed(package), reason=f"{package} is not installed")
    )
    for name, (package, _, _) in quantised.KINDS.items()
]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Writes a checkpoint of a kind, once; `plain` is the one that the others are rounds of."""
    home = tmp_path_factory.mktemp("quantised")
    quantised.write_plain(home / "plain")

    def make(kind: str) -> Path:
        if not (home / kind).exists():
            quantised.KINDS[kind][2](home / kind, home / "plain")
        return home / kind

    return make


@pytest.fixture
def fp8(made: Made, tmp_path: Path) -> Path:
    return shutil.copytree(made("fp8"), tmp_path / "fp8")


def rewrite(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Write weights with what the file says of itself, which torchao needs."""
    path = folder / "model.safetensors"
    with safe_open(path, "pt") as whole:
        about = whole.metadata()
    save_file(weights, path, metadata=about)


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    rewrite(folder, weights)


def edit_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] |= changes
    (folder / "config.json").write_text(json.dumps(config))


def opened(folder: Path) -> object:
    return open_base(str(folder), FolderStore(folder.parent / "store"))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_scored_as_its_configuration_says(made: Made, kind: str) -> None:
    """Trees where the model's passes agree with those over branches, else rows; either way close to its own rows."""
    folder, precision = made(kind), quantised.KINDS[kind][1]
    base = open_base(str(folder), FolderStore(folder.parent / "store"))
    assert base.quantised == quantisation_of(folder) == IN_WORDS[kind]
    assert base.about["quantised"] == IN_WORDS[kind]
    assert base.key != open_base(str(folder.parent / "plain"), FolderStore(folder.parent / "store")).key
    loaded = load(folder, precision=precision)
    assert loaded.stored == IN_WORDS[kind]
    items = tiny.examples(6)
    rows = tiny.score(loaded, items, task="colours").table.column("choice_logprobs").to_pylist()
    plain = tiny.score(load(folder.parent / "plain", precision="fp32"), items, task="colours")
    off = [abs(one - other) for row, usual in zip(rows, plain.table.column("choice_logprobs").to_pylist(), strict=True)
           for one, other in zip(row, usual, strict=True)]  # fmt: skip
    assert 0 < max(off) < 5, "rounded, and still the model"
    assert takes_trees(loaded.model, longest_tokens=100) is (kind != "int8")
    with pytest.raises(StageError, match="stored quantised"):
        trainable(loaded, Recipe())


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_that_lacks_a_part_is_refused(made: Made, tmp_path: Path, kind: str) -> None:
    """Each part of one matrix, one after another."""
    folder = shutil.copytree(made(kind), tmp_path / kind)
    whole = load_file(folder / "model.safetensors")
    parts = [name for name in whole if "layers.1.mlp.down_proj" in name]
    assert len(parts) >= 2
    for part in parts:
        rewrite(folder, {name: whole[name] for name in whole if name != part})
        if part.endswith(("weight_shape", "_zero_point", "weight_format")):
            continue  # of some layouts only
        with pytest.raises(ModelError, match=r"not in its files \(model.layers.1.mlp.down_proj"):
            opened(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_that_nothing_knows_are_refused(made: Made, tmp_path: Path, kind: str) -> None:
    folder = shutil.copytree(made(kind), tmp_path / kind)
    whole = load_file(folder / "model.safetensors")
    foreign = {"model.layers.1.mlp.strange_proj.weight": torch.ones(2, 2)}
    rewrite(folder, whole | foreign)
    with pytest.raises(ModelError, match="strange_proj"):
        load(folder, precision=quantised.KINDS[kind][1])
    del whole["model.norm.weight"]
    rewrite(folder, whole)
    with pytest.raises(ModelError, match=r"lack 1 .*model\.norm\.weight"):
        load(folder, precision=quantised.KINDS[kind][1])


@pytest.mark.skipif(not quantised.is_installed("bitsandbytes"), reason="bitsandbytes is not installed")
def test_packed_weights_that_are_cut_off_are_refused(made: Made, tmp_path: Path) -> None:
    """Bitsandbytes would read on behind them."""
    folder = shutil.copytree(made("nf4"), tmp_path / "cut")
    name = "model.layers.1.mlp.down_proj.weight"
    edit_weights(folder, lambda weights: weights.update({name: weights[name][:100].clone()}))
    with pytest.raises(ModelError, match="fewer numbers"):
        load(folder, precision="fp32")


@pytest.mark.skipif(not quantised.is_installed("torchao"), reason="torchao is not installed")
def test_kernels_of_another_precision_are_told(made: Made) -> None:
    with pytest.raises(ModelError, match="cannot be computed with in fp32 on this machine; try --precision bf16"):
        load(made("torchao"), precision="fp32")


def test_trees_of_a_quantised_model_are_its_rows(fp8: Path) -> None:
    """Log-probabilities along trees are those of one branch after another."""
    from chaintune.models.encoding import encode_examples

    loaded = load(fp8, precision="fp32")
    encoded = encode_examples(loaded.tokenizer, tiny.examples(3))
    together = [row for row in answer_logprobs(loaded.model, encoded) if row]
    apart = []
    for item in encoded:
        for answer in item.continuations:
            tokens = torch.tensor([[*item.prefix, *answer]])
            logits = torch.log_softmax(loaded.model(input_ids=tokens).logits[0, :-1].float(), -1)
            apart.append(sum(logits[len(item.prefix) - 1 + at, token].item() for at, token in enumerate(answer)))
    assert [value for row in together for value in row] == pytest.approx(apart, abs=1e-3)


def test_it_is_keyed_by_its_bytes_and_its_configuration(fp8: Path) -> None:
    digests = [model_digest(locate(str(fp8)))]
    edit_config(fp8, activation_scheme="static")
    digests.append(model_digest(locate(str(fp8))))
    name = "model.layers.0.mlp.up_proj.weight_scale_inv"
    edit_weights(fp8, lambda weights: weights.update({name: weights[name] * 2}))
    digests.append(model_digest(locate(str(fp8))))
    assert len(set(digests)) == 3


def test_it_is_not_trained(fp8: Path) -> None:
    base = open_base(str(fp8), FolderStore(fp8.parent / "store"))
    with pytest.raises(ModelError, match=r"holds its weights quantised .*name the unquantised model"):
        check_trainable(base)


def test_an_unknown_method_is_refused(fp8: Path) -> None:
    """Transformers would load its weights as if they were none."""
    edit_config(fp8, quant_method="fp9")
    with pytest.raises(ModelError, match="quantised by 'fp9', which transformers does not load"):
        opened(fp8)


@pytest.mark.skipif(quantised.is_installed("gptqmodel"), reason="gptqmodel is installed")
def test_a_package_that_is_missing_is_named(fp8: Path) -> None:
    edit_config(fp8, quant_method="gptq", bits=4)
    with pytest.raises(ModelError, match=r"quantised \(gptq, 4 bits\), and what loads them is not installed"):
        opened(fp8)
