"""Audits: what measures the records of a corpus, and how one is registered.

An audit is one module plus one entry point line in the group ``anyinstruct.audits``:

    [project.entry-points."anyinstruct.audits"]
    picture-basics = "pipeline.adapters.audits.picture_basics:PLUGIN"

The module is imported to list audits and to check thresholds, so it must not import torch, an engine or weights at
the top: those belong into :meth:`AuditPlugin.load`, which runs in the worker, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ConfigDict

from pipeline.contracts.chat import ChatRequest
from pipeline.contracts.render import Licence, ModelFiles
from pipeline.contracts.storage import Row
from pipeline.values.ids import content_key
from pipeline.values.records import Record
from pipeline.values.writer import Writer

T = TypeVar("T")

Subject = Literal["dialogue", "image", "music", "speech"]

SUBJECTS: tuple[Subject, ...] = ("dialogue", "image", "music", "speech")

UNDECODABLE = "undecodable"
"""Code of a record that could not be measured since its media cannot be decoded, which is a fault of the record."""

CONTENT = ("id", "scenario", "turns", "cell", "gives", "answers", "num_rounds", "topic", "meta_topic", "language")
"""Columns of a dialogue that audits are about; a stranger's table may lack some."""


def content_of(row: Row) -> str:
    """Hash what audits are about of a dialogue's published row. An asset's content is the SHA-256 of its bytes."""
    return content_key({name: row[name] for name in CONTENT if name in row})


class Measure(Record):
    """One number that an audit gives a record.

    Attributes:
        name: ``<subject>.<what>``, e.g. ``image.contrast``; unique over all audits.
        unit: ``s``, ``LUFS``, ``share``; empty for plain numbers.
        better: Which direction is good.
        limit: The worst value that still passes, unless a manifest says otherwise; None for what is only reported.
        summary: One sentence for people.
    """

    name: str
    unit: str = ""
    better: Literal["higher", "lower"]
    limit: float | None = None
    summary: str

    def passes(self, value: float, limit: float | None = None) -> bool:
        """Tell whether a value is good enough; the limit itself is. Without any limit everything is."""
        bound = self.limit if limit is None else limit
        if bound is None:
            return True
        return value >= bound if self.better == "higher" else value <= bound


class Reading(Record):
    """What one measure says of one record.

    Attributes:
        value: None where the measure does not apply (a tempo that no brief names) or could not be taken.
        detail: What was seen, for people; it may quote the record, so it is hostile text.
    """

    value: float | None
    detail: str = ""


Readings = Mapping[str, Reading]
"""By name of the measure. A measure of the audit that is left out counts as one that does not apply."""


def as_rows(readings: Readings) -> list[Row]:
    """Return readings as a row of a stage file has them."""
    return [{"measure": name, **reading.model_dump()} for name, reading in readings.items()]


def as_readings(row: Row) -> dict[str, Reading]:
    """Return the readings of a row of a stage file."""
    return {found["measure"]: Reading(value=found["value"], detail=found["detail"]) for found in row["readings"]}


@dataclass(frozen=True)
class AssetFacts:
    """What is known of an asset without its bytes.

    Attributes:
        subject: What its table holds.
        row: Its published row without the media bytes.
        problem: Why the bytes cannot be decoded; empty where they can.
    """

    subject: Subject
    row: Row
    problem: str = ""


class ShardAssets:
    """The assets of one shard.

    Attributes:
        by_id: Each by its id.
    """

    def __init__(self, assets: Iterable[AssetFacts]) -> None:
        self.by_id: dict[str, AssetFacts] = {}
        self._names: dict[str, list[str]] = {}
        for facts in assets:
            self.by_id.setdefault(facts.row["id"], facts)
            self._names.setdefault(facts.row["dialogue_id"], []).append(facts.row["id"])

    def names_of(self, dialogue: str) -> Sequence[str]:
        """Ids of the assets whose rows say that they belong to a dialogue; one that stands twice, twice."""
        return self._names.get(dialogue, ())


@dataclass(frozen=True)
class AuditItem:
    """A record as audits see it.

    Attributes:
        id: Of the dialogue or the asset.
        dialogue_id: Of the dialogue that it belongs to; its own id for a dialogue.
        row: Its published row without the media bytes.
        data: Encoded media; None for a dialogue.
        decode: Turns the bytes into what :attr:`media` is.
        look_up: Gives the assets of the dialogue's shard, decoding each once for all dialogues when it is first called;
            None for assets, and for dialogues whose media are not made yet.
    """

    id: str
    dialogue_id: str
    row: Row
    data: bytes | None = None
    decode: Callable[[bytes], Any] | None = None
    look_up: Callable[[], ShardAssets] | None = None

    @cached_property
    def media(self) -> Any:
        """The decoded media, once for all audits: an RGB ``PIL.Image``, or samples with their rate.

        Sound is a pair: float32 samples of shape (num_frames, num_channels) in [-1, 1], and frames per second.

        Raises:
            ValueError: the bytes cannot be decoded.
        """
        if self.data is None or self.decode is None:
            raise ValueError(f"{self.id}: has no media")
        return self.decode(self.data)


@dataclass(frozen=True)
class Sketch:
    """What a comparing audit keeps of one record: a few bytes that stand for it."""

    id: str
    dialogue_id: str
    data: bytes


class Auditor(Protocol):
    """Measures records one by one. Same record, same version: same readings, or documented why not."""

    def measure(self, items: Sequence[AuditItem]) -> Sequence[Readings]:
        """Return the readings of each item, in order. Media that cannot be decoded never come here."""
        ...


class Comparer(Protocol):
    """Measures records against each other: a sketch each, then one comparison over the whole corpus."""

    def sketch(self, items: Sequence[AuditItem]) -> Sequence[bytes | None]:
        """Return what to keep of each item, in order; None for one that is not compared."""
        ...

    def compare(self, sketches: Iterable[Sketch]) -> Iterator[tuple[str, Readings]]:
        """Yield the id and the readings of every record that was sketched. Memory may grow with the sketches."""
        ...


class Ask(Protocol):
    """Asks an LLM at the pace, within the budget and over the journal of the audit: no answer is paid for twice."""

    async def __call__(
        self, request: ChatRequest, parse: Callable[[str], T], retry_text: Callable[[str], str] | None = None
    ) -> T:
        """Ask until an answer is valid, each time with the next seed.

        Args:
            request: The first attempt.
            parse: Turns the raw answer into a value; raises ValueError in words that the model can mend it by.
            retry_text: Words the problem for the model, which then sees its answer, too; None asks afresh.

        Raises:
            ChatFailure: the call failed, or no answer was valid.
            EndpointError: no call can succeed.
            Drained: the audit is ending.
        """
        ...


class Inquirer(Protocol):
    """Measures records one by one by asking an LLM about them, many at the same time on one event loop.

    Attributes:
        sees_pictures: True where it is to be given a dialogue's pictures.
    """

    sees_pictures: bool

    async def measure(self, item: AuditItem, pictures: Mapping[str, AuditItem], ask: Ask) -> Readings:
        """Return a record's readings; what :class:`Ask` raises goes through.

        Args:
            pictures: Those of the dialogue by their asset's name, as far as they are there.
        """
        ...


class AuditOptions(BaseModel):
    """Base of an audit's options: closed. All of them are part of its fingerprint, unless it asks an LLM.

    Attributes:
        reads_assets: True for audits of dialogues that call :attr:`AuditItem.look_up`: they measure a dialogue again
            whenever one of its assets changed. No option, but a property of the audit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reads_assets: ClassVar[bool] = False

    def as_published(self) -> dict[str, Any]:
        """The options as the corpus's index of audits states them: no path of this machine among them."""
        return self.model_dump(mode="json")


class AuditPlugin(Protocol):
    """What an entry point names. Cheap to import; everything but :meth:`load` is instant."""

    name: str
    version: str
    about: Subject
    is_default: bool
    """False for audits that are run only where they are asked for: dear ones, and those that many will not want."""
    compares: bool
    """True where :meth:`load` returns a :class:`Comparer`."""
    options: type[AuditOptions]

    def measures(self, options: Any) -> Sequence[Measure]:
        """All measures that it takes with these options."""
        ...

    def models(self, options: Any) -> Sequence[str]:
        """Names in the model lock that it needs with these options."""
        ...

    def licences(self, options: Any) -> Mapping[str, Licence]:
        """Licence of every model or data file used, by name."""
        ...

    def missing(self) -> str | None:
        """Say which Python package or system part is missing and how to get it, or None."""
        ...

    def load(self, options: Any, models: ModelFiles) -> Auditor | Comparer | Inquirer:
        """Load weights, once, in the worker."""
        ...


@runtime_checkable
class AskingPlugin(AuditPlugin, Protocol):
    """An audit that asks an LLM: :meth:`load` returns an :class:`Inquirer`, which works where the audit was started."""

    def writer(self, options: Any) -> Writer:
        """Return which models are asked, how they are reached and what they cost."""
        ...

    def identity(self, options: Any) -> Mapping[str, Any]:
        """Return what its readings depend on, as JSON-able values: models and their sampling, hashes of the prompts."""
        ...
