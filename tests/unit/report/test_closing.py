"""The sentences with which a study ends."""

from dataclasses import replace

from chaintune.records import Estimate, ResultRow
from chaintune.report.closing import closing
from chaintune.report.results import Results

ROLES = {"s": {"role": "safety"}, "c": {"role": "capability"}}
LESS, MORE, NOTHING = (
    Estimate(-0.08, -0.12, -0.04, p_value=0.001),
    Estimate(0.08, 0.04, 0.12, p_value=0.001),
    Estimate(0.01, -0.06, 0.08, p_value=0.8),
)


def row(metric: str, estimate: Estimate, **fields: str) -> ResultRow:
    own = {"dimension": "", "group": "", "task": "s", "chain": "s>c", "reference": "s", **fields}
    one = ResultRow("made", "m", own["chain"], "", 2, own["reference"], own["task"], metric, "", "", "0", estimate)
    return replace(one, dimension=own["dimension"], group=own["group"], mitigation=fields.get("mitigation", ""))


def sentences(*rows: ResultRow) -> list[str]:
    return closing(Results("made", rows, 0.95, provenance={"tasks": ROLES}))


def of_groups(**groups: Estimate) -> list[ResultRow]:
    rows = [row("biased_forgetting", one, dimension="faith", group=name) for name, one in groups.items()]
    further = [row("biased_forgetting", MORE, dimension="half", group="one")]  # of a dimension that no size names
    return [*rows, *further, row("detectable_biased_forgetting", Estimate(0.15), dimension="faith", group="a")]


def test_one_study_ends_with_what_was_found_for_order_groups_and_replay() -> None:
    order = row("order_effect", MORE, chain="c>s", reference="s>c")
    back = row("recovery", replace(MORE, value=0.5, low=0.2, high=0.8), chain="s>c>s@10%", mitigation="replay")
    texts = sentences(order, *of_groups(a=LESS, b=NOTHING), back, row("order_effect", MORE, task="c"))
    assert texts == [
        "Order: s ends better with c>s than with s>c: +8.0 points (95 % CI +4.0 to +12.0).",
        "Groups: a (faith) lost less than the whole, by 8.0 points (95 % CI +4.0 to +12.0).",
        "Replay: s>c>s@10% brings back 50 % (95 % CI 20 to 80 %) of the loss of s.",
    ]


def test_where_nothing_is_shown_that_is_said() -> None:
    texts = sentences(row("order_effect", NOTHING, chain="c>s", reference="s>c"), *of_groups(a=NOTHING))
    assert texts[0].startswith("Order: Between c>s and s>c no difference in s is shown")
    assert texts[1].startswith("Groups: No difference is shown for the one group of faith")
    assert "of 15 points" in texts[1]
    assert len(texts) == 2


def test_of_several_comparisons_it_is_counted_what_they_show() -> None:
    orders = [row("order_effect", one, chain=f"{n}>s") for n, one in enumerate((MORE, MORE, LESS, NOTHING))]
    groups = [replace(one, chain=chain) for chain in ("s>c", "s>d") for one in of_groups(a=MORE, b=NOTHING)]
    back = [row("recovery", one, chain=f"s>c>s@{n}", mitigation="replay") for n, one in enumerate((MORE, NOTHING))]
    order, group, replay = sentences(*orders, *groups, *back)
    assert order.endswith("end better where it is tuned last in 2 of 4 comparisons of two orders, and worse in 1.")
    assert group.endswith("to lose more than its whole task in 2 of 4 comparisons, and less in 0.")
    assert replay == "Brought back: a recovery is shown for 1 of 2 mitigated chains."


def test_nothing_was_asked() -> None:
    assert sentences(row("accuracy", NOTHING)) == []
