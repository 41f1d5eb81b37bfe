"""Splits and samples: no shared cluster, nested sizes, the same on every machine."""

from dataclasses import replace
from hashlib import sha256
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaintune.errors import DataError
from chaintune.records import Choices, Example, examples_digest
from chaintune.tasks.sizes import SizeSpec, check_dimension, parse_size, take
from chaintune.tasks.splits import split_clusters, spread


def example(name: str, cluster: str, *groups: str) -> Example:
    return Example(name, f"Question {name}?", Choices((" yes", " no"), 0), {"faith": groups} if groups else {}, cluster)


@st.composite
def data_sets(draw: st.DrawFn) -> list[Example]:
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, 12), st.lists(st.sampled_from("abc"), max_size=2, unique=True)),
            min_size=1,
            max_size=60,
        )
    )
    return [example(f"e{k}", f"c{cluster}", *sorted(groups)) for k, (cluster, groups) in enumerate(rows)]


def ids(examples: list[Example]) -> list[str]:
    return [e.id for e in examples]


@settings(deadline=None)
@given(data_sets(), st.integers(0, 5), st.sampled_from([0.3, 0.5, 0.6, 1.0]), st.sampled_from(["", "faith"]))
def test_no_cluster_is_in_both_splits(examples: list[Example], seed: int, share: float, stratum: str) -> None:
    train, test = split_clusters(examples, task="t", seed=seed, test_share=share, stratify_by=stratum)
    assert not {e.cluster for e in train} & {e.cluster for e in test}
    assert sorted(ids(train + test)) == sorted(ids(examples))


@settings(deadline=None)
@given(data_sets(), st.randoms())
def test_row_order_changes_nothing(examples: list[Example], random: Random) -> None:
    shuffled = list(examples)
    random.shuffle(shuffled)
    for stratum in ("", "faith"):
        one = split_clusters(examples, task="t", seed=0, test_share=0.5, stratify_by=stratum)
        two = split_clusters(shuffled, task="t", seed=0, test_share=0.5, stratify_by=stratum)
        assert [sorted(ids(part)) for part in one] == [sorted(ids(part)) for part in two]
    assert ids(spread(examples, task="t", seed=0)) == ids(spread(shuffled, task="t", seed=0))


@settings(deadline=None)
@given(data_sets(), st.integers(1, 4), st.integers(1, 4), st.sampled_from(["", " per faith"]))
def test_a_smaller_sample_lies_within_a_larger_one(examples: list[Example], small: int, more: int, per: str) -> None:
    def sample(count: int) -> set[str]:
        return set(ids(take(examples, parse_size(f"{count}{per}", "t"), task="t", seed=0, what="t")))

    try:
        larger = sample(small + more)
    except DataError:
        return
    assert sample(small) <= larger


@settings(deadline=None)
@given(data_sets())
def test_a_sample_lies_in_as_many_clusters_as_it_can(examples: list[Example]) -> None:
    clusters = len({e.cluster for e in examples})
    for size in (1, len(examples) // 2 + 1, len(examples)):
        sample = spread(examples, task="t", seed=0)[:size]
        assert len({e.cluster for e in sample}) == min(size, clusters)


@pytest.mark.parametrize(("clusters", "share", "tested"), [(25, 0.6, 15), (50, 0.6, 30), (42, 0.6, 25), (3, 0.5, 2)])
def test_the_share_of_each_stratum_is_exact_to_rounding(clusters: int, share: float, tested: int) -> None:
    examples = [example(f"{g}{k}", f"{g}{k}", g) for g in "ab" for k in range(clusters)]
    _, test = split_clusters(examples, task="t", seed=3, test_share=share, stratify_by="faith")
    assert [sum(e.groups["faith"] == (g,) for e in test) for g in "ab"] == [tested, tested]


def test_strata_of_one_cluster_are_split_together() -> None:
    examples = [example(f"e{k}", f"c{k}", f"g{k}") for k in range(40)]
    train, test = split_clusters(examples, task="t", seed=0, test_share=0.5, stratify_by="faith")
    assert (len(train), len(test)) == (20, 20)


def test_another_seed_gives_another_split() -> None:
    examples = [example(f"e{k}", f"c{k}") for k in range(40)]
    splits = [ids(split_clusters(examples, task="t", seed=seed, test_share=0.5)[1]) for seed in range(3)]
    assert splits[0] != splits[1] != splits[2]


def test_the_split_is_the_same_on_every_machine() -> None:
    examples = [example(f"e{k}", f"c{k % 9}", "abc"[k % 3]) for k in range(54)]
    train, test = split_clusters(examples, task="t", seed=7, test_share=0.6, stratify_by="faith")
    sample = take(test, parse_size("4 per faith", "t"), task="t", seed=7, what="t")
    assert [examples_digest(part)[:12] for part in (train, test, sample)] == GOLDEN


def test_the_order_is_that_of_the_hash_that_the_docs_state() -> None:
    examples = [example(f"e{k}", f"c{k % 9}") for k in range(54)]

    def place(purpose: str, name: str) -> bytes:
        return sha256("\0".join([purpose, "t", "7", name]).encode()).digest()

    _, test = split_clusters(examples, task="t", seed=7, test_share=0.5)
    clusters = sorted((f"c{k}" for k in range(9)), key=lambda cluster: place("split", cluster))
    assert {e.cluster for e in test} == set(clusters[:5])
    first_round = sorted((f"c{k}" for k in range(9)), key=lambda cluster: place("sample", cluster))
    order = spread(examples, task="t", seed=7)
    assert [e.cluster for e in order] == first_round * 6
    of_one = [e.id for e in order if e.cluster == "c0"]
    assert of_one == sorted(of_one, key=lambda name: place("sample", name))


def test_kinds_take_turns_within_a_cluster_and_from_cluster_to_cluster() -> None:
    examples = [
        replace(example(f"{g}{k}{kind}{n}", f"{g}{k}", g), groups={"faith": (g,), "kind": (kind,)})
        for g in "ab" for k in range(6) for kind in "pqr" for n in range(2)
    ]  # fmt: skip
    order = spread(examples, task="t", seed=0, balance=("faith", "kind"))
    assert sorted(ids(order)) == sorted(e.id for e in examples)
    assert [e.cluster for e in order] == [e.cluster for e in spread(examples, task="t", seed=0)]
    for g in "ab":
        own = [e.groups["kind"][0] for e in order if e.groups["faith"] == (g,)]
        assert own[:12] == list("pqrpqrqrpqrp")
    assert ids(order) == ids(spread(examples[::-1], task="t", seed=0, balance=("faith", "kind")))


def test_an_example_of_two_groups_counts_for_both() -> None:
    both = [example(f"both{k}", f"c{k}", "a", "b") for k in range(3)]
    only = [example(f"only{k}", f"d{k}", "a") for k in range(3)]
    wanted = parse_size("3 per faith", "t")
    assert set(ids(take(both, wanted, task="t", seed=0, what="t"))) == {"both0", "both1", "both2"}
    sample = take(both + only, wanted, task="t", seed=0, what="t")
    borne = [sum(g in e.groups["faith"] for e in sample) for g in "ab"]
    assert borne[0] >= 3
    assert borne[1] == 3


def test_too_few_examples_are_named_and_counted() -> None:
    examples = [example("1", "1", "a"), example("2", "2", "a"), example("3", "3", "b")]
    with pytest.raises(DataError, match=r"x: 4 examples asked for, there are 3"):
        take(examples, parse_size(4, "x"), task="t", seed=0, what="x")
    with pytest.raises(DataError, match=r"'2 per faith' asks for more than there are: 'b' has 1; ask for 1"):
        take(examples, parse_size("2 per faith", "x"), task="t", seed=0, what="x")
    with pytest.raises(DataError, match=r"'c' has 0; leave out the group that has none"):
        take(examples, parse_size("1 per faith", "x"), task="t", seed=0, what="x", groups=["a", "b", "c"])


@pytest.mark.parametrize("size", ["many", "30 per", "per category", -1, 1.5, True, "3 4", ""])
def test_a_size_that_cannot_be_meant_is_refused(size: object) -> None:
    with pytest.raises(DataError, match=r"is not understood; write a whole number from 1, or '30 per category'"):
        parse_size(size, "x")  # type: ignore[arg-type]


def test_no_size_and_all_are_everything() -> None:
    assert parse_size(None, "x") is None
    assert parse_size("all", "x") is None
    assert parse_size(" 30  per  category ", "x") == SizeSpec(30, "category")
    assert parse_size("400", "x") == parse_size(400, "x") == SizeSpec(400)


def test_a_size_of_zero_is_refused() -> None:
    with pytest.raises(DataError, match="would leave the split empty"):
        parse_size(0, "x")


def test_a_dimension_that_the_task_lacks_is_refused() -> None:
    with pytest.raises(DataError, match=r"did you mean 'category'\?"):
        check_dimension(parse_size("3 per catgory", "x"), ("category", "context"), "x")
    with pytest.raises(DataError, match="the task has no groups"):
        check_dimension(parse_size("3 per category", "x"), (), "x")


GOLDEN = ["ab81f7d4bc92", "1d391b1ddddb", "fa4e2e412af6"]
