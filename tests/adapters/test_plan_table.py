from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from pipeline.adapters.plan_table import make_plan_table, read_plan_rows
from pipeline.values.records import Modality, PlannedDialogue, Slot, Topic, TurnLayout

TURNS = (TurnLayout(role="user", kinds=(Modality.TEXT,)), TurnLayout(role="assistant", kinds=(Modality.SPEECH,)))


def row(number: int, **changes: Any) -> PlannedDialogue:
    made = PlannedDialogue(
        id=f"{number:016x}",
        topic=Topic(id=f"{number // 2}", text=f"kites {number // 2}", meta_topic=""),
        ordinal=number % 2,
        shard=number,
        unit=number / 10,
        slot=Slot(cell="talk", gives=(Modality.TEXT,), answers=(Modality.SPEECH,), turns=TURNS),
        demonstrations=("a", "b")[: number % 3],
        requirements=("r",),
    )
    return replace(made, **changes)


def test_rows_come_back_and_share_what_is_equal() -> None:
    rows = [*map(row, range(5)), row(5, needed_at=7, features=("edit",), demonstrations=())]
    back = read_plan_rows(make_plan_table(rows))
    assert back == rows
    assert back[0].topic is back[1].topic is not back[2].topic
    assert back[0].slot is back[3].slot
    assert back[1].requirements[0] is back[2].requirements[0]


def test_no_rows_are_a_plan_too() -> None:
    assert read_plan_rows(make_plan_table([])) == []


def test_a_plan_of_before_there_were_features_has_none() -> None:
    rows = [row(1), row(2)]
    table = make_plan_table(rows).drop_columns(["features", "needed_at"])
    assert read_plan_rows(table) == rows


@pytest.mark.parametrize("name", ["id", "topic", "slot", "unit"])
def test_a_plan_that_lacks_what_every_row_has_is_refused(name: str) -> None:
    with pytest.raises(KeyError):
        read_plan_rows(make_plan_table([row(1)]).drop_columns([name]))


def test_a_column_that_no_plan_has_is_refused_for_it_may_be_a_damaged_name() -> None:
    table = make_plan_table([row(1, features=("edit",))])
    names = ["feat7res" if name == "features" else name for name in table.column_names]
    with pytest.raises(KeyError, match="feat7res"):
        read_plan_rows(table.rename_columns(names))


def test_a_column_of_another_type_is_refused() -> None:
    table = make_plan_table([row(1)])
    at = table.column_names.index("ordinal")
    with pytest.raises(ValueError, match="ordinal"):
        read_plan_rows(table.set_column(at, "ordinal", [["first"]]))


@pytest.mark.parametrize("name", ["id", "topic", "slot", "unit", "features"])
def test_a_row_without_what_every_row_has_is_refused(name: str) -> None:
    table = make_plan_table([row(1)])
    field = table.schema.field(name)
    with pytest.raises(ValueError, match="without a value"):
        read_plan_rows(table.set_column(table.column_names.index(name), field, pa.array([None], field.type)))


def test_a_list_with_a_gap_is_refused() -> None:
    table = make_plan_table([row(1)])
    at = table.column_names.index("requirements")
    gap = pa.array([["r", None]], pa.list_(pa.string()))
    with pytest.raises(ValueError, match="without a value"):
        read_plan_rows(table.set_column(at, "requirements", gap))
