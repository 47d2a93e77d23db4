"""What one reviewer sees of a corpus and says of it. Knows no HTTP: the server asks, and passes on what it gets."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.adapters.media_types import find_media_type
from pipeline.adapters.published import PublishedCorpus
from pipeline.adapters.readings import CorpusReadings
from pipeline.adapters.verdicts import VerdictBook, check_reviewer
from pipeline.contracts.audit import SUBJECTS
from pipeline.contracts.review import REASONS, Verdict
from pipeline.execution.review_index import gather_columns
from pipeline.execution.review_reading import DialogueReader
from pipeline.work.review_selection import Query, select


class NotThere(LookupError):
    """No dialogue or asset has that id."""


class ReviewDesk:
    """One reviewer at one corpus. Its methods may be called from several threads.

    Attributes:
        num_given: Verdicts since it was opened.

    Raises:
        AnyInstructError: the reviewer's name cannot be one.
        CorpusError: there is no finished corpus, or it cannot be read.
    """

    def __init__(self, root: Path, reviewer: str) -> None:
        self.root = root
        self.reviewer = check_reviewer(reviewer)
        self.num_given = 0
        corpus, readings = PublishedCorpus(root), CorpusReadings(root)
        self._book = VerdictBook(root)
        self._columns = gather_columns(corpus, readings)
        self._reader = DialogueReader(corpus, readings)
        # One at a time: the book's files remember how far they were read.
        self._turn = threading.Lock()

    def __len__(self) -> int:
        """Number of dialogues."""
        return len(self._columns.ids)

    def describe(self) -> dict[str, Any]:
        """Return what there is to choose from: filters with their counts, measures, reasons; and the progress."""
        columns = self._columns
        return {
            "name": self.root.resolve().name,
            "reviewer": self.reviewer,
            "progress": self.progress(),
            "reasons": [{"code": code, "text": text} for code, text in REASONS.items()],
            "meta_topics": columns.meta_topic.counts(),
            "cells": columns.cell.counts(),
            "voices": {voice: len(places) for voice, places in columns.voices.items()},
            "num_findings": int((columns.num_findings > 0).sum()),
            "measures": [measure.model_dump(mode="json") for measure in columns.measures.values()],
        }

    def progress(self) -> dict[str, Any]:
        """Return how many dialogues there are, and how many each reviewer has judged."""
        judged = {
            name: len(verdicts.keys() & self._columns.places.keys()) for name, verdicts in self._verdicts().items()
        }
        mine = judged.pop(self.reviewer, 0)
        return {"total": len(self), "judged": mine, "others": judged, "damaged": self._book.num_damaged}

    def choose(self, query: Query) -> list[str]:
        """Return the ids of the dialogues that a query asks for, in its order."""
        places = select(self._columns, query, self.reviewer, self._verdicts())
        return [self._columns.ids[place] for place in places]

    def read(self, dialogue: str) -> dict[str, Any]:
        """Return a dialogue with what is known of its media, its readings and the reviewer's verdict.

        Verdicts of others are in it only where the reviewer has given one.

        Raises:
            NotThere: the corpus has no such dialogue.
            CorpusError: a table cannot be read.
        """
        found = self._reader.read(self._shard(dialogue), dialogue)
        if found is None:
            raise NotThere(dialogue)
        return {**found, **self._judged(dialogue)}

    def media(self, about: str, dialogue: str, record: str) -> tuple[bytes, str]:
        """Return encoded media and their type.

        Raises:
            NotThere: the dialogue has no such asset.
            CorpusError: a table cannot be read.
        """
        subject = next((known for known in SUBJECTS[1:] if known == about), None)
        data = None if subject is None else self._reader.media(subject, self._shard(dialogue), dialogue, record)
        if data is None:
            raise NotThere(record)
        return data, find_media_type(data)

    def judge(self, verdict: Verdict) -> dict[str, Any]:
        """Keep a verdict; return the progress and, now that it is given, what others have said.

        Raises:
            NotThere: the corpus has no such dialogue.
            CorpusError: the verdict could not be written, and does not hold.
        """
        self._shard(verdict.dialogue_id)
        with self._turn:
            self._book.file(self.reviewer).append(verdict)
            self.num_given += 1
        return {"progress": self.progress(), **self._judged(verdict.dialogue_id)}

    def _judged(self, dialogue: str) -> dict[str, Any]:
        verdicts = {name: given[dialogue] for name, given in self._verdicts().items() if dialogue in given}
        mine = verdicts.pop(self.reviewer, None)
        return {
            "mine": None if mine is None else mine.model_dump(mode="json"),
            "others": {} if mine is None else {name: v.model_dump(mode="json") for name, v in verdicts.items()},
        }

    def _verdicts(self) -> dict[str, Mapping[str, Verdict]]:
        with self._turn:
            # Copied: a thread may look while another one reads what has come since.
            return {name: dict(verdicts) for name, verdicts in self._book.by_reviewer().items()}

    def _shard(self, dialogue: str) -> int:
        place = self._columns.places.get(dialogue)
        if place is None:
            raise NotThere(dialogue)
        return int(self._columns.shard[place])
