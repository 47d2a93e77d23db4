"""Keys planted in the environment, and endpoints that repeat them: none is found in anything that is written."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from aiohttp import web

from pipeline.adapters.corpus import CorpusFolder
from pipeline.cli.report import report_corpus
from pipeline.values.errors import EndpointError
from tests.support.endpoint import Endpoint, running_endpoint
from tests.support.exporting import export_to
from tests.support.projects import describe, make, write_manifest

KEY = "sk-planted-0123456789abcdef"
OTHER = "another-planted-key-9876543210"


class Parrot(Endpoint):
    """Says the key that it was called with wherever it can: in errors, refusals, answers and names.

    Attributes:
        is_shut: True to refuse every call for good.
    """

    is_shut = False
    _num_calls = 0

    async def answer(self, request: web.Request) -> web.Response:
        said = request.headers["Authorization"]
        self._num_calls += 1
        words = {"error": {"message": f"what is {said}?", "type": said, "code": "x", "param": said}}
        if self.is_shut:
            return web.json_response(words, status=401, headers={"x-request-id": said})
        if self._num_calls % 5 == 0:
            return web.json_response(words, status=400, headers={"x-request-id": said})
        whole = await super().answer(request)
        if self._num_calls % 7 == 0:
            return web.Response(body=(whole.text or "").encode()[:40] + said.encode(), content_type="application/json")
        text = (whole.text or "").replace('"stop"', f'"stop {said}"').replace('"tester"', f'"tester {said}"')
        if self._num_calls % 3 == 0:
            text = text.replace('.\\"', f' {said}.\\"', 1)
        return web.Response(text=text, content_type="application/json", headers={"x-request-id": said})


def texts_of(path: Path) -> list[bytes]:
    """Return the bytes of a file, and what its compression hides."""
    data = path.read_bytes()
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return [data, repr(table.to_pylist()).encode("utf-8", "replace"), repr(table.schema.metadata).encode()]
    if path.suffix == ".tar":
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            return [data, *[file.read() for member in tar if (file := tar.extractfile(member))]]
    return [data]


def holders(root: Path) -> list[str]:
    """Return the files below a folder that hold a planted key, by content or by name."""
    found = []
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        for key in (KEY, OTHER):
            if key in str(path) or any(key.encode() in text for text in texts_of(path)):
                found.append(f"{path.relative_to(root)}: {key}")
    return found


def manifest_of(url: str) -> dict[str, Any]:
    made = describe(url, topics={"list": [f"the {number} small bells" for number in range(8)]})
    made["writer"] |= {"api_key_env": "PLANTED_KEY", "max_tries": 4}
    return made


def test_no_key_is_in_anything_that_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PLANTED_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", OTHER)
    parrot = Parrot()
    with running_endpoint(endpoint=parrot):
        path = write_manifest(tmp_path / "project", manifest_of(parrot.url))
        corpus = tmp_path / "corpus"
        make(path, corpus, has_ray=False)
        ledger = CorpusFolder(corpus).read_ledger()
        assert ledger is not None
        assert ledger.counts["kept"] and ledger.counts["failed"]
        report_corpus(corpus, None, 4, 4.0, False)
        for to in ("parquet", "webdataset", "messages"):
            export_to(corpus, tmp_path / "exports" / to, to)
        # A folder of its own: nothing there is done yet, so that calls go out and are refused for good.
        parrot.is_shut = True
        with pytest.raises(EndpointError) as caught:
            make(path, tmp_path / "refused", has_ray=False)
    assert "$PLANTED_KEY" in str(caught.value)
    told = capsys.readouterr()
    assert not [key for key in (KEY, OTHER) if key in told.out + told.err + str(caught.value) + repr(caught.value)]
    assert holders(tmp_path) == []
    # The search itself finds what is there.
    (tmp_path / "planted.txt").write_text(f"x{KEY}x")
    assert len(holders(tmp_path)) == 1
