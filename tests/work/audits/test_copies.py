from __future__ import annotations

import numpy as np
import pytest

from pipeline.contracts.audit import AuditItem, Readings, Sketch
from pipeline.contracts.storage import Row
from pipeline.work.audits.copies import Copies, CopiesOptions, measure_self_similarity
from tests.support.planted_text import PAIRS, clean_rows


def compare(rows: dict[str, Row]) -> dict[str, Readings]:
    copies = Copies(CopiesOptions())
    made = copies.sketch([AuditItem(name, name, row) for name, row in rows.items()])
    sketches = [Sketch(name, name, data) for name, data in zip(rows, made, strict=True) if data is not None]
    return dict(copies.compare(sketches))


def dialogue(text: str) -> Row:
    return {"turns": [{"role": "user", "parts": [{"kind": "text", "text": line}]} for line in text.splitlines()]}


def test_rewordings_are_copies_and_other_dialogues_are_none() -> None:
    import yaml

    families = yaml.safe_load(PAIRS.read_text(encoding="utf-8"))
    kinds = ("base", "reworded", "details", "template")
    rows = {f"{at}/{kind}": dialogue(one[kind]) for at, one in enumerate(families) for kind in kinds if kind in one}
    found = compare(rows)
    copied = [name for name, readings in found.items() if readings["dialogue.copied_share"].value]
    families_copied = sorted(int(name.partition("/")[0]) for name in copied)
    assert families_copied == list(range(len(families)))
    assert {name.partition("/")[2] for name in copied} <= {"base", "reworded"}


def test_dialogues_that_people_wrote_copy_nothing_and_are_little_alike() -> None:
    found = compare({row["id"]: row for row in clean_rows()})
    assert len(found) == len(clean_rows())
    assert {readings["dialogue.copied_share"].value for readings in found.values()} == {0.0}
    assert all(0.0 <= (r["dialogue.self_similarity"].value or 0.0) < 0.15 for r in found.values())


def test_of_equal_words_one_dialogue_stays_whatever_its_id_looks_like() -> None:
    rows = {name: dialogue("The kettle sings on the stove.\nLet it sing.") for name in ("a/b", "猫", "x" * 300)}
    found = compare(rows | {"other": dialogue("A quite different thing is said in this one.")})
    shares = sorted(found[name]["dialogue.copied_share"].value or 0.0 for name in rows)
    assert shares == [0.0, 1.0, 1.0]
    assert found["other"]["dialogue.copied_share"].value == 0.0


def test_a_dialogue_without_words_is_not_compared() -> None:
    assert compare({"a": {"turns": []}, "b": dialogue("Words.")}).keys() == {"b"}


def test_self_similarity_is_the_mean_over_all_others() -> None:
    hashes = np.arange(12, dtype=np.uint16).reshape(3, 4)
    assert measure_self_similarity(hashes) == [0.0, 0.0, 0.0]
    hashes[1] = hashes[0]
    assert measure_self_similarity(hashes) == pytest.approx([0.5, 0.5, 0.0], abs=1e-4)
    assert measure_self_similarity(hashes[:1]) == [None]
