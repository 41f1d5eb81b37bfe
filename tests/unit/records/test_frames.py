"""Records handed over as frames and as plain data."""

import json
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa

import chaintune
from chaintune.records import Estimate, ResultRow, Scores, rows_to_polars
from tests import synthetic

GROUPS = {"faith": [("a",), ("a", "b"), ()], "age": [("old",), (), ()]}


def scores() -> Scores:
    return synthetic.scores([1, 0, 1], groups=GROUPS)


def test_scores_as_a_frame_have_a_row_an_example_and_a_column_a_dimension() -> None:
    frame = scores().to_polars()
    assert frame["example_id"].to_list() == scores().example_ids
    assert frame["correct"].to_list() == [True, False, True]
    assert frame["groups_faith"].to_list() == [["a"], ["a", "b"], []]
    assert frame["groups_age"].to_list() == [["old"], [], []]
    assert list(scores().to_pandas().columns) == frame.columns


def test_scores_as_plain_data_are_json_also_where_a_choice_is_impossible() -> None:
    found = scores()
    column = found.table.schema.get_field_index("choice_logprobs")
    values = pa.array([[-math.inf, -1.0]] * 3, pa.list_(pa.float64()))
    found = replace(found, table=found.table.set_column(column, "choice_logprobs", values))
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["examples"][1]["groups"] == {"faith": ["a", "b"], "age": []}
    assert told["examples"][0]["choice_logprobs"] == ["-Infinity", -1.0]
    assert (told["task"], len(told["examples"])) == ("t", 3)


def test_a_comparison_as_a_frame_names_its_task() -> None:
    frame = chaintune.compare(scores(), scores(), by="faith", resamples=200).to_polars()
    assert frame.columns[:3] == ["task", "dimension", "group"]
    assert frame["task"].unique().to_list() == ["t"]


def test_what_is_undefined_in_a_row_is_none_as_data_and_nan_in_the_table() -> None:
    row = ResultRow("s", "b", "t", "", 1, "", "t", "forgetting", "", "", "0", Estimate.undefined("why", n=3))
    told = row.to_dict()
    assert (told["value"], told["low"], told["n"], told["reason"]) == (None, None, 3, "why")
    json.dumps(told, allow_nan=False)
    assert np.isnan(rows_to_polars([row])["value"].to_numpy()).all()
