"""Which number format `auto` comes to."""

import pytest
import torch

from chaintune.errors import ConfigError
from chaintune.models import resolve_precision
from chaintune.models.precision import default_device, dtype_of


def hardware(monkeypatch: pytest.MonkeyPatch, *, cuda: bool | None, avx512: bool, amx: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda is not None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or cuda)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)


@pytest.mark.parametrize(
    ("cuda", "avx512", "amx", "expected"),
    [
        (None, False, False, "fp32"),
        (None, True, False, "bf16"),
        (None, False, True, "bf16"),
        (True, False, False, "bf16"),
        (False, True, True, "fp32"),  # what the GPU can do counts, not the CPU beside it
    ],
)
def test_auto_is_bf16_where_the_hardware_multiplies_it(
    cuda: bool | None, avx512: bool, amx: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hardware(monkeypatch, cuda=cuda, avx512=avx512, amx=amx)
    assert resolve_precision("auto") == expected
    assert resolve_precision("fp32") == "fp32"
    assert resolve_precision("bf16") == "bf16"
    assert default_device().type == ("cpu" if cuda is None else "cuda")


def test_auto_on_a_torch_that_cannot_tell_is_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert resolve_precision("auto") == "fp32"


def test_another_word_is_refused() -> None:
    with pytest.raises(ConfigError, match="precision 'bf61' is not known; did you mean 'bf16'"):
        resolve_precision("bf61")


def test_types() -> None:
    assert (dtype_of("bf16"), dtype_of("fp32")) == (torch.bfloat16, torch.float32)
