"""The policy file: what it may say, and that every slip is told at once."""

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaintune.cli.app import main
from chaintune.errors import ConfigError
from chaintune.gate import Policy, read_policy
from chaintune.gate.policy import Limit


def policy(tmp_path: Path, text: str) -> Policy:
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    return read_policy(path)


def test_budgets_are_read_in_order(tmp_path: Path) -> None:
    found = policy(
        tmp_path,
        """
budgets:
  - {task: bbq, forgetting: 5 %, tier: warn}
  - {task: bbq, by: category, group: Religion, forgetting: 0.03, biased_forgetting: 0.02, required: false}
  - {task: "*", by: category x polarity, disparity: 0.1, tier: note}
""",
    )
    told = [(b.task, b.by, b.groups, b.statistic, b.limit.value, b.limit.relative, b.tier) for b in found.budgets]
    assert told == [
        ("bbq", "", (), "forgetting", 0.05, True, "warn"),
        ("bbq", "category", ("Religion",), "forgetting", 0.03, False, "block"),
        ("bbq", "category", ("Religion",), "biased_forgetting", 0.02, False, "block"),
        ("*", "category x polarity", (), "disparity", 0.1, False, "note"),
    ]
    assert [budget.required for budget in found.budgets] == [True, False, False, True]
    assert found.dimensions == ("category", "category x polarity")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{task: bbq, forgeting: 0.1}", r"policy.yaml:1: budgets\[0\].forgeting: unknown key .* did you mean 'forgett"),
        ("{task: bbq}", "no budget: name one of forgetting, biased_forgetting, disparity"),
        ("{forgetting: 0.1}", r"budgets\[0\].task: missing"),
        ("{task: bbq, forgetting: 2}", "expected a share from -1 to 1, 0.02 is two points, got 2"),
        ("{task: bbq, forgetting: .nan}", "expected a share from -1 to 1"),
        ("{task: bbq, forgetting: yes}", "expected a share of the score"),
        ("{task: bbq, forgetting: 5 points}", "got '5 points'; '5 %' is one of the score before"),
        ("{task: bbq, forgetting: 0.1, tier: blok}", "did you mean 'block'"),
        ("{task: bbq, group: a, forgetting: 0.1}", "'group' needs 'by'"),
        ("{task: bbq, disparity: 0.1}", "disparity needs 'by'"),
        ("{task: bbq, by: c, group: a, disparity: 0.1}", "leave 'group' out"),
        ("7", "expected a mapping, got 7"),
    ],
)
def test_a_slip_is_told_with_its_line(tmp_path: Path, entry: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        policy(tmp_path, f"budgets: [{entry}]")


def test_every_slip_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        policy(tmp_path, "level: 1\nbudgets:\n  - {task: a, forgetting: x}\n  - {task: b, tear: note, forgetting: 0}\n")
    text = str(caught.value)
    assert "3 problems" in text
    assert ("policy.yaml:1:" in text, "policy.yaml:3:" in text, "policy.yaml:4:" in text) == (True, True, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a mapping with 'budgets' at the top, got nothing"),
        ("- 1", "expected a mapping with 'budgets' at the top, got a list"),
        ("budgets: []", "expected at least one, got"),
        ("budgets: 3", "expected a list, got 3"),
        ("budgets: [{task: t, by: d, group: 1, forgetting: 1}]", "group: expected text, got 1; put it in quotes"),
        ("budgets: [{task: t, by: d, group: [a, no], forgetting: 1}]", "expected text, got False; put it in quotes"),
        ("budgets: [", "not YAML"),
        ("budgets: !!python/object/apply:os.system [x]", "not YAML"),
        ("budgets: &a [*a]", "policy"),
        ("!!int", "a value does not fit its tag"),
        ("!!float", "a value does not fit its tag"),
        ("budgets: [{a\n\nb}]", r"unknown key 'a\\nb'"),
        ("budgets: [{task: !!bool x, forgetting: 0.1}]", "a value does not fit its tag"),
        ("budgets: [{task: !!timestamp x, forgetting: 0.1}]", "a value does not fit its tag"),
        (f"budgets: [{{task: 0x{'f' * 5000}, forgetting: 0.1}}]", "line 1 has a number of 5,002 digits"),
        (f"budgets: [{{task: t, forgetting: 0x{'f' * 300}}}]", "expected a share from -1 to 1"),
    ],
)
def test_what_is_no_policy_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        policy(tmp_path, text)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the policy"):
        read_policy(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"\xe9")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_policy(tmp_path / "latin.yaml")


KEYS = st.sampled_from(["task", "by", "group", "forgetting", "biased_forgetting", "disparity", "tier", "required", "x"])
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.lists(st.text(max_size=3))
ENTRIES = st.lists(st.dictionaries(KEYS, VALUES) | VALUES, max_size=3)
SIGNS = "budgets : [ ] { } , \n - task forgetting 0.1 5% ' \" &a *a !!bool !!int !!timestamp << ? | # --- % .inf 0x x"
PIECES = st.sampled_from([*SIGNS.split(" "), " ", "  ", "!!python/name:os.system "])


@st.composite
def written(draw: st.DrawFn) -> bytes:
    """Policies with values of every sort, text made of YAML's signs, and any bytes."""
    mapping = yaml.safe_dump({"budgets": draw(ENTRIES)}) + draw(st.text(max_size=5))
    pieces = "".join(draw(st.lists(PIECES | st.text(max_size=2), max_size=30)))
    text = draw(st.sampled_from([mapping, pieces, f"budgets: [{{{pieces}}}]"]))
    return draw(st.binary(max_size=20)) if draw(st.booleans()) else text.encode("utf-8", "surrogatepass")


@settings(max_examples=300, deadline=None)
@given(content=written())
def test_nothing_written_makes_a_traceback(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_bytes(content)
    try:
        found = read_policy(path)
    except ConfigError as error:
        # One sentence, or a line for each of several problems; each says where.
        first, *others = str(error).splitlines()
        assert str(path) in first
        assert all(str(path) in line for line in others)
        return
    assert found.budgets


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=written())
def test_on_the_command_line_it_is_code_2(
    content: bytes, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Of two files that are not there, nothing is said before the policy is understood."""
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        main(["compare", "no-before.csv", "no-after.csv", "--policy", str(path)])
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err.startswith("chaintune: ")
    assert "Traceback" not in err


def in_file(tmp_path: Path, *entries: str) -> Policy:
    return policy(tmp_path, "budgets:\n" + "".join(f"  - {entry}\n" for entry in entries))


def test_a_budget_may_have_a_unit(tmp_path: Path) -> None:
    (budget,) = in_file(tmp_path, "{task: t, forgetting: 0.05 nats}").budgets
    assert budget.limit == Limit(0.05, relative=False, unit="nats")


@pytest.mark.parametrize(
    ("entry", "unit", "told"),
    [
        ("{task: t, forgetting: 0.05}", "nats", "0.05 is a share, and 'm' scores in nats; write it as '0.05 nats'"),
        ("{task: t, forgetting: 0.05 nats}", "share", "0.05 nats is in nats, and 'm' scores shares; write it as 0.02"),
        ("{task: '*', forgetting: 0.05}", "nats", "a budget for '[*]' in that unit may stand beside this one"),
    ],
)
def test_a_budget_in_another_unit_is_one_sentence(tmp_path: Path, entry: str, unit: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        in_file(tmp_path, entry).check_unit("t", "m", unit)


def test_budgets_for_every_task_speak_of_those_in_their_unit(tmp_path: Path) -> None:
    both = in_file(tmp_path, "{task: '*', forgetting: 0.02}", "{task: '*', forgetting: 0.05 nats}")
    assert [budget.limit.value for budget in both.of("t", "share")] == [0.02]
    assert [budget.limit.value for budget in both.of("t", "nats")] == [0.05]
    both.check_unit("t", "m", "nats")
    named = in_file(tmp_path, "{task: '*', forgetting: 0.02}", "{task: t, forgetting: 0.05 nats}")
    assert [budget.limit.unit for budget in named.of("t", "nats")] == ["nats"]
    other = in_file(tmp_path, "{task: '*', forgetting: 0.02}", "{task: t, by: d, forgetting: 0.05 nats}")
    with pytest.raises(ConfigError, match="forgetting of task 't'"):
        other.check_unit("t", "m", "nats")
    relative = in_file(tmp_path, "{task: '*', forgetting: 5 %}")
    relative.check_unit("t", "m", "nats")
