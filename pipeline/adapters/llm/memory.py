"""What was found out about an endpoint, kept for the next run in one small JSON file a model. No key in it."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import date, timedelta
from pathlib import Path

from pydantic import Field, ValidationError

from pipeline.adapters.files import read_json, write_json
from pipeline.adapters.llm.structured import Form
from pipeline.values.errors import CorpusError
from pipeline.values.ids import content_key
from pipeline.values.records import Record
from pipeline.values.units import Seconds

KEPT_FOR = timedelta(days=30)
"""Endpoints change: what is older is found out anew."""

POLL_SECONDS: Seconds = 0.05


class Known(Record):
    """What is known of an endpoint and model.

    Attributes:
        ceiling: Most calls in flight that were served when one more was refused.
        reached: Most calls in flight that were served, where nothing was ever refused.
        form: How it takes the schema of an answer; None until a probe has found out.
        day: When any of it was last found out.
    """

    host: str
    model: str
    ceiling: int | None = Field(None, ge=1)
    reached: int | None = Field(None, ge=1)
    form: Form | None = None
    day: date


class EndpointMemory:
    """The file of one endpoint and model.

    Args:
        folder: Where such files lie, one folder a user; None keeps nothing.
        host: Host and port.
    """

    def __init__(self, folder: Path | None, host: str, model: str) -> None:
        self._path = None if folder is None else folder / f"{content_key('endpoint', host, model)}.json"
        self._known = Known(host=host, model=model, day=date.min)

    def load(self) -> Known:
        """Return what is known; nothing where the file is missing, damaged or old."""
        try:
            value = None if self._path is None else read_json(self._path)
            found = self._known if value is None else Known.model_validate(value)
        except (CorpusError, ValidationError):
            return self._known  # as if never asked: it is found out anew
        mine = (found.host, found.model) == (self._known.host, self._known.model)
        if mine and found.day >= date.today() - KEPT_FOR:
            self._known = found
        return self._known

    def learn(self, *, ceiling: int | None = None, reached: int | None = None, form: Form | None = None) -> None:
        """Keep what was found out; None says nothing new. A folder that cannot be written costs the next run."""
        told = {"ceiling": ceiling, "reached": reached, "form": form}
        news = {name: value for name, value in told.items() if value not in (None, getattr(self._known, name))}
        if not news:
            return
        # Other processes write here, too: what they have found out in the meantime stays.
        self._known = self.load().model_copy(update={**news, "day": date.today()})
        if self._path is not None:
            with suppress(CorpusError):
                write_json(self._path, self._known.model_dump(mode="json"))

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Hold off the other processes of this machine, so that one of them asks and the others read its answer."""
        handle = self._open_lock()
        try:
            while handle is not None:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(POLL_SECONDS)
            yield
        finally:
            if handle is not None:
                os.close(handle)

    def _open_lock(self) -> int | None:
        if self._path is None:
            return None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
        except OSError:
            return None  # then several may ask; that costs one small call each
