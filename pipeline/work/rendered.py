"""A shard's dialogues and media before anything is published, as audits will see them afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from pipeline.contracts.audit import AssetFacts, AuditItem, ShardAssets, Subject, content_of
from pipeline.contracts.storage import Row
from pipeline.values.records import Modality
from pipeline.work.rendering import asset_name
from pipeline.work.shard_rows import ShardRows

MEDIA_SUBJECTS: tuple[Subject, ...] = ("image", "music", "speech")

Decoders = Mapping[Subject, Callable[[bytes], Any]]
ReadFacts = Callable[[Subject, Row], AssetFacts]


class RenderedShard:
    """Those dialogues of a shard that were made as a whole. Implements ``AuditSource``.

    A record has the id and the content here that it will have once it is published, so that nothing is measured twice.

    Args:
        decoders: Turn the bytes of a medium into what audits see of it.
        read_facts: Tells what is known of an asset by its row with the bytes.
    """

    def __init__(self, rows: ShardRows, decoders: Decoders, read_facts: ReadFacts) -> None:
        self._rows = rows
        self._read_facts = read_facts
        self._decoders = decoders
        losses = rows.find_losses({})
        self._whole = {row.id: row for row in rows.planned if row.id not in losses}
        self._indices: dict[Subject, Sequence[tuple[str, str, str]]] = {}

    def index(self, subject: Subject) -> Sequence[tuple[str, str, str]]:
        """Return id, dialogue id and content hash of every record, in the order of the table to come."""
        if subject not in self._indices:
            self._indices[subject] = self._read_index(subject)
        return self._indices[subject]

    def items(self, subject: Subject, wanted: set[str]) -> Iterator[AuditItem]:
        """Yield the wanted records with their media, a row group of the stage file at a time."""
        if subject == "dialogue":
            look_up = cache(self._read_assets)
            for name, dialogue in self._dialogues():
                if name in wanted:
                    yield AuditItem(name, name, dialogue, look_up=look_up)
            return
        medium = "image" if subject == "image" else "audio"
        for row in self._published(subject):
            if row["id"] in wanted:
                data = row.pop(medium)["bytes"]
                yield AuditItem(row["id"], row["dialogue_id"], row, data, self._decoders[subject])

    def _published(self, subject: Subject) -> Iterator[Row]:
        for group in self._rows.publish_assets(Modality(subject), self._whole):
            yield from group.to_pylist()

    def _read_index(self, subject: Subject) -> Sequence[tuple[str, str, str]]:
        if subject == "dialogue":
            return [(name, name, content_of(row)) for name, row in self._dialogues()]
        modality = Modality(subject)
        if modality not in self._rows.manifest.media:
            return []
        columns = ["dialogue_id", "part_id", "attempt", "status", "sha256"]
        return [
            (asset_name(row), row["dialogue_id"], row["sha256"])
            for row in self._rows.store.rows(modality, columns)
            if row["status"] == "ok"
            and row["dialogue_id"] in self._whole
            and self._rows.parts.get(row["part_id"]) == modality
        ]

    def _read_assets(self) -> ShardAssets:
        return ShardAssets(
            self._read_facts(subject, row)
            for subject in MEDIA_SUBJECTS
            if Modality(subject) in self._rows.manifest.media
            for row in self._published(subject)
        )

    def _dialogues(self) -> Iterator[tuple[str, Row]]:
        for name, planned in self._whole.items():
            yield name, self._rows.publish_dialogue(planned, has_media=True)
