from __future__ import annotations

import base64
import io
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from PIL import Image
from rich.console import Console

from pipeline.adapters.reading import CorpusReader, FoundDialogue, rows_where
from pipeline.cli import show
from pipeline.cli.show import show_corpus
from pipeline.cli.show_dialogue import print_dialogue, say_bytes
from pipeline.cli.show_save import save_dialogue
from pipeline.cli.thumbnails import Graphics, detect_graphics, half_blocks, iterm_sequence, kitty_sequence, shrink
from pipeline.contracts.storage import Row
from pipeline.values.errors import CorpusError
from tests.support.corpora import TinyCorpus, flip_byte, restate_table

HOSTILE = "\x1b[2J\x1b]0;owned\x07 [bold red]loud[/bold red] \u202egnp.exe ![x](https://e.example) <script>"


def kept(corpus: TinyCorpus, cell: str) -> Row:
    """A kept dialogue of a cell of the mix."""
    return next(row for shard in (0, 1) for row in corpus.rows("dialogues", shard) if row["cell"] == cell)


def lost(corpus: TinyCorpus, table: str) -> Row:
    files = [file for shard in (0, 1) for file in corpus.shard_ledger(shard).files if file.table == table]
    row: Row = pq.read_table(corpus.root / files[0].path).to_pylist()[0]
    return row


def unpack(corpus: TinyCorpus, *stages: str) -> None:
    """Turn a corpus back into one that was never packed, and take stages away."""
    (corpus.root / "ledger.json").unlink()
    for name in ("dialogues", "images", "music", "speech", "rejected", "failed", "ledgers"):
        shutil.rmtree(corpus.root / name, ignore_errors=True)
    for stage in stages:
        for path in corpus.folder.work.glob(f"shards/*/{stage}*"):
            path.unlink()


def shown(capsys: pytest.CaptureFixture[str], corpus: TinyCorpus, name: str | None, trace: bool = False) -> str:
    show_corpus(corpus.root, name, trace, None)
    return capsys.readouterr().out


def find(corpus: TinyCorpus, name: str) -> FoundDialogue:
    reader = CorpusReader(corpus.root)
    return reader.read(reader.find(name))


def drawn(found: FoundDialogue, graphics: Graphics) -> str:
    """What a terminal would get."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=80, highlight=False)
    print_dialogue(found, graphics, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_list_has_a_line_for_each_kept_dialogue(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, tiny, None)
    rows = [row for shard in (0, 1) for row in tiny.rows("dialogues", shard)]
    for row in rows:
        line = next(line for line in out.splitlines() if line.startswith(row["id"]))
        assert row["topic"] in line
        assert f"{', '.join(row['gives'])} → {', '.join(row['answers'])}" in line
        assert row["turns"][0]["parts"][0]["text"][:20] in line
    assert f"{len(rows)} dialogues, kept\n" in out
    assert "1 rejected and 1 failed" in out


def test_long_list_is_cut_and_says_so(
    tiny: TinyCorpus, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show, "MAX_LISTED", 4)
    out = shown(capsys, tiny, None)
    assert len(re.findall(r"^[0-9a-f]{16} ", out, re.MULTILINE)) == 4
    assert "6 dialogues, kept; these are the first 4" in out


def test_list_of_a_pilot_comes_from_stage_files(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    first = kept(tiny, "draw")
    unpack(tiny, "image", "music", "speech")
    out = shown(capsys, tiny, None)
    assert first["turns"][0]["parts"][0]["text"][:20] in next(x for x in out.splitlines() if first["id"] in x)
    assert "(failed: refused)" in out
    assert "8 dialogues, not yet packed" in out


def test_list_of_scenarios_alone(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    first = kept(tiny, "draw")
    unpack(tiny, "dialogues")
    out = shown(capsys, tiny, None)
    assert f"(scenario: {first['scenario'][:20]}" in next(x for x in out.splitlines() if first["id"] in x)
    assert "Turns       not written yet" in shown(capsys, tiny, first["id"])


def test_dialogue_reads_as_a_person_reads_it(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    row = kept(tiny, "sing")
    out = shown(capsys, tiny, row["id"][:5])
    assert f"Topic       {row['topic']}\n" in out
    assert "Cell        sing: speech → speech, music, 2 rounds\n" in out
    assert f"Scenario    {row['scenario']}\n" in out
    places = [out.index(part["text"]) for turn in row["turns"] for part in turn["parts"]]
    assert places == sorted(places)
    assert [line for line in out.splitlines() if line in ("user", "assistant")] == ["user", "assistant"] * 2
    assert re.search(r"\[speech 0\.3 s, 8 kHz mono, flac [\d.]+ kB, voice \w+ at rate [\d.]+, draft\]", out)
    assert re.search(rf"\[music 0\.3 s, 8 kHz mono, flac [\d.]+ kB, draft\] {row['turns'][3]['parts'][1]['text']}", out)


def test_image_is_a_line_when_piped_and_a_picture_on_a_terminal(
    tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]
) -> None:
    row = kept(tiny, "draw")
    out = shown(capsys, tiny, row["id"])
    size = len(find(tiny, row["id"]).assets[f"{row['id']}-01-01"].data or b"")
    assert f"  [image 64x64 png {say_bytes(size)}, draft] {row['turns'][1]['parts'][1]['text']}\n" in out
    assert "\x1b" not in out
    assert "▀" not in out
    assert drawn(find(tiny, row["id"]), "blocks").count("▀") == 32 * 16
    assert "\x1b_Ga=T,f=100,q=2,c=32,r=16,m=0;" in drawn(find(tiny, row["id"]), "kitty")
    assert "\x1b]1337;File=inline=1;" in drawn(find(tiny, row["id"]), "iterm")


def test_spoken_form_stands_where_it_differs(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    row = kept(tiny, "sing")

    def change(rows: list[Row]) -> list[Row]:
        for changed in rows:
            changed["turns"][0]["parts"][0]["spoken"] = "three o'clock"
        return rows

    assert "spoken:" not in shown(capsys, tiny, row["id"])
    for shard in (0, 1):
        restate_table(tiny, "dialogues", shard, change)
    assert shown(capsys, tiny, row["id"]).count("  spoken: three o'clock\n") == 1


@pytest.mark.parametrize("table", ["rejected", "failed"])
def test_lost_dialogue_is_shown_with_its_reason(
    tiny: TinyCorpus, capsys: pytest.CaptureFixture[str], table: str
) -> None:
    row = lost(tiny, table)
    out = shown(capsys, tiny, row["id"], trace=True)
    assert f"Dialogue    {row['id']} ({table}, shard" in out
    assert f"Lost        {row['stage']}: {row['code']}: {row['message']}\n" in out
    if table == "rejected":
        assert row["turns"][0]["parts"][0]["text"] in out
        # Its media were published nowhere and come from the stage files.
        assert "[image 64x64 png" in out or "[speech 0.3 s" in out
    else:
        assert "failed: refused: the endpoint does not write about this" in out


def test_published_corpus_needs_no_work_folder(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    row = kept(tiny, "draw")
    shutil.rmtree(tiny.folder.work)
    assert row["id"] in shown(capsys, tiny, None)
    out = shown(capsys, tiny, row["id"][:6], trace=True)
    assert "[image 64x64 png" in out
    assert "prompts and raw answers stayed where the corpus was made" in out
    assert "minimal-image 1, draft" in out


def test_trace_tells_plan_prompts_answers_and_renders(
    tiny_original: TinyCorpus, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = tiny_original
    row = kept(tiny, "draw")
    out = shown(capsys, tiny, row["id"], trace=True)
    planned = next(plan for plan in tiny.folder.read_plan() if plan.id == row["id"])
    assert f"unit {planned.unit:.6f}" in out
    assert "turn 2, assistant: text, image\n" in out
    assert f"demonstrations: {', '.join(planned.demonstrations)}" in out
    assert f"requirements: {', '.join(planned.requirements)}" in out
    requests = [request for request in tiny.chat.requests if request.record_id == row["id"]]
    assert {request.purpose for request in requests} == {"scenario", "dialogue"}
    for request in requests:
        assert f"{request.purpose}, attempt {request.attempt}: made-up, seed {request.seed}" in out
        for line in request.messages[-1].content.splitlines():
            assert line in out
    assert "2. The assistant types and makes a picture: text, image\n" in out
    answer = "100 tokens in (0 cached), 20 out, 0.01 s, finished by stop, $0.000140"
    assert out.count(answer) == len(requests)
    assert row["turns"][1]["parts"][0]["text"] in out.partition("Calls\n")[2]
    asset = next(r for shard in (0, 1) for r in tiny.rows("images", shard) if r["dialogue_id"] == row["id"])
    assert f"{asset['id']}: image by minimal-image 1, draft" in out
    assert f"seed {asset['seed']}, attempt 0" in out
    assert f"SHA-256 {asset['sha256']}" in out


def test_trace_shows_calls_without_an_answer(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    row = kept(tiny, "draw")
    shard = find(tiny, row["id"]).shard
    journal = tiny.folder.shard(shard).journal("dialogues")
    request = {"model": "m", "messages": [{"role": "user", "content": f"hello {HOSTILE}"}], "seed": 3}
    about = {"event": "intent", "key": "k", "record": row["id"], "purpose": "dialogue", "attempt": 7}
    for _ in range(2):
        journal.append({**about, "request": request})
    journal.close()
    out = shown(capsys, tiny, row["id"], trace=True)
    assert "dialogue, attempt 7: m, seed 3, temperature None, top_p None, sent 2 times" in out
    assert "no answer: the run ended while the call was in flight" in out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_unknown_and_ambiguous_ids_name_candidates(tiny: TinyCorpus) -> None:
    plan = tiny.folder.read_plan()
    twins = [replace(row, id=f"abcd{n:012x}") for n, row in enumerate(plan[:2])]
    tiny.folder.write_plan([*twins, *plan[2:]])
    reader = CorpusReader(tiny.root)
    with pytest.raises(CorpusError, match=r"2 dialogues of .* begin so: abcd000000000000, abcd000000000001"):
        reader.find("abc")
    assert reader.find("ABCD000000000001-00-01-a0") == "abcd000000000001"
    with pytest.raises(CorpusError, match=r"no dialogue of .* begins so; there are [0-9a-f]{16}, "):
        reader.find("abce")
    for name in ("", "../..", "xyz", "0" * 17):
        with pytest.raises(CorpusError, match="no dialogue id"):
            reader.find(name)


def test_what_is_no_corpus_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"neither ledger\.json nor work/plan\.parquet"):
        show_corpus(tmp_path, None, False, None)


def test_trace_and_save_need_a_dialogue(tiny: TinyCorpus, tmp_path: Path) -> None:
    for trace, save in ((True, None), (False, tmp_path / "out")):
        with pytest.raises(typer.BadParameter, match="name its id"):
            show_corpus(tiny.root, None, trace, save)


def test_damaged_file_is_named_and_left_alone(tiny: TinyCorpus) -> None:
    path = tiny.table("dialogues", 0)
    row = pq.read_table(path, columns=["id"]).to_pylist()[0]
    flip_byte(path, 80)
    before = sorted(tiny.root.rglob("*"))
    with pytest.raises(CorpusError, match=r"train-00000-\w+\.parquet: cannot be read .* verify"):
        show_corpus(tiny.root, row["id"], False, None)
    assert sorted(tiny.root.rglob("*")) == before


def test_hostile_text_reaches_no_terminal(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    def poison(rows: list[Row]) -> list[Row]:
        for row in rows:
            row["topic"] = row["scenario"] = HOSTILE
            for turn in row["turns"]:
                for part in turn["parts"]:
                    part["text"] = HOSTILE
        return rows

    for shard in (0, 1):
        restate_table(tiny, "dialogues", shard, poison)
    row = kept(tiny, "draw")
    out = shown(capsys, tiny, None) + shown(capsys, tiny, row["id"], trace=True)
    assert out.count("[bold red]loud[/bold red]") > 4
    assert not [c for c in out if not c.isprintable() and c != "\n"]
    # On a terminal, the only escapes are colours of ours.
    escapes = re.findall(r"\x1b.", drawn(find(tiny, row["id"]), "none"))
    assert set(escapes) == {"\x1b["}
    assert "\x1b[2J" not in drawn(find(tiny, row["id"]), "none")


def test_save_writes_media_by_asset_id_and_a_page_in_order(tiny: TinyCorpus, tmp_path: Path) -> None:
    row = kept(tiny, "sing")
    show_corpus(tiny.root, row["id"], False, tmp_path / "out")
    page = (tmp_path / "out" / "dialogue.md").read_text(encoding="utf-8")
    assets = [part["asset"] for turn in row["turns"] for part in turn["parts"]]
    assert re.findall(r"\]\(([^)]+)\)", page) == [f"{asset}.flac" for asset in assets]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"dialogue.md", *(f"{a}.flac" for a in assets)}
    published = {r["id"]: r["audio"]["bytes"] for s in (0, 1) for t in ("music", "speech") for r in tiny.rows(t, s)}
    for asset in assets:
        assert (tmp_path / "out" / f"{asset}.flac").read_bytes() == published[asset]
    show_corpus(tiny.root, row["id"], False, tmp_path / "out")
    with pytest.raises(CorpusError, match="name another folder"):
        show_corpus(tiny.root, kept(tiny, "draw")["id"], False, tmp_path / "out")


def test_saved_page_shows_hostile_text_as_text(tiny: TinyCorpus, tmp_path: Path) -> None:
    found = find(tiny, kept(tiny, "draw")["id"])
    found.row["turns"][0]["parts"][0]["text"] = HOSTILE
    save_dialogue(found, tmp_path)
    page = (tmp_path / "dialogue.md").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "](https" not in page
    assert len(re.findall(r"!\[[^]]*\]\([0-9a-f-]+-a0\.png\)", page)) == 1


@pytest.mark.parametrize(
    ("key", "value"), [("id", "../../evil"), ("id", "/etc/passwd"), ("path", "a.sh"), ("path", "x")]
)
def test_save_refuses_names_that_no_renderer_gives(tiny: TinyCorpus, tmp_path: Path, key: str, value: str) -> None:
    def poison(rows: list[Row]) -> list[Row]:
        for row in rows:
            if key == "id":
                row["id"] = value
            else:
                row["image"]["path"] = value
        return rows

    for shard in (0, 1):
        restate_table(tiny, "images", shard, poison)
    with pytest.raises(CorpusError, match=r"asset '?(\.\./|/etc|[0-9a-f]{16}-)"):
        show_corpus(tiny.root, kept(tiny, "draw")["id"], False, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_looking_up_a_row_reads_the_media_of_its_row_group_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.parquet"
    table = pa.table({"id": [f"{n:04d}" for n in range(300)], "data": [b"x" * 50] * 300})
    pq.write_table(table, path, row_group_size=100)
    reads: list[tuple[int, list[str] | None]] = []
    original = pq.ParquetFile.read_row_group

    def read(self: pq.ParquetFile, group: int, columns: list[str] | None = None) -> pa.Table:
        reads.append((group, columns))
        return original(self, group, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", read)
    assert rows_where(path, "id", {"0150"}) == [{"id": "0150", "data": b"x" * 50}]
    assert reads == [(1, None)]


@pytest.mark.parametrize(
    ("environment", "is_terminal", "expected"),
    [
        ({"TERM": "xterm-kitty"}, True, "kitty"),
        ({"TERM": "xterm-kitty"}, False, "none"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, True, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, True, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, True, "iterm"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, True, "iterm"),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "iTerm.app", "TMUX": "/tmp/x"}, True, "blocks"),
        ({"TERM": "screen", "KITTY_WINDOW_ID": "1"}, True, "blocks"),
        ({"TERM": "xterm-256color"}, True, "blocks"),
        ({"TERM": "dumb"}, True, "none"),
    ],
)
def test_graphics_by_terminal(environment: dict[str, str], is_terminal: bool, expected: str) -> None:
    assert detect_graphics(environment, is_terminal, has_colour=True) == expected


def test_no_half_blocks_without_colour() -> None:
    assert detect_graphics({"TERM": "xterm-256color"}, True, has_colour=False) == "none"


def test_half_blocks_carry_two_pixels_a_character() -> None:
    image = Image.new("RGB", (2, 3), (255, 0, 0))
    image.putpixel((0, 1), (0, 0, 255))
    lines = list(half_blocks(image))
    assert [line.plain for line in lines] == ["▀▀", "▀▀"]
    styles = [span.style for span in lines[0].spans]
    assert str(styles[0]) == "#ff0000 on #0000ff"
    assert str(lines[1].spans[0].style) == "#ff0000"


def test_protocols_carry_the_picture() -> None:
    data = bytes(range(256)) * 40
    chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", kitty_sequence(data, 8, 4))
    assert [control for control, _ in chunks] == ["a=T,f=100,q=2,c=8,r=4,m=1", "m=1", "m=1", "m=0"]
    assert max(len(text) for _, text in chunks) == 4096
    assert base64.b64decode("".join(text for _, text in chunks)) == data
    assert base64.b64decode(iterm_sequence(data, 8, 4).partition(":")[2].removesuffix("\x07")) == data


def test_what_is_no_picture_gives_no_thumbnail() -> None:
    assert shrink(b"not a picture", 32, 32) is None
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    assert shrink(buffer.getvalue(), 32, 32) is None
    buffer = io.BytesIO()
    Image.new("RGB", (300, 100)).save(buffer, "WEBP")
    small = shrink(buffer.getvalue(), 30, 30)
    assert small is not None
    assert small.size == (30, 10)


@pytest.mark.parametrize(
    ("count", "said"), [(812, "812 B"), (1_500, "1.5 kB"), (38_400, "38 kB"), (2_340_000, "2.3 MB")]
)
def test_sizes(count: int, said: str) -> None:
    assert say_bytes(count) == said
