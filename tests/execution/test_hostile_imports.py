"""Sources made to mislead: no name in them leads out of the source, and each bad row is told by its reason."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.adapters.foreign.folder import SourceFolder
from pipeline.adapters.foreign.tars import scan_tar
from pipeline.contracts.foreign import Unreadable
from pipeline.execution.imports import ImportSetting
from pipeline.values.errors import ManifestError
from tests.execution.test_imports import check_sound
from tests.support.corpora import TinyCorpus
from tests.support.exporting import export_to
from tests.support.gathering import bring

SECRET = b"a secret outside"


def chat(**media: Any) -> list[dict[str, Any]]:
    return [{"role": "USER", "message": "Say something."}, {"role": "AnyGPT", "message": "As you wish.", **media}]


def write_lines(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def write_tar(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)


@pytest.fixture
def clip(tiny: TinyCorpus) -> bytes:
    data: bytes = tiny.rows("speech")[0]["audio"]["bytes"]
    return data


def reasons_of(source: Path, out: Path, kind: str) -> dict[str, int]:
    ledger = bring(ImportSetting(source, out, kind, "en"))
    rows = [row for path in out.glob("failed/*") for row in pq.read_table(path).to_pylist()]
    assert len(rows) == sum(ledger.reasons.values()) == ledger.counts["failed"]
    return {reason.removeprefix("import/"): count for reason, count in ledger.reasons.items()}


def test_names_in_the_published_layout_stay_inside(tmp_path: Path, clip: bytes) -> None:
    outside = tmp_path / "secret.flac"
    outside.write_bytes(clip)
    part = tmp_path / "source" / "part1"
    names = (
        "../../secret.flac",
        str(outside),
        "c/0002.flac",
        "link.flac",
        "in_tar_link.flac",
        "https://a.example/b.flac",
    )
    rows: list[Any] = [{"id": f"row {n}", "chat": chat(speech=name)} for n, name in enumerate(names)]
    rows += [{"id": "row 2", "chat": chat()}, "{broken", {"id": "odd", "chat": chat()[:1]}, [1, 2]]
    write_lines(part / "metadata.json", rows)
    (part / "link.flac").symlink_to(outside)
    write_tar(part / "speech.tar", {"c/0002.flac": clip}, {"in_tar_link.flac": str(outside)})
    out = tmp_path / "back"
    assert reasons_of(tmp_path / "source", out, "anyinstruct") == {
        "id_twice": 1,
        "medium_elsewhere": 1,
        "medium_missing": 1,
        "medium_outside": 3,
        "roles_do_not_alternate": 1,
        "row_unreadable": 1,
        "unknown_shape": 1,
    }
    check_sound(out)
    (row,) = [row for path in out.glob("speech/*") for row in pq.read_table(path).to_pylist()]
    assert (row["audio"]["bytes"], row["transcript"], row["role"]) == (clip, "As you wish.", "assistant")


def test_names_in_chat_lines_stay_inside(tmp_path: Path, clip: bytes) -> None:
    (tmp_path / "secret.flac").write_bytes(clip)
    source = tmp_path / "source"

    def line(name: str, url: str) -> dict[str, Any]:
        said = [{"type": "text", "text": "Well."}, {"type": "audio_url", "audio_url": {"url": url}}]
        return {"id": name, "messages": [{"role": "user", "content": "Hm?"}, {"role": "assistant", "content": said}]}

    urls = ("../secret.flac", "/etc/hostname", "file:///etc/hostname", "data:audio/flac;base64,!!", "a" * 5000, "a\0b")
    write_lines(source / "train.jsonl", [line(f"row {n}", url) for n, url in enumerate(urls)])
    assert reasons_of(source, tmp_path / "back", "messages") == {
        "medium_elsewhere": 1,
        "medium_missing": 2,
        "medium_outside": 2,
        "medium_undecodable": 1,
    }
    assert not list((tmp_path / "back").glob("speech/*"))


def test_files_that_are_links_out_are_refused(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "out", "hf")
    file = min((tmp_path / "out").glob("data/*.parquet"))
    moved = tmp_path / "elsewhere.parquet"
    file.rename(moved)
    file.symlink_to(moved)
    with pytest.raises(ManifestError, match="is a link out of"):
        bring(ImportSetting(tmp_path / "out", tmp_path / "back"))


def test_samples_of_a_tar_are_held_against_their_json(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "out", "webdataset")
    first, second = sorted((tmp_path / "out").glob("*.tar"))
    with tarfile.open(first) as tar:
        members = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
    spoken = next(name for name in members if name.endswith(".flac"))
    key = spoken.partition(".")[0]
    row = json.loads(members[f"{key}.json"])
    row["media"] = {
        name: {**facts, "seed": "no number", "repairs": 5, "width": -1} for name, facts in row["media"].items()
    }
    row["provenance"] = {"models": 7}
    members[f"{key}.json"] = json.dumps(row).encode()
    others = sorted({name.partition(".")[0] for name in members} - {key})
    del members[f"{others[0]}.json"]
    members[f"{others[1]}.json"] = b"[" * 100_000
    write_tar(first, members)
    out = tmp_path / "back"
    assert reasons_of(tmp_path / "out", out, "webdataset") == {"row_unreadable": 2}
    check_sound(out)
    rows = [
        row for path in out.glob("speech/*") for row in pq.read_table(path).to_pylist() if row["dialogue_id"] == key
    ]
    assert rows and all(row["seed"] is None and row["repairs"] == [] for row in rows)
    second.write_bytes(b"\x1f\x8b" + second.read_bytes())
    with pytest.raises(ManifestError, match="cannot be read as a tar"):
        list(scan_tar(second))


def test_text_of_strangers_is_cleaned(tiny: TinyCorpus, tmp_path: Path) -> None:
    write_lines(
        tmp_path / "source" / "a.jsonl",
        [
            {
                "id": "x",
                "messages": [{"role": "user", "content": "\x1b[31mred\0"}, {"role": "assistant", "content": "ok"}],
            }
        ],
    )
    bring(ImportSetting(tmp_path / "source", tmp_path / "back", "messages"))
    (row,) = [row for path in (tmp_path / "back").glob("dialogues/*") for row in pq.read_table(path).to_pylist()]
    assert row["turns"][0]["parts"][0]["text"] == " [31mred "
    assert len(row["id"]) == 16 and row["cell"] == "text-to-text"


def test_media_are_read_below_their_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "mine").write_bytes(b"mine")
    folder = SourceFolder(tmp_path / "in")
    assert folder.read_named(tmp_path / "in" / "sub", "../mine") == b"mine"
    for name in ("../../secret", "../secret/../../secret", str(tmp_path / "secret"), "sub", "nothing"):
        with pytest.raises(Unreadable):
            folder.read_named(tmp_path / "in" / "sub", name)
