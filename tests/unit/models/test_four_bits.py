"""Weights in 4 bits: how they are asked for, and when they are refused."""

from pathlib import Path

import pytest
import torch

from chaintune.errors import ModelError
from chaintune.models import check_quantize, load, merge_adapter, precision
from tests import four_bits
from tests.conftest import MakeModel


def test_without_bitsandbytes_it_is_refused(model_folder: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "is_bitsandbytes_available", lambda: False)
    with pytest.raises(ModelError, match=r"needs bitsandbytes, 0\.\S+ or later; install it with: pip install -U bits"):
        load(model_folder(), precision="fp32", quantize="4bit")


def test_without_a_gpu_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "is_bitsandbytes_available", lambda: True)
    monkeypatch.setattr(precision, "default_device", lambda: torch.device("cpu"))
    with pytest.raises(ModelError, match="quantize '4bit' needs a CUDA device, and this machine has none"):
        check_quantize()


def test_it_is_asked_for_as_the_paper_has_it(model_folder: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = four_bits.pretend(monkeypatch)
    load(model_folder(), precision="bf16", quantize="4bit")
    (options,) = asked
    config = options["quantization_config"].to_dict()
    assert config["load_in_4bit"]
    assert config["bnb_4bit_quant_type"] == "nf4"
    assert config["bnb_4bit_use_double_quant"]
    assert config["bnb_4bit_compute_dtype"] == "bfloat16"
    assert set(options["device_map"]) == {""}


def test_weights_that_nobody_wants_in_four_bits_are_not(
    model_folder: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = four_bits.pretend(monkeypatch)
    assert load(model_folder(), precision="fp32").quantize is None
    assert not asked


@pytest.mark.parametrize("weights", ["fp32", "bf16"])
def test_an_adapter_is_folded_into_the_weights_as_they_are_stored(
    weights: precision.Precision, model_folder: MakeModel, adapter_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    four_bits.pretend(monkeypatch)
    coarse = load(model_folder(), adapter=adapter_folder, precision=weights, quantize="4bit")
    exact = load(model_folder(), adapter=adapter_folder, precision=weights)
    tokens = torch.tensor([[3, 4, 5, 6]])
    with torch.inference_mode():
        assert not coarse.model(tokens).logits.equal(exact.model(tokens).logits)
    got, wanted = merge_adapter(coarse), merge_adapter(exact)
    assert (got.quantize, got.precision) == (None, weights)
    assert coarse.model is None, "two models in memory"
    left, right = got.model.state_dict(), wanted.model.state_dict()
    assert left.keys() == right.keys()
    assert all(left[name].equal(right[name]) for name in left)
