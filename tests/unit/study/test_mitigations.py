"""Mitigations in study files and in the graph: what they become, what they share, and which are refused."""

from dataclasses import replace
from typing import Any

import pytest

from chaintune.errors import ConfigError, DataError
from chaintune.execution.run import pending_nodes, run_plan
from chaintune.plan.facts import TaskTokens
from chaintune.plan.nodes import Cell, DataMix, Interpolation, StageNode
from chaintune.plan.plan import Plan, Readers
from chaintune.records import Example, Generation, Reference
from chaintune.store.folder import FolderStore
from chaintune.study.study import Study
from tests import synthetic
from tests.dummy_engine import DummyEngine, failing, make_plan, make_study, make_task

AB: dict[str, Any] = {"chains": [["a", "b"]]}


def planned(*mitigations: dict[str, Any], names: str = "ab", **keys: Any) -> Plan:
    return make_plan(make_study(names, **(AB | keys), mitigations=list(mitigations)))


def stage(plan: Plan, chain: str) -> StageNode:
    (found,) = [node for node in plan.stages if ">".join(node.chain) == chain]
    return found


BRANCHES: list[tuple[dict[str, Any], str]] = [
    ({"replay": {"task": "a", "dose": [0.25]}}, "a>b>a@25%"),
    ({"replay": {"task": "a", "dose": [0.25], "who": "balanced"}}, "a>b>a@25% balanced by side"),
    ({"replay": {"task": "a", "dose": [0.25], "who": "targeted", "by": "side"}}, "a>b>a@25% targeted by side"),
    ({"replay": {"task": "a", "dose": [0.25], "who": "hardest"}}, "a>b>a@25% hardest"),
    ({"replay": {"task": "a", "dose": [0.25], "who": "most_forgotten"}}, "a>b>a@25% most_forgotten"),
    ({"replay": {"task": "a", "dose": [0.25], "who": "representative"}}, "a>b>a@25% representative"),
    ({"self_replay": {"task": "a", "dose": [0, 0.25]}}, "a>b>own a@25%"),
    ({"rehearse": {"task": "a", "dose": [0.25]}}, "a>b with a@25%"),
    ({"joint": {"task": "a"}}, "a+b"),
    ({"interpolate": {"task": "a", "fraction": [0.5]}}, "a>b>50% back to a"),
    ({"interpolate": {"task": "a", "toward": "base", "fraction": [0.5]}}, "a>b>50% back to base"),
    ({"merge_back": {"task": "a", "fraction": [0.5]}}, "a>b>50% of a merged back"),
    ({"merge_back": {"task": "a", "fraction": [0.5], "method": "ties"}}, "a>b>50% of a merged back ties"),
    ({"distill": {"task": "a", "weight": [0, 2]}}, "a>b with distill 2"),
    ({"distill": {"task": "a", "rows": "new"}}, "a>b with distill 1 on new"),
    ({"l2sp": {"task": "a", "strength": [0.1]}}, "a>b with l2sp 0.1"),
    ({"ewc": {"task": "a", "strength": [100]}}, "a>b with ewc 100"),
    ({"sam": {"task": "a"}}, "a with sam 0.05>b with sam 0.05"),
    ({"ema": {"task": "a"}}, "a>b with ema 0.99"),
    ({"freeze": {"task": "a", "parts": "layers.0"}}, "a>b with freeze layers.0"),
    ({"osf": {"task": "a"}}, "a>b with osf 0.5"),
]


@pytest.mark.parametrize(("mitigation", "chain"), BRANCHES, ids=[chain for _, chain in BRANCHES])
def test_a_mitigation_is_a_branch_that_says_what_it_is_held_against(mitigation: dict[str, Any], chain: str) -> None:
    plan = planned(mitigation)
    (cell,) = [cell for cell in plan.cells if cell.mitigates]
    (held,) = cell.mitigates
    assert ">".join(cell.checkpoint.labels) == chain
    assert (held.kind, held.task, held.chain, held.keep) == (
        next(iter(mitigation)),
        "a",
        synthetic.chain("a", "b"),
        ("b",),
    )
    plain = {node.key for node in make_plan(make_study("ab", **AB)).stages}
    assert {node.key for node in plan.stages} >= plain
    assert len(plan.stages) == (4 if "sam" in mitigation else 3)
    again = Study.from_mapping(make_study("ab", **AB, mitigations=[mitigation]).to_mapping())
    assert make_plan(again).cells == plan.cells


UNTAUGHT: list[tuple[dict[str, Any], str]] = [
    ({"replay": {"dose": [0.25]}}, "b>a@25%"),
    ({"replay": {"dose": [0.25], "who": "targeted"}}, "b>a@25% targeted by side"),
    ({"rehearse": {"dose": [0.25]}}, "b with a@25%"),
    ({"interpolate": {"toward": "base", "fraction": [0.5]}}, "b>50% back to base"),
    ({"l2sp": {"strength": [0.1]}}, "b with l2sp 0.1"),
    ({"ewc": {"strength": [100]}}, "b with ewc 100"),
    ({"sam": {}}, "b with sam 0.05"),
    ({"ema": {}}, "b with ema 0.99"),
    ({"freeze": {"parts": "layers.0"}}, "b with freeze layers.0"),
    ({"osf": {}}, "b with osf 0.5"),
]


@pytest.mark.parametrize(("mitigation", "chain"), UNTAUGHT, ids=[chain for _, chain in UNTAUGHT])
def test_chains_that_never_teach_a_task_are_mitigated_where_it_says_so(mitigation: dict[str, Any], chain: str) -> None:
    ((kind, how),) = mitigation.items()
    plan = planned({kind: how | {"task": "a", "untaught": True}}, chains=[["b"], ["a", "b"], ["b", "a"]])
    held = {cell.checkpoint.labels: cell.mitigates for cell in plan.cells if cell.mitigates}
    first = next(iter(held))
    assert ">".join(first) == chain
    assert len(held) == 2  # the other one learns it and loses it
    (mitigated,) = held[first]
    assert (mitigated.chain, mitigated.task, mitigated.keep) == (synthetic.chain("b"), "a", ("b",))
    if how.get("who") == "targeted":
        weighed = [node.chain for node in plan.scores if node.split == "train"]
        assert set(weighed[:2]) == {(), ("b",)}
    without = {">".join(cell.checkpoint.labels) for cell in planned(chains=[["b"]]).cells}
    assert without == {"", "b"}


def test_a_task_without_answers_to_train_on_is_not_replayed() -> None:
    study = make_study("ab", chains=[["b"]], mitigations=[{"replay": {"task": "a", "untaught": True, "dose": [0.5]}}])
    for train, why in (
        ((), "it has none"),
        ((replace(make_task("a").train[0], target=None),), "these have no answers"),
    ):
        with pytest.raises(DataError, match=f"mitigation replay of 'a': it needs training examples .* {why}"):
            make_plan(study, {"a": replace(make_task("a"), train=train), "b": make_task("b")})


def tasks_of(cell: Cell) -> tuple[tuple[str, ...], ...]:
    return tuple(step.tasks for step in cell.checkpoint.chain)


@pytest.mark.parametrize(("mitigation", "chain"), BRANCHES, ids=[chain for _, chain in BRANCHES])
def test_each_checkpoint_says_what_its_steps_taught(mitigation: dict[str, Any], chain: str) -> None:
    (kind, how), (first, then) = next(iter(mitigation.items())), ("lm_eval:a", "lm_eval:b")
    tasks = {name: {"role": "capability"} for name in (first, then)}
    plan = make_plan(make_study(tasks=tasks, chains=[[first, then]], mitigations=[{kind: how | {"task": first}}]))
    plain = ((first,), (then,))
    later = {
        "replay": (*plain, ()),
        "self_replay": (*plain, ()),
        "interpolate": (*plain, ()),
        "merge_back": (*plain, ()),
        "joint": ((first, then),),
    }
    assert [tasks_of(cell) for cell in plan.cells if cell.mitigates] == [later.get(kind, plain)]
    assert [tasks_of(cell) for cell in plan.cells if not cell.mitigates][:3] == [(), plain[:1], plain]


def test_no_two_branches_are_one_checkpoint() -> None:
    plan = planned(*(mitigation for mitigation, _ in BRANCHES))
    assert len(plan.stages) == 2 + len(BRANCHES) + 1  # SAM has a first stage of its own
    assert len({node.key for node in plan.stages}) == len(plan.stages)


def test_a_mitigation_during_training_holds_in_every_later_stage() -> None:
    plan = planned({"ewc": {"task": "a", "strength": [5]}}, names="abc", chains=[["a", "b", "c"]])
    last = stage(plan, "a>b with ewc 5>c with ewc 5")
    assert last.parent_key == stage(plan, "a>b with ewc 5").key
    assert isinstance(last.operation, DataMix)
    assert last.operation.protected == "a"
    assert last.tasks == ("c", "a")
    assert [len(cell.mitigates) for cell in plan.cells if "with" in ">".join(cell.checkpoint.labels)] == [0, 1]


def test_both_orders_share_one_joint_checkpoint() -> None:
    plan = planned({"joint": {"task": "a"}}, {"joint": {"task": "b"}}, chains="both orders")
    found = [cell for cell in plan.cells if "+" in ">".join(cell.checkpoint.labels)]
    assert {cell.checkpoint.labels for cell in found} == {("a+b",), ("b+a",)}
    assert len({cell.checkpoint.key for cell in found}) == 1
    assert len(plan.stages) == 5


def test_a_blend_has_two_parents_and_costs_no_tokens() -> None:
    plan = planned({"interpolate": {"task": "a", "fraction": [0.5]}}, recipe={"method": "lora"}, keep="none")
    blend = stage(plan, "a>b>50% back to a")
    assert blend.parents == (stage(plan, "a>b").key, stage(plan, "a").key)
    assert blend.operation == Interpolation(stage(plan, "a").key, 0.5, "interpolate")
    ties = {"merge_back": {"task": "a", "fraction": 0.5, "method": "ties"}}
    merged = stage(planned(ties), "a>b>50% of a merged back ties")
    assert isinstance(merged.operation, Interpolation)
    assert merged.operation.options == (("density", 0.2), ("method", "ties"))
    assert merged.parents == (merged.parent_key, merged.operation.other_key, merged.base_key)
    assert (blend.tokens, blend.recipe.method) == (0, "full")
    readers = Readers(plan.nodes, plan.transient_keys())
    gone = [key for node in plan.nodes[: plan.nodes.index(blend)] for key in readers.end(node)]
    assert stage(plan, "a").key not in gone


def test_targeted_doses_are_weighed_on_training_examples_before_they_are_drawn() -> None:
    replay = {"replay": {"task": "a", "dose": [0.25, 0.5], "who": "targeted"}}
    plan = planned(replay)
    trains = [node for node in plan.scores if node.split == "train"]
    assert [(node.chain, node.task) for node in trains] == [(("a",), "a"), (("a", "b"), "a")]
    assert [node.tokens for node in trains] == [80, 80]
    for chain in ("a>b>a@25% targeted by side", "a>b>a@50% targeted by side"):
        assert stage(plan, chain).measurements == tuple(node.key for node in trains)
        assert plan.nodes.index(stage(plan, chain)) > max(map(plan.nodes.index, trains))
    tests = {node.key for node in planned().scores}
    assert tests.isdisjoint(node.key for node in trains)
    assert all(not set(cell.measurement_keys) & {node.key for node in trains} for cell in plan.cells)


def test_a_dose_by_what_each_example_lost_reads_the_same_scores_and_no_groups() -> None:
    plan = planned({"replay": {"task": "a", "dose": [0.5], "who": "most_forgotten"}})
    targeted = planned({"replay": {"task": "a", "dose": [0.5], "who": "targeted"}})
    chosen, weighed = plan.stages[-1], targeted.stages[-1]
    assert chosen.measurements == weighed.measurements
    assert chosen.key != weighed.key


def test_a_whole_dose_is_the_same_whoever_is_drawn_first() -> None:
    plan = planned({"replay": {"task": "a", "dose": [1]}}, {"replay": {"task": "a", "dose": [1], "who": "balanced"}})
    assert len(plan.stages) == 3


def test_swapped_rows_keep_the_tokens() -> None:
    plan = planned({"rehearse": {"task": "a", "dose": [0.25, 0.5]}}, recipe={"epochs": 2})
    # 8 rows of 100 tokens in 2 epochs, whoever's rows they are.
    assert {stage(plan, f"a>b with a@{dose}%").tokens for dose in (25, 50)} == {1600}


def test_own_answers_are_asked_once_and_a_dose_of_none_is_the_plain_chain() -> None:
    doses = {"self_replay": {"task": "a", "dose": [0, 0.25, 0.5]}}
    plan = planned(doses, {"self_replay": {"task": "a", "prompts": "c", "dose": [0.5]}}, names="abc")
    said = [node for node in plan.scores if node.split == "train"]
    assert [(node.chain, node.task, node.measure) for node in said] == [
        (("a",), "a", "choice"),
        (("a",), "c", "choice"),
    ]
    assert {stage(plan, f"a>b>own a@{dose}%").measurements for dose in (25, 50)} == {(said[0].key,)}
    assert stage(plan, "a>b>own a@50% to c").tasks == ("c",)
    nothing = planned({"self_replay": {"task": "a", "dose": 0}})
    assert nothing.nodes == planned().nodes
    assert nothing.cells == planned().cells
    needs = [held.needs_old_data for cell in plan.cells for held in cell.mitigates]
    assert needs == [True, True, False]


def test_distillation_looks_at_own_answers_and_says_what_it_holds_and_reads() -> None:
    plan = planned({"distill": {"task": "a", "weight": [0, 1, 2], "top_k": 3, "batch": 4, "examples": 4}})
    (said,) = [node for node in plan.scores if node.split == "train"]
    assert (said.chain, said.task) == (("a",), "a")
    first, second = (stage(plan, f"a>b with distill {weight} top 3 of 4 batch 4") for weight in (1, 2))
    assert (first.measurements, second.measurements) == ((said.key,), (said.key,))
    # 8 rows of 100 tokens in one step of 16; the parent reads 4 once, the step 4 more, and 4 tops are held a token.
    assert (first.tokens, first.held_bytes) == (800 + 400 + 400, 400 * 8 * 4)
    on_new = planned({"distill": {"task": "a", "rows": "new", "batch": 4}}).stages[-1]
    assert (on_new.measurements, on_new.tasks, on_new.tokens) == ((), ("b",), 800 + 800 + 400)
    nothing = planned({"distill": {"task": "a", "weight": 0}})
    assert (nothing.nodes, nothing.cells) == (planned().nodes, planned().cells)
    needs = [
        held.needs_old_data
        for one in (plan, planned({"distill": {"task": "a", "rows": "new"}}))
        for cell in one.cells
        for held in cell.mitigates
    ]
    assert needs == [True, True, False]


def test_written_answers_hang_on_how_they_are_written() -> None:
    tasks = {name: make_task(name) for name in "ab"}
    train = tuple(replace(one, target=Reference(" yes")) for one in tasks["a"].train)
    tasks["a"] = replace(tasks["a"], train=train, test=tasks["a"].test)
    keys = set()
    for how in ({}, {"max_new_tokens": 8}, {"temperature": 0.5}):
        study = make_study("ab", **AB, mitigations=[{"self_replay": {"task": "a", "dose": 0.5, **how}}])
        plan = make_plan(study, tasks)
        (said,) = [node for node in plan.scores if node.split == "train"]
        assert (said.measure, said.generation and said.generation.max_new_tokens) == (
            "generation",
            how.get("max_new_tokens", 256),
        )
        keys |= {said.key, plan.stages[-1].key}
    assert len(keys) == 6


def test_written_answers_end_where_the_texts_of_their_task_do_and_are_counted_before_they_are_there() -> None:
    tasks, asked = {name: make_task(name) for name in "ab"}, TaskTokens(0, {"train": 0, "test": 0}, asked=40)
    usual = Generation(64, samples=3, temperature=0.7, seed=5, stop=("\n",))
    train = tuple(replace(one, target=None) for one in tasks["a"].train)
    tasks["c"] = replace(make_task("c"), train=train, test=(), generation=usual)
    replay = {"self_replay": {"task": "a", "prompts": "c", "dose": 0.5, "max_new_tokens": 10}}
    distill = {"distill": {"task": "a", "prompts": "c", "top_k": 3, "max_new_tokens": 10, "examples": 4, "batch": 2}}
    plan = make_plan(make_study("abc", **AB, mitigations=[replay, distill]), tasks, tokens=asked)
    (said,) = [node for node in plan.scores if node.split == "train"]
    assert said.generation == Generation(10, stop=("\n",))
    # 8 prompts of 5 tokens, each with 10 more at most.
    assert said.tokens == 120
    replayed, held = (next(node for node in plan.stages if kind in node.chain[-1]) for kind in ("own a", "distill"))
    assert replayed.tokens == 60
    assert (held.tokens, held.held_bytes) == (60 + 2 * 15, 60 * 8 * 4)
    drawn = {"self_replay": replay["self_replay"] | {"temperature": 0.5}}
    (said,) = [
        node for node in make_plan(make_study("abc", **AB, mitigations=[drawn]), tasks).scores if node.generation
    ]
    assert said.generation == Generation(10, temperature=0.5, seed=5, stop=("\n",))


@pytest.mark.parametrize(("kind", "dose"), [("self_replay", {"dose": 0.5}), ("distill", {})])
def test_prompts_of_the_lost_task_named_or_not_are_old_data(kind: str, dose: dict[str, Any]) -> None:
    named, unnamed = (planned({kind: {"task": "a", **dose, **how}}) for how in ({"prompts": "a"}, {}))
    assert named.cells == unnamed.cells
    assert {held.needs_old_data for cell in named.cells for held in cell.mitigates} == {True}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "two in one item": (
        {"sam": {"task": "a"}, "ema": {"task": "a"}},
        r"mitigations\[0\]: expected one mitigation such as .*, got",
    ),
    "none": ({}, r"expected one mitigation such as {replay: {task: a}}, got none"),
    "unknown": ({"ecw": {"task": "a"}}, "unknown key 'ecw'; did you mean 'ewc'"),
    "never learned": ({"ewc": {"task": "c", "strength": [1]}}, "no chain learns 'c' and then another task"),
    "never lost": ({"sam": {"task": "b"}}, "no chain learns 'b' and then another task"),
    "no chain teaches it at once": ({"joint": {"task": "c", "untaught": True}}, "joint.untaught: .* take rehearse"),
    "no checkpoint learned it": (
        {"interpolate": {"task": "c", "untaught": True, "fraction": [0.5]}},
        "interpolate.toward: no checkpoint of a chain that never teaches 'c' learned it; write 'toward: base'",
    ),
    "never taught": ({"ewc": {"task": "c", "strength": [1]}}, "'untaught: true' has it act on chains that never"),
    "dose above 1": (
        {"rehearse": {"task": "a", "dose": [5]}},
        "a number (greater than|of at least) 0 and at most 1, got 5",
    ),
    "no strength": ({"l2sp": {"task": "a"}}, "l2sp.strength: missing; it is needed"),
    "strength of 0": ({"l2sp": {"task": "a", "strength": [0]}}, "greater than 0, got 0"),
    "decay of 1": ({"ema": {"task": "a", "decay": [1]}}, "less than 1, got 1"),
    "fraction beyond the end": (
        {"interpolate": {"task": "a", "fraction": [1.5]}},
        "a number (greater than|of at least) 0 and at most 1",
    ),
    "unknown who": ({"replay": {"task": "a", "who": "target"}}, "did you mean 'targeted'"),
    "by without groups": ({"replay": {"task": "a", "by": "side"}}, "by: changes nothing without"),
    "twice": ({"sam": {"task": "a", "rho": [0.1, 0.1]}}, "0.1 is listed twice"),
    "prompts of no task": (
        {"self_replay": {"task": "a", "prompts": "aa"}},
        r"self_replay.prompts: no task is named 'aa'; did you mean 'a'",
    ),
    "whose prompts": (
        {"self_replay": {"task": "a", "prompts": "c", "who": "balanced"}},
        "'balanced' chooses among examples of 'a', and the prompts are those of 'c'",
    ),
    "keep of choices": (
        {"self_replay": {"task": "a", "keep": "refused"}},
        "'keep' is of texts, and of task 'a' a choice",
    ),
    "recipe": ({"sam": {"task": "a", "recipe": {"lr": 1}}}, "recipe.lr: unknown key 'lr'"),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_cannot_be_meant_gets_one_sentence(bad: str) -> None:
    mitigation, sentence = BAD[bad]
    with pytest.raises(ConfigError, match=sentence) as told:
        planned(mitigation, names="abc")
    assert "\n" not in str(told.value)


ALONE = [
    *({kind: {"task": "a", "dose": 0.25}} for kind in ("replay", "self_replay", "rehearse")),
    {"interpolate": {"task": "a", "fraction": 0.5}},
    *({kind: {"task": "a", "strength": 2}} for kind in ("l2sp", "ewc")),
    {"sam": {"task": "a", "rho": 0.1}},
    {"ema": {"task": "a", "decay": 0.9}},
    {"freeze": {"task": "a", "parts": "layers"}},
    {"osf": {"task": "a", "rank": 0.25}},
]


@pytest.mark.parametrize("alone", ALONE, ids=lambda item: next(iter(item)))
def test_a_value_alone_is_a_list_of_one(alone: dict[str, dict[str, Any]]) -> None:
    ((kind, told),) = alone.items()
    varied = next(name for name in told if name != "task")
    listed = {kind: told | {varied: [told[varied]]}}
    assert planned(alone).nodes == planned(listed).nodes


def test_a_value_alone_that_cannot_be_meant_is_told_where_it_stands() -> None:
    with pytest.raises(
        ConfigError,
        match=r"mitigations\[0\].replay.dose: expected a number (greater than|of at least) 0 and at most 1, got 5",
    ):
        planned({"replay": {"task": "a", "dose": 5}})


def test_an_item_that_an_earlier_one_asked_for_already() -> None:
    with pytest.raises(ConfigError, match="ewc: strength 5 of 'a' is in an earlier item too"):
        planned({"ewc": {"task": "a", "strength": [5]}}, {"ewc": {"task": "a", "strength": [1, 5]}})
    with pytest.raises(ConfigError, match="joint: 'a' is in an earlier item too"):
        planned({"joint": {"task": "a"}}, {"joint": {"task": "a"}})
    planned({"replay": {"task": "a", "dose": [0.5]}}, {"replay": {"task": "a", "dose": [0.5], "who": "balanced"}})


def test_a_dimension_that_is_missing_or_unknown() -> None:
    def two_sided(example: Example) -> Example:
        return replace(example, groups={"side": ("left",), "age": ("old",)})

    task = make_task("a")
    task = replace(task, train=tuple(map(two_sided, task.train)), dimensions=("age", "side"))
    for by, sentence in (
        (None, "'by' is missing; it names one of its dimensions age, side"),
        ("sid", "no dimension 'sid'"),
    ):
        replay = {"task": "a", "dose": [0.5], "who": "balanced"} | ({"by": by} if by else {})
        with pytest.raises(ConfigError, match=sentence):
            make_plan(make_study("ab", **AB, mitigations=[{"replay": replay}]), {"a": task, "b": make_task("b")})


def test_a_dose_for_which_there_is_no_room() -> None:
    tasks = {"a": make_task("a", train=8), "b": make_task("b", train=2)}
    study = make_study("ab", **AB, mitigations=[{"rehearse": {"task": "a", "dose": [0.5]}}])
    with pytest.raises(
        ConfigError, match=r"is 4 examples, and a pass over 'b' has 2 rows to swap; a dose of 0.25 fits"
    ):
        make_plan(study, tasks)


def run(plan: Plan, engine: DummyEngine, folder: Any) -> Any:
    tasks = {name: make_task(name) for name in "ab"}
    return run_plan(plan, store=FolderStore(folder / "store"), engine=engine, out=folder / "out", tasks=tasks)


def test_every_branch_runs_once_and_nothing_runs_again(tmp_path: Any) -> None:
    plan = planned(*(mitigation for mitigation, _ in BRANCHES), keep="none")
    engine = DummyEngine(tmp_path)
    assert run(plan, engine, tmp_path).complete
    assert sorted(engine.tuned) == sorted(">".join(node.chain) for node in plan.stages)
    assert len(engine.calls) == len(plan.nodes)
    again = DummyEngine(tmp_path)
    assert run(plan, again, tmp_path).complete
    assert again.calls == []


def test_a_blend_whose_other_parent_was_dropped_makes_it_again(tmp_path: Any) -> None:
    assert run(planned(keep="none"), DummyEngine(tmp_path), tmp_path).complete
    plan = planned({"interpolate": {"task": "a", "fraction": [0.5]}}, keep="none")
    assert [node.title for node in pending_nodes(plan, FolderStore(tmp_path / "store"))][:2] == [
        "a, seed 0",
        "a>b, seed 0",
    ]
    engine = DummyEngine(tmp_path)
    assert run(plan, engine, tmp_path).complete
    assert engine.tuned == ["a", "a>b", "a>b>50% back to a"]


def test_a_targeted_dose_without_its_weights_is_skipped_with_the_cause(tmp_path: Any) -> None:
    plan = planned({"replay": {"task": "a", "dose": [0.5], "who": "targeted"}})
    outcome = run(plan, DummyEngine(tmp_path, hook=failing("a>b")), tmp_path)
    assert {result.node.chain[-1] for result in outcome.of("skipped")} >= {"a@50% targeted by side"}
    assert all("'a>b, seed 0' failed" in result.cause for result in outcome.of("skipped"))
