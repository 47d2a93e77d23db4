from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from pipeline.adapters.verdicts import CODE, VerdictBook, check_reviewer, find_agreed, rejected
from pipeline.contracts.review import Decision, Reason, Verdict
from pipeline.values.errors import AnyInstructError, CorpusError


def give(root: Path, reviewer: str, dialogue: str, decision: Decision | None, *reasons: Reason, note: str = "") -> None:
    verdict = Verdict(dialogue_id=dialogue, decision=decision, reasons=reasons, note=note)
    VerdictBook(root).file(reviewer).append(verdict)


def test_the_last_verdict_of_each_reviewer_holds(tmp_path: Path) -> None:
    give(tmp_path, "anna", "d1", "reject", Reason.UNSAFE)
    give(tmp_path, "anna", "d1", "accept", note="on second thoughts\nfine — \u2028 really")
    give(tmp_path, "ben", "d1", "reject")
    give(tmp_path, "ben", "d2", "reject")
    give(tmp_path, "ben", "d2", None)
    found = VerdictBook(tmp_path).by_dialogue()
    assert {name: verdict.decision for name, verdict in found["d1"].items()} == {"anna": "accept", "ben": "reject"}
    assert found["d1"]["anna"].note == "on second thoughts\nfine — \u2028 really"
    assert "d2" not in found
    lines = (tmp_path / "reviews" / "anna.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["decision"] for line in lines] == ["reject", "accept"]


def test_a_torn_last_line_costs_that_verdict_alone(tmp_path: Path) -> None:
    give(tmp_path, "anna", "d1", "accept")
    path = tmp_path / "reviews" / "anna.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    book = VerdictBook(tmp_path)
    assert (list(book.by_dialogue()), book.num_damaged) == (["d1"], 0)
    book.file("anna").append(Verdict(dialogue_id="d2", decision="reject"))
    assert (sorted(book.by_dialogue()), book.num_damaged) == (["d1", "d2"], 1)
    assert sorted(VerdictBook(tmp_path).by_dialogue()) == ["d1", "d2"]


@pytest.mark.parametrize(
    "line", [b"\xff\xfe", b"[]", b"null", b'{"dialogue_id": "x"}', b'{"decision":"maybe"}', b"{" * 9999]
)
def test_a_damaged_line_is_left_out_and_counted(tmp_path: Path, line: bytes) -> None:
    give(tmp_path, "anna", "d1", "accept")
    path = tmp_path / "reviews" / "anna.jsonl"
    path.write_bytes(line + b"\n\n" + path.read_bytes())
    book = VerdictBook(tmp_path)
    assert (list(book.by_dialogue()), book.num_damaged) == (["d1"], 1)


def test_a_reader_sees_what_another_process_has_appended_or_replaced(tmp_path: Path) -> None:
    reader = VerdictBook(tmp_path)
    assert reader.by_dialogue() == {}
    give(tmp_path, "anna", "d1", "accept")
    give(tmp_path, "anna", "d2", "accept")
    assert sorted(reader.by_dialogue()) == ["d1", "d2"]
    path = tmp_path / "reviews" / "anna.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[1])
    assert list(reader.by_dialogue()) == ["d2"]
    path.unlink()
    assert reader.by_dialogue() == {}


def test_writers_of_one_file_do_not_mix_their_lines(tmp_path: Path) -> None:
    def judge(first: int) -> None:
        for number in range(first, first + 40):
            give(tmp_path, "anna", f"d{number}", "accept", note="x" * 1500)

    threads = [threading.Thread(target=judge, args=(first,)) for first in (0, 40, 80)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    book = VerdictBook(tmp_path)
    assert (len(book.by_dialogue()), book.num_damaged) == (120, 0)


def test_the_majority_rejects_and_a_tie_keeps(tmp_path: Path) -> None:
    give(tmp_path, "anna", "alone", "reject")
    give(tmp_path, "anna", "tie", "reject")
    give(tmp_path, "ben", "tie", "accept")
    for reviewer, decision in (("anna", "reject"), ("ben", "reject"), ("carl", "accept")):
        reasons = [Reason.WRONG_PICTURE, Reason.UNSAFE] if reviewer == "anna" else [Reason.WRONG_PICTURE]
        give(tmp_path, reviewer, "most", decision, *reasons, note="a secret")  # type: ignore[arg-type]
    give(tmp_path, "carl", "kept", "accept")
    assert rejected(tmp_path) == {
        "alone": (CODE, "rejected by 1 of 1 reviewer"),
        "most": (CODE, "rejected by 2 of 3 reviewers: wrong_picture, unsafe"),
    }
    assert find_agreed(VerdictBook(tmp_path).by_dialogue()["tie"]) is None
    assert find_agreed({}) is None


def test_a_corpus_that_nobody_judged_rejects_nothing(tmp_path: Path) -> None:
    assert rejected(tmp_path) == {}
    assert not (tmp_path / "reviews").exists()


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "Anna", "-x", ".x", "x.y", "a" * 41, "ä", "a\n", "a\0"])
def test_a_name_that_could_lead_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(AnyInstructError, match="1 to 40"):
        check_reviewer(name)
    with pytest.raises(AnyInstructError, match="1 to 40"):
        VerdictBook(tmp_path).file(name)


def test_other_files_and_links_are_no_reviewers(tmp_path: Path) -> None:
    folder = tmp_path / "reviews"
    folder.mkdir()
    (folder / "Not A Name.jsonl").write_text("{}")
    assert VerdictBook(tmp_path).reviewers() == []
    outside = tmp_path / "outside.txt"
    outside.write_text("kept as it is")
    (folder / "eve.jsonl").symlink_to(outside)
    with pytest.raises(CorpusError, match=r"eve\.jsonl"):
        give(tmp_path, "eve", "d1", "accept")
    with pytest.raises(CorpusError, match="cannot be read"):
        VerdictBook(tmp_path).by_dialogue()
    assert outside.read_text() == "kept as it is"


def test_a_folder_of_verdicts_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "reviews").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CorpusError, match="is a link"):
        VerdictBook(tmp_path)
