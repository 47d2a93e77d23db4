from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.readings import FOLDER
from pipeline.adapters.verdicts import VerdictBook
from pipeline.execution.audits import AuditSetting
from pipeline.execution.review_desk import ReviewDesk
from pipeline.execution.review_guard import Guard, is_loopback
from pipeline.execution.review_server import MAX_BODY_BYTES, ReviewServer, listen
from pipeline.values.errors import AnyInstructError, CorpusError
from tests.support.auditing import run_here
from tests.support.corpora import TinyCorpus, restate_table
from tests.support.reviewing import Visitor, reviewing

ASSET_FIELDS = ("image", "music", "speech")


@pytest.fixture
def anna(tiny: TinyCorpus) -> Iterator[Visitor]:
    """A browser that has opened the page."""
    with reviewing(tiny.root, "anna") as visitor:
        visitor.enter()
        yield visitor


def ids(visitor: Visitor, **query: str) -> list[str]:
    answer = visitor.get("/api/selection", query)
    assert answer.status == 200, answer.body
    found: list[str] = answer.json["ids"]
    return found


def parts(dialogue: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for turn in dialogue["turns"] for part in turn["parts"]]


def some_sound(visitor: Visitor) -> dict[str, str]:
    for name in ids(visitor):
        for part in parts(visitor.get("/api/dialogue", {"id": name}).json):
            if part["kind"] in ("music", "speech"):
                return {"about": part["asset"]["about"], "dialogue": name, "id": part["asset"]["id"]}
    raise LookupError("no sound in the corpus")


# Who may ask ---------------------------------------------------------------------------------------------------------


def test_the_token_becomes_a_cookie_that_scripts_and_other_sites_do_not_get(tiny: TinyCorpus) -> None:
    with reviewing(tiny.root, "anna") as visitor:
        answer = visitor.enter()
        attributes = {part.strip() for part in answer.headers["Set-Cookie"].split(";")[1:]}
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= attributes
        assert visitor.get("/").status == visitor.get("/api/corpus").status == 200


@pytest.mark.parametrize(
    "path", ["/", "/page/main.js", "/api/corpus", "/api/selection", "/api/dialogue?id=x", "/media"]
)
@pytest.mark.parametrize("cookie", [None, "", "anyinstruct-review-{port}=guess", "other={token}"])
def test_nothing_is_told_without_the_token(anna: Visitor, path: str, cookie: str | None) -> None:
    sent = cookie and cookie.format(port=anna.port, token=anna.token)
    answer = anna.get(path, Cookie=sent)
    assert (answer.status, list(answer.json)) == (403, ["error"])
    assert anna.token not in answer.body.decode()


def test_a_wrong_token_opens_nothing_and_a_right_one_only_the_page(anna: Visitor) -> None:
    assert anna.get("/?token=guess", Cookie=None).status == 403
    assert anna.get(f"/?token={anna.token}", Cookie=None).status == 200
    assert anna.get(f"/api/corpus?token={anna.token}", Cookie=None).status == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "localhost.evil.example", "127.0.0.1.evil.example", "a b", ""]
)
def test_a_name_that_was_made_to_point_here_is_refused(anna: Visitor, host: str) -> None:
    assert anna.get("/api/corpus", Host=host.format(port=anna.port)).status in (400, 421)


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "[::1]:{port}"])
def test_this_machine_goes_by_several_names(anna: Visitor, host: str) -> None:
    assert anna.get("/api/corpus", Host=host.format(port=anna.port)).status == 200


def test_a_tunnel_may_have_another_port(anna: Visitor) -> None:
    opened = anna.get(f"/?token={anna.token}", Host="localhost:9000", Cookie=None)
    cookie = opened.headers["Set-Cookie"].partition(";")[0]
    assert anna.get("/api/corpus", Host="localhost:9000", Cookie=cookie).status == 200
    (name, *_) = ids(anna)
    verdict = {"dialogue_id": name, "decision": "accept"}
    sent: dict[str, Any] = {"Host": "localhost:9000", "Cookie": cookie}
    assert anna.judge(verdict, **sent, Origin="http://localhost:9000").status == 200
    assert anna.judge(verdict, **sent, Origin=f"http://localhost:{anna.port}").status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_other_origins_are_told_nothing(anna: Visitor, site: str) -> None:
    sent: dict[str, Any] = {"Sec-Fetch-Site": site}
    assert anna.get("/api/corpus", **sent).status == 403
    assert anna.get("/media", some_sound(anna), **sent).status == 403
    # A link on another page may lead here; it cannot read what comes.
    assert anna.get("/", **sent).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": None}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": None}, 415),
        ({"Cookie": None}, 403),
        ({"Host": "evil.example"}, 421),
    ],
)
def test_only_the_page_itself_can_judge(tiny: TinyCorpus, anna: Visitor, headers: dict[str, Any], status: int) -> None:
    (name, *_) = ids(anna)
    answer = anna.judge({"dialogue_id": name, "decision": "reject"}, **headers)
    assert (answer.status, list(answer.json)) == (status, ["error"])
    assert not (tiny.root / "reviews").exists()


def test_every_answer_tells_the_browser_to_run_and_fetch_nothing_but_ours(anna: Visitor) -> None:
    for answer in (
        anna.get("/"),
        anna.get("/page/main.js"),
        anna.get("/nowhere"),
        anna.get("/api/corpus", Cookie=None),
    ):
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert re.findall(rb"<script(?! type=\"module\" src=\"/page/)|\son[a-z]+=|style=|https?:", anna.get("/").body) == []


# What is asked -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/page/../review_server.py", "/page/%2e%2e%2freview_server.py", "/page/..%5creview_server.py", "/page//etc/passwd",
     "/page/index.html%00.css", "/../../ledger.json", "/page/"],
)  # fmt: skip
def test_no_path_leads_out_of_the_page(anna: Visitor, path: str) -> None:
    assert anna.get(path).status in (400, 404)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/dialogue", {}),
        ("/api/dialogue", {"id": "0000000000000000"}),
        ("/api/dialogue", {"id": "../ledger.json"}),
        ("/media", {"about": "image", "dialogue": "nobody", "id": "x"}),
        ("/media", {"about": "dialogue", "dialogue": "{id}", "id": "{id}"}),
        ("/media", {"about": "../images", "dialogue": "{id}", "id": "x"}),
        ("/media", {"about": "image", "dialogue": "{id}", "id": "../../ledger.json"}),
    ],
)
def test_unknown_records_are_not_there(anna: Visitor, path: str, query: dict[str, str]) -> None:
    (name, *_) = ids(anna)
    answer = anna.get(path, {key: value.format(id=name) for key, value in query.items()})
    assert (answer.status, answer.json["error"]) == (404, "the corpus has no such record")


def test_media_belong_to_their_dialogue(anna: Visitor) -> None:
    sound = some_sound(anna)
    other = next(name for name in ids(anna) if name != sound["dialogue"])
    assert anna.get("/media", {**sound, "dialogue": other}).status == 404


@pytest.mark.parametrize("query", [{"state": "best"}, {"order": "random"}, {"speed": "3"}, {"id": "x" * 999}])
def test_wrong_filters_are_named(anna: Visitor, query: dict[str, str]) -> None:
    answer = anna.get("/api/selection", query)
    assert answer.status == 400
    assert next(iter(query)) in answer.json["error"]


@pytest.mark.parametrize(
    "verdict",
    [
        b"",
        b"{",
        b"[1]",
        b"\xff",
        b"[" * 60_000,
        b'{"dialogue_id": "x", "decision": "accept", "note": "\\ud800"}',
        {"dialogue_id": "x"},
        {"dialogue_id": "x", "decision": "perhaps"},
        {"dialogue_id": "x", "decision": "accept", "reviewer": "ben"},
        {"dialogue_id": "x", "decision": "accept", "reasons": ["taste"]},
        {"dialogue_id": "x", "decision": "accept", "note": "x" * 2001},
    ],
)
def test_a_verdict_that_is_none_is_refused(tiny: TinyCorpus, anna: Visitor, verdict: Any) -> None:
    answer = anna.judge(verdict)
    assert (answer.status, list(answer.json)) == (400, ["error"])
    assert not (tiny.root / "reviews").exists()


def test_a_verdict_on_nothing_is_refused(tiny: TinyCorpus, anna: Visitor) -> None:
    assert anna.judge({"dialogue_id": "0123", "decision": "reject"}).status == 404
    assert not (tiny.root / "reviews").exists()


def test_a_body_that_is_too_large_is_refused(tiny: TinyCorpus, anna: Visitor) -> None:
    body = json.dumps({"dialogue_id": "x", "decision": "accept", "note": "x" * MAX_BODY_BYTES}).encode()
    assert anna.judge(body).status == 413
    assert not (tiny.root / "reviews").exists()


def test_a_body_that_never_comes_holds_nobody_up(tiny: TinyCorpus, anna: Visitor) -> None:
    """Without the token it is not even waited for; with it, everybody else is still answered."""
    head = (
        f"POST /api/verdicts HTTP/1.1\r\nHost: {anna.host}\r\nOrigin: http://{anna.host}\r\n"
        "Content-Type: application/json\r\nContent-Length: 60\r\n"
    )
    with socket.create_connection(("127.0.0.1", anna.port), timeout=60) as stranger:
        stranger.sendall(f"{head}\r\n{{".encode())
        assert stranger.recv(200).startswith(b"HTTP/1.1 403 ")
    with socket.create_connection(("127.0.0.1", anna.port), timeout=60) as slow:
        slow.sendall(f"{head}Cookie: {anna.headers['Cookie']}\r\n\r\n{{".encode())
        assert anna.get("/api/corpus").status == 200
    assert not (tiny.root / "reviews").exists()


def test_no_connection_is_upgraded(anna: Visitor) -> None:
    sent: dict[str, Any] = {"Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    for origin in (f"http://{anna.host}", "http://evil.example"):
        sent |= {"Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==", "Origin": origin}
        answer = anna.get("/api/corpus", Upgrade="websocket", **sent)
        assert answer.status == 200
        assert "Upgrade" not in answer.headers


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_do_nothing(anna: Visitor, method: str) -> None:
    sent = {"Origin": f"http://{anna.host}", "Content-Type": "application/json"}
    assert anna.send(method, "/api/verdicts", b"{}", **sent).status == 405


# What is answered ----------------------------------------------------------------------------------------------------


def test_all_kept_dialogues_are_there_with_their_media(tiny: TinyCorpus, anna: Visitor) -> None:
    kept = [row for shard in (0, 1) for row in tiny.rows("dialogues", shard)]
    assert sorted(ids(anna)) == sorted(row["id"] for row in kept)
    for row in kept:
        shown = anna.get("/api/dialogue", {"id": row["id"]}).json
        assert [part["text"] for part in parts(shown)] == [p["text"] for turn in row["turns"] for p in turn["parts"]]
        for part in parts(shown):
            assert (part["asset"] is not None) == (part["kind"] in ASSET_FIELDS)
            if part["asset"]:
                asset = part["asset"]
                media = anna.get("/media", {"about": asset["about"], "dialogue": row["id"], "id": asset["id"]})
                assert media.headers["Content-Type"].startswith("image/" if part["kind"] == "image" else "audio/")
                assert len(media.body) > 100


def test_sound_is_served_in_ranges(anna: Visitor) -> None:
    sound = some_sound(anna)
    whole = anna.get("/media", sound)
    size = len(whole.body)
    assert (whole.status, whole.headers["Accept-Ranges"]) == (200, "bytes")
    for given, first, end in (
        (f"bytes=10-{size + 99}", 10, size),
        ("bytes=0-0", 0, 1),
        ("bytes=5-", 5, size),
        ("bytes=-7", size - 7, size),
    ):
        answer = anna.get("/media", sound, Range=given)
        assert (answer.status, answer.body) == (206, whole.body[first:end])
        assert answer.headers["Content-Range"] == f"bytes {first}-{end - 1}/{size}"
    for wrong in (f"bytes={size}-", "bytes=9-3", "bytes=a-b", "bytes=0-1,4-5", "lines=0-1", "bytes=-"):
        answer = anna.get("/media", sound, Range=wrong)
        assert (answer.status, answer.headers["Content-Range"], answer.body) == (416, f"bytes */{size}", b"")
    assert anna.get("/media", sound, **{"If-None-Match": whole.headers["ETag"]}).status == 304


def test_media_that_are_none_are_never_shown(tiny: TinyCorpus) -> None:
    def spoil(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        page = b"<!doctype html><script>alert(1)</script>"
        return [{**row, "image": {"bytes": page, "path": "x.html"}} for row in rows]

    restate_table(tiny, "images", 0, spoil)
    with reviewing(tiny.root, "anna") as visitor:
        visitor.enter()
        row = tiny.rows("images", 0)[0]
        answer = visitor.get("/media", {"about": "image", "dialogue": row["dialogue_id"], "id": row["id"]})
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"] == "attachment"


def test_readings_and_findings_stand_beside_what_they_are_about(tiny: TinyCorpus) -> None:
    run_here(AuditSetting(tiny.root, ("picture-basics",), limits={"image.contrast": 2.0}))
    with reviewing(tiny.root, "anna") as visitor:
        visitor.enter()
        corpus = visitor.get("/api/corpus").json
        with_pictures = {row["dialogue_id"] for shard in (0, 1) for row in tiny.rows("images", shard)}
        assert {measure["name"] for measure in corpus["measures"]} >= {"image.contrast", "image.size_error"}
        assert corpus["num_findings"] == len(with_pictures)
        assert set(ids(visitor, findings="true")) == with_pictures
        order = ids(visitor, order="worst", measure="image.contrast")
        values = []
        for name in order:
            pictures = [p for p in parts(visitor.get("/api/dialogue", {"id": name}).json) if p["kind"] == "image"]
            said = [r for p in pictures for r in p["readings"] if r["measure"] == "image.contrast"]
            assert said and not any(reading["passes"] for reading in said)
            values.append(min(reading["value"] for reading in said))
        assert values == sorted(values)
        assert set(order) == with_pictures


def test_filters_by_voice_cell_and_meta_topic(tiny: TinyCorpus, anna: Visitor) -> None:
    speech = [row for shard in (0, 1) for row in tiny.rows("speech", shard)]
    corpus = anna.get("/api/corpus").json
    for voice in ("bell", "drum"):
        speaks = {row["dialogue_id"] for row in speech if row["voice"] == voice}
        assert set(ids(anna, voice=voice)) == speaks
        assert corpus["voices"].get(voice, 0) == len(speaks)
    sings = {row["id"] for shard in (0, 1) for row in tiny.rows("dialogues", shard) if row["cell"] == "sing"}
    assert set(ids(anna, cell="sing")) == sings
    assert len(ids(anna, cell="sing")) == corpus["cells"]["sing"]
    assert ids(anna, meta_topic="none of ours") == []


# Verdicts ------------------------------------------------------------------------------------------------------------


def test_a_verdict_is_kept_and_counts(tiny: TinyCorpus, anna: Visitor) -> None:
    first, second, *_ = ids(anna)
    told = anna.judge({"dialogue_id": first, "decision": "reject", "reasons": ["unsafe"], "note": "no\nway"}).json
    assert told["progress"]["judged"] == 1
    assert told["mine"]["reasons"] == ["unsafe"]
    (kept,) = VerdictBook(tiny.root).file("anna").latest().values()
    assert (kept.dialogue_id, kept.decision, kept.note) == (first, "reject", "no\nway")
    assert first not in ids(anna, state="unreviewed")
    assert ids(anna, state="rejected") == [first]
    anna.judge({"dialogue_id": first, "decision": None})
    assert first in ids(anna, state="unreviewed")
    assert anna.get("/api/dialogue", {"id": first}).json["mine"] is None
    with reviewing(tiny.root, "anna") as later:
        later.enter()
        later.judge({"dialogue_id": second, "decision": "accept"})
        assert later.get("/api/corpus").json["progress"]["judged"] == 1


def test_nobody_sees_anothers_verdict_before_giving_one(tiny: TinyCorpus, anna: Visitor) -> None:
    with reviewing(tiny.root, "ben") as ben:
        ben.enter()
        name, *_ = ids(anna)
        ben.judge({"dialogue_id": name, "decision": "reject", "reasons": ["unsafe"], "note": "look at this"})
        before = anna.get("/api/dialogue", {"id": name})
        assert (before.json["mine"], before.json["others"]) == (None, {})
        corpus = anna.get("/api/corpus")
        assert corpus.json["progress"]["others"] == {"ben": 1}
        assert b"look at this" not in before.body + corpus.body
        assert ids(anna, state="second") == [name]
        told = anna.judge({"dialogue_id": name, "decision": "accept"}).json
        assert told["others"]["ben"]["decision"] == "reject"
        assert anna.get("/api/dialogue", {"id": name}).json["others"]["ben"]["note"] == "look at this"
        assert ids(anna, state="disputed") == ids(ben, state="disputed") == [name]
        # Whoever takes a verdict back has seen the others'; they are blind again all the same.
        assert anna.judge({"dialogue_id": name, "decision": None}).json["others"] == {}


def test_a_dialogue_that_has_changed_since_says_so(tiny: TinyCorpus, anna: Visitor) -> None:
    row = tiny.rows("dialogues", 0)[0]
    seen = anna.get("/api/dialogue", {"id": row["id"]}).json["seen"]
    anna.judge({"dialogue_id": row["id"], "decision": "accept", "seen": seen})
    restate_table(tiny, "dialogues", 0, lambda rows: [{**r, "scenario": "Another one."} for r in rows])
    with reviewing(tiny.root, "anna") as later:
        later.enter()
        now = later.get("/api/dialogue", {"id": row["id"]}).json
        assert now["mine"]["seen"] == seen != now["seen"]


def test_a_verdict_that_cannot_be_written_is_an_error(tiny: TinyCorpus, anna: Visitor) -> None:
    (tiny.root / "reviews").write_text("in the way")
    (name, *_) = ids(anna)
    answer = anna.judge({"dialogue_id": name, "decision": "accept"})
    assert answer.status == 409
    assert "was not saved" in answer.json["error"]


def test_a_corpus_that_changes_under_the_page_says_so(tiny: TinyCorpus, anna: Visitor) -> None:
    (name, *_) = ids(anna)
    for path in (tiny.root / "dialogues").iterdir():
        path.unlink()
    answer = anna.get("/api/dialogue", {"id": name})
    assert answer.status == 409
    assert "start the review again" in answer.json["error"]


def test_a_strangers_corpus_needs_few_columns(tiny: TinyCorpus, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    needed = {"dialogues": ["id", "turns"], "images": ["id", "dialogue_id", "image", "turn", "part"]}
    for table, columns in needed.items():
        (tmp_path / "theirs" / table).mkdir(parents=True)
        part = pq.read_table(tiny.table(table, 0), columns=columns)
        pq.write_table(part, tmp_path / "theirs" / table / "a.parquet")
    with reviewing(tmp_path / "theirs", "anna") as visitor:
        visitor.enter()
        assert visitor.get("/api/corpus").json["voices"] == {}
        shown = [visitor.get("/api/dialogue", {"id": name}).json for name in ids(visitor)]
        assert len(shown) == len(tiny.rows("dialogues", 0))
        assert all((p["asset"] is not None) == (p["kind"] == "image") for one in shown for p in parts(one))
        assert not (tmp_path / "theirs" / FOLDER).exists()


# Where it listens ----------------------------------------------------------------------------------------------------


def test_a_port_in_use_says_so(tiny: TinyCorpus, anna: Visitor) -> None:
    app = ReviewServer(ReviewDesk(tiny.root, "ben"), Guard("127.0.0.1")).build_app()
    with pytest.raises(AnyInstructError, match=rf"port {anna.port}.*--port 0"):
        asyncio.run(listen(app, "127.0.0.1", anna.port))


def test_only_loopback_is_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.8.0.1", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example.org")))


def test_addresses_are_printed_as_browsers_take_them() -> None:
    assert Guard("127.0.0.1", "t").address(80) == "http://127.0.0.1/?token=t"
    assert Guard("::1", "t").address(8377) == "http://[::1]:8377/?token=t"
    assert Guard("0.0.0.0", "t").address(8377) == "http://localhost:8377/?token=t"
    assert len({Guard("::1").token for _ in range(9)}) == 9
    assert Guard("::1").token not in repr(Guard("::1"))


def test_a_corpus_without_dialogues_or_without_ids_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name, table in (("none", pa.table({"id": pa.array([], pa.string())})), ("nameless", pa.table({"turns": [[]]}))):
        (tmp_path / name / "dialogues").mkdir(parents=True)
        pq.write_table(table, tmp_path / name / "dialogues" / "a.parquet")
    with pytest.raises(CorpusError, match="none to judge"):
        ReviewDesk(tmp_path / "none", "anna")
    with pytest.raises(CorpusError, match="has no column id"):
        ReviewDesk(tmp_path / "nameless", "anna")


def test_a_folder_without_a_corpus_and_a_wrong_name_are_refused(tmp_path: Path, tiny: TinyCorpus) -> None:
    with pytest.raises(CorpusError, match="holds no finished corpus"):
        ReviewDesk(tmp_path, "anna")
    with pytest.raises(AnyInstructError, match="reviewer's name"):
        ReviewDesk(tiny.root, "../anna")
