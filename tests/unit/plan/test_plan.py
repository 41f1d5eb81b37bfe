"""The stage graph: hand-worked counts, keys, order, and what holds for every study."""

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaintune.errors import ConfigError, DataError
from chaintune.plan.nodes import ScoreNode, StageNode
from chaintune.plan.plan import Plan, Readers, compile_plan
from chaintune.records import Recipe, Task
from chaintune.study.study import Study
from tests.dummy_engine import BASE_KEY, make_plan, make_study, make_task


def test_three_tasks_all_orders_two_rates_two_seeds() -> None:
    study = make_study("abc", vary={"seed": [0, 1], "recipe.learning_rate": [1e-5, 1e-4]})
    plan = make_plan(study)
    # One family of 3! = 6 chains is a tree of 3 first, 6 second and 6 third stages: 15. Alone, 6 chains are
    # 18 stages. There are 2 rates x 2 seeds = 4 families on one base.
    # Scores: (60 stages + 1 base) x 3 tasks. Alone, each of 24 chains scores base and 3 stages on 3 tasks.
    # A task has 8 training examples of 100 tokens and 4 test examples of 10 tokens.
    assert plan.counts() == {
        "stages_shared": 60,
        "stages_unshared": 72,
        "scores_shared": 183,
        "scores_unshared": 288,
        "train_tokens": 60 * 800,
        "score_tokens": 183 * 40,
        "curvatures": 0,
        "divergences": 0,
        "disk_bytes": 60 * 1_000,
    }


def test_six_tasks_all_ordered_pairs_and_triples() -> None:
    plan = make_plan(make_study("abcdef", chains=["all orders of 2", "all orders of 3"]))
    # 6 + 6x5 + 6x5x4 = 156; alone 30 pairs x 2 + 120 triples x 3 = 420
    assert (plan.counts()["stages_shared"], plan.counts()["stages_unshared"]) == (156, 420)


def test_replay_doses_are_branches_of_the_chain_that_lost_the_task() -> None:
    study = make_study("ab", mitigations=[{"replay": {"task": "a", "dose": [0.125, 0.25]}}])
    plan = make_plan(study)
    assert [">".join(node.chain) for node in plan.stages] == ["a", "a>b", "a>b>a@12.5%", "a>b>a@25%", "b", "b>a"]
    assert [node.tokens for node in plan.stages] == [800, 800, 100, 200, 800, 800]
    # a>b, a>b>a@12.5%, a>b>a@25%, b>a alone: 2 + 3 + 3 + 2
    assert plan.counts()["stages_unshared"] == 10


def test_tasks_are_measured_on_their_own_chains_alone_where_the_study_says_so() -> None:
    chains = [["a", "b"], ["a", "c"], ["c", "a"]]
    study = make_study(
        "abcd", chains=chains, mitigations=[{"replay": {"task": "a", "dose": [0.25]}}], measured_at="own chains"
    )
    measured = {cell.checkpoint.labels: "".join(cell.measurements) for cell in make_plan(study).cells}
    assert measured == {
        (): "abcd",  # d, which no chain teaches, everywhere
        ("a",): "abcd",  # of both chains that it begins
        ("a", "b"): "abd",
        ("a", "c"): "acd",
        ("a", "b", "a@25%"): "abd",
        ("a", "c", "a@25%"): "acd",
        ("c",): "acd",
        ("c", "a"): "acd",
    }
    assert Study.from_mapping(study.to_mapping()) == replace(study, name="study")


def test_divergences_of_first_stages_alone() -> None:
    replay = [{"replay": {"task": "a", "dose": [0.25]}}]
    plan = make_plan(make_study("ab", mitigations=replay, kl="first stages"))
    assert [node.chain for node in plan.divergences] == [("a",), ("b",)]
    assert [cell.checkpoint.labels for cell in plan.cells if cell.kl_key] == [("a",), ("b",)]


def test_a_dose_that_gives_no_example_is_told_with_one_that_does() -> None:
    study = make_study("ab", mitigations=[{"replay": {"task": "a", "dose": [0.5, 0.01]}}])
    sentence = "task 'a': a dose of 0.01 of 8 training examples gives none; a dose of 0.0626 gives one"
    with pytest.raises(ConfigError, match=sentence):
        make_plan(study)


def test_a_chain_over_a_task_with_nothing_to_train_on() -> None:
    tasks = {"a": make_task("a", train=0), "b": make_task("b")}
    with pytest.raises(DataError, match="task 'a' is trained on in a chain, and its train split is empty"):
        make_plan(make_study("ab"), tasks)
    assert len(make_plan(make_study("ab", chains=[["b"]]), tasks).scores) == 4


@pytest.mark.parametrize("count", [0, 4])
def test_a_chain_over_prompts_without_answers(count: int) -> None:
    prompts = make_task("a", train=count)
    train, test = (tuple(replace(one, target=None) for one in part) for part in (prompts.train, prompts.test))
    tasks = {"a": replace(prompts, train=train, test=test), "b": make_task("b")}
    with pytest.raises(
        DataError, match="task 'a' is trained on in a chain, and its prompts have no answers to teach; m"
    ):
        make_plan(make_study("ab"), tasks)


def test_a_replay_has_its_own_recipe() -> None:
    replay = {"task": "a", "dose": [0.5], "recipe": {"epochs": 4}}
    plan = make_plan(make_study("ab", recipe={"epochs": 2}, mitigations=[{"replay": replay}]))
    assert {node.chain[-1]: node.recipe.epochs for node in plan.stages} == {"a": 2.0, "b": 2.0, "a@50%": 4.0}


def test_a_full_replay_is_the_same_stage_as_training_again() -> None:
    study = make_study("ab", chains=[["a", "b"], ["a", "b", "a"]], mitigations=[{"replay": {"task": "a", "dose": [1]}}])
    plan = make_plan(study)
    assert len(plan.stages) == 3
    named = {cell.checkpoint.labels: cell.checkpoint.key for cell in plan.cells}
    assert named["a", "b", "a"] == named["a", "b", "a@100%"]


def test_every_checkpoint_is_scored_on_every_task_right_after_it_is_made() -> None:
    plan = make_plan(make_study("abc"))
    made = [BASE_KEY, *(node.key for node in plan.stages)]
    assert len(plan.scores) == len(made) * 3
    for key in made:
        at = [i for i, node in enumerate(plan.nodes) if isinstance(node, ScoreNode) and node.checkpoint_key == key]
        first = -1 if key == BASE_KEY else [node.key for node in plan.nodes].index(key)
        assert at == [first + 1, first + 2, first + 3]


def test_bases_with_the_same_content_are_one_base_with_two_names() -> None:
    study = make_study("ab", base=["x", "y"])
    tasks = {name: make_task(name) for name in study.tasks}
    same = compile_plan(study, base_keys={"x": "1" * 64, "y": "1" * 64}, tasks=tasks, precision="fp32")
    other = compile_plan(study, base_keys={"x": "1" * 64, "y": "2" * 64}, tasks=tasks, precision="fp32")
    assert (len(same.stages), len(other.stages)) == (4, 8)
    assert {cell.checkpoint.base for cell in same.cells} == {"x", "y"}


def test_base_is_measured_once_for_each_seed_whatever_the_variant() -> None:
    plan = make_plan(make_study("ab", vary={"seed": [3, 4], "recipe.epochs": [1, 2]}))
    bases = [(cell.checkpoint.variant, cell.checkpoint.seed) for cell in plan.cells if not cell.checkpoint.chain]
    assert bases == [((), 3), ((), 4)]
    assert sum(node.checkpoint_key == BASE_KEY for node in plan.scores) == 2


def keys(study: Study, tasks: dict[str, Task] | None = None) -> set[str]:
    return {node.key for node in make_plan(study, tasks).nodes}


def test_the_order_of_chains_tasks_and_knobs_changes_no_key() -> None:
    orders = [list(chain) for chain in permutations("abc")]
    plain = keys(make_study("abc", chains=orders, vary={"seed": [0, 1], "recipe.epochs": [1, 2]}))
    assert keys(make_study("cab", chains=orders[::-1], vary={"recipe.epochs": [2, 1], "seed": [1, 0]})) == plain


def test_rows_in_another_order_change_no_key() -> None:
    study = make_study("ab")
    tasks = {name: make_task(name) for name in "ab"}
    turned = {n: Task(n, t.role, "1", t.train[::-1], t.test[::-1], t.dimensions, "", "") for n, t in tasks.items()}
    assert keys(study, tasks) == keys(study, turned)


def test_two_studies_share_what_they_have_in_common() -> None:
    small, large = make_study("ab"), make_study("abc", chains=[["a", "b"], ["b", "a"], ["a", "c"]])
    assert keys(small) < keys(large)


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": {"learning_rate": 1e-5}},
        {"recipe": {"method": "lora"}},
        {"recipe": {"epochs": 2}},
        {"seed": 1},
    ],
    ids=str,
)
def test_what_determines_the_weights_is_in_the_key(change: dict[str, Any]) -> None:
    plain, other = make_plan(make_study("ab")), make_plan(make_study("ab", **change))
    assert {node.key for node in plain.stages}.isdisjoint(node.key for node in other.stages)


def test_trackers_and_unused_lora_fields_are_not_in_the_key() -> None:
    assert keys(make_study("ab", recipe={"report_to": ["wandb"], "lora_rank": 4})) == keys(make_study("ab"))


def test_data_precision_and_base_are_in_the_key() -> None:
    study = make_study("ab")
    tasks = {name: make_task(name) for name in "ab"}
    plain = {node.key for node in make_plan(study, tasks).nodes}
    other_text = tasks | {"a": make_task("a", text="please, ")}
    shifted = {node.key for node in make_plan(study, other_text).nodes}
    b_alone = {node.key for node in make_plan(study, tasks).stages if node.chain == ("b",)}
    assert plain & shifted >= b_alone
    assert len(plain & shifted) == 1 + 2  # stage b, and base and b scored on b
    for base, precision in [("f" * 64, "fp32"), (BASE_KEY, "bf16")]:
        plan = compile_plan(study, base_keys={"tiny": base}, tasks=tasks, precision=precision)
        assert plain.isdisjoint(node.key for node in plan.nodes)


def test_the_json_names_nodes_and_counts() -> None:
    found = make_plan(make_study("ab")).to_dict()
    assert len(found["nodes"]) == found["stages_shared"] + found["scores_shared"] == 4 + 10
    assert found["nodes"][0]["chain"] == "base"
    assert found["nodes"][0]["seed"] is None


@pytest.mark.parametrize(("keep", "most"), [("all", 4_000), ("final", 3_000), ("none", 2_000)])
def test_disk_is_the_most_at_any_one_time(keep: str, most: int) -> None:
    # a, then a>b beside it; then (a>b kept if final) b, and b>a beside it
    assert make_plan(make_study("ab", keep=keep)).disk_bytes == most


@st.composite
def studies(draw: st.DrawFn) -> Study:
    names = draw(st.sampled_from(["a", "ab", "abc", "abcd"]))
    orders = st.lists(st.sampled_from(names), min_size=1, unique=True)
    chains = draw(st.lists(orders, min_size=1, max_size=5))
    lost = sorted({name for chain in chains for name in chain[:-1]})
    doses = st.lists(st.sampled_from([0.125, 0.5, 1.0]), min_size=1, unique=True)
    return make_study(
        names,
        chains=chains,
        vary={
            "seed": draw(st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True)),
            "recipe.learning_rate": draw(st.lists(st.sampled_from([1e-5, 1e-4]), min_size=1, unique=True)),
        },
        mitigations=[{"replay": {"task": name, "dose": draw(doses)}} for name in lost if draw(st.booleans())],
        keep=draw(st.sampled_from(["all", "final", "none"])),
    )


@settings(max_examples=40, deadline=None)
@given(study=studies())
def test_invariants_of_every_plan(study: Study) -> None:
    plan = make_plan(study)
    places = {node.key: index for index, node in enumerate(plan.nodes)}
    assert len(places) == len(plan.nodes)
    _parents_come_first_and_stay_until_their_last_reader(plan, places)
    for cell in plan.cells:
        assert set(cell.measurements) == set(study.tasks)
        assert all(key in places for key in cell.measurement_keys)
    prefixes = {chain[:n] for chain in study.chains for n in range(len(chain) + 1)}
    prefixes |= {
        (*chain, replay.spec.label(replay.kind, dose))
        for replay in study.mitigations
        for chain in study.chains
        if replay.task in chain[:-1]
        for _, dose in replay.spec.settings
    }
    seeds = {variant.seed for variant in study.variants()}
    assert len(plan.cells) == (len(prefixes) - 1) * len(study.variants()) + len(study.bases) * len(seeds)
    counts = plan.counts()
    assert counts["stages_shared"] == (len(prefixes) - 1) * len(study.variants()) <= counts["stages_unshared"]
    assert counts["scores_shared"] <= counts["scores_unshared"]


def _parents_come_first_and_stay_until_their_last_reader(plan: Plan, places: dict[str, int]) -> None:
    gone: set[str] = set()
    open_path: list[str] = [BASE_KEY]
    readers = Readers(plan.nodes, plan.transient_keys())
    for index, node in enumerate(plan.nodes):
        read = node.parent_key if isinstance(node, StageNode) else node.checkpoint_key
        assert read not in gone
        assert places.get(read, -1) < index
        if isinstance(node, StageNode):
            while open_path[-1] != node.parent_key:  # depth first: the parent is on the path that is open
                open_path.pop()
            open_path.append(node.key)
        gone |= set(readers.end(node))
    kept = {"all": {n.key for n in plan.stages}, "final": plan.final_keys, "none": set()}[plan.keep]
    assert gone == {n.key for n in plan.stages} - kept


def test_an_adapter_is_counted_alone_only_while_the_base_lies_under_it() -> None:
    def size(_base: str, recipe: Recipe | None) -> int:
        return recipe.lora_rank if recipe else 1_000

    def sizes(**own: Any) -> dict[str, int]:
        tasks = {name: {"role": "safety", "path": "x", "recipe": own.get(name, {})} for name in "ab"}
        study = make_study("ab", tasks=tasks, recipe={"method": "lora", "lora_rank": 4})
        plan = compile_plan(
            study,
            base_keys={"tiny": "0" * 64},
            tasks={n: make_task(n) for n in "ab"},
            precision="fp32",
            stage_bytes=size,
        )
        return {">".join(node.chain): plan.stage_bytes[node.key] for node in plan.stages}

    assert sizes() == {"a": 4, "a>b": 4, "b": 4, "b>a": 4}
    assert sizes(b={"lora_rank": 2}) == {"a": 4, "a>b": 1_000, "b": 2, "b>a": 1_000}
    assert sizes(b={"adapter": "fresh"}) == {"a": 4, "a>b": 1_000, "b": 4, "b>a": 4}
    assert sizes(b={"method": "full"}) == {"a": 4, "a>b": 1_000, "b": 1_000, "b>a": 1_000}
