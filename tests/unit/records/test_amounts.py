"""Amounts with a unit, as budgets and margins are written."""

import math

import pytest

from chaintune.records.amounts import Amount, margin_in, mismatch


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        (0.02, Amount(0.02)),
        ("0.02", Amount(0.02)),
        ("0.05 nats", Amount(0.05, "nats")),
        ("0.05nats", Amount(0.05, "nats")),
        (" 3 scaled margin ", Amount(3.0, "scaled margin")),
        ("-1e-3 nats", Amount(-0.001, "nats")),
        (0, Amount(0.0)),
    ],
)
def test_what_is_written(written: object, amount: Amount) -> None:
    assert Amount.of(written) == amount
    assert Amount.of(str(amount)) == amount


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (2, "a share from -1 to 1, 0.02 is two points, got 2"),
        ("5", "a share from -1 to 1"),
        ("nats", "'0.05 nats' of a unit, got 'nats'"),
        ("0.05 %", "'0.05 nats' of a unit"),
        ("5 points", "got '5 points'"),
        (True, "got True"),
        (None, "got None"),
        (math.nan, "a share from -1 to 1"),
        ("1e999 nats", "of finite size"),
    ],
)
def test_what_is_no_amount_is_told(written: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Amount.of(written)


def test_the_margin_is_the_tasks_own_then_the_one_in_its_unit_then_the_usual() -> None:
    assert margin_in("nats", 0.03, 0.1) == 0.1
    assert margin_in("nats", "0.3 nats") == 0.3
    assert math.isnan(margin_in("nats", 0.03))
    assert margin_in("", 0.03) == margin_in("share", 0.03) == 0.03
    assert margin_in("share", "0.3 nats") == 0.02


def test_amounts_in_another_unit_say_what_to_write() -> None:
    assert mismatch(Amount(0.02), "share", "accuracy") == mismatch(Amount(1, "nats"), "nats", "likelihood") == ""
    told = mismatch(Amount(0.02), "nats", "likelihood")
    assert told == "0.02 is a share, and 'likelihood' scores in nats; write it as '0.05 nats'"
    assert mismatch(Amount(1, "nats"), "", "acc") == "1 nats is in nats, and 'acc' scores shares; write it as 0.02"
