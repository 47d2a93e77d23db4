"""The figures of a report: what a corpus holds, how that adds up, and how good it is. What is unknown is None."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.contracts.ledger import Passing
from pipeline.values.records import Record
from pipeline.values.units import USD, Bytes, Seconds
from pipeline.work.audit_summary import Summary


class Fate(Record):
    """Where dialogues ended.

    Attributes:
        planned: None where no ledger says.
        waiting: In the plan, and not packed yet; None where the plan is not there.
    """

    planned: int | None
    kept: int
    rejected: int
    failed: int
    waiting: int | None

    @property
    def adds_up(self) -> bool:
        """Whether every planned dialogue is accounted for, as far as is known."""
        ended = self.kept + self.rejected + self.failed + (self.waiting or 0)
        return self.planned is None or self.planned == ended


class Check(Record):
    """A count that the ledger states, against what the files hold."""

    what: str
    stated: int
    counted: int

    @property
    def agrees(self) -> bool:
        """Whether both say the same."""
        return self.stated == self.counted


class CellFigures(Record):
    """A cell of the modality matrix.

    Attributes:
        wanted: Share of the mix, in [0, 1].
        reached: Share of the kept dialogues.
    """

    name: str
    gives: tuple[str, ...]
    answers: tuple[str, ...]
    wanted: float | None
    reached: float
    fate: Fate


class ModalityFigures(Record):
    """Dialogues in which a modality goes in or comes out; a dialogue counts for each of its own."""

    name: str
    fate: Fate


class AssetFigures(Record):
    """One kind of media.

    Attributes:
        num_drafts: None where the rows do not say.
        seconds: Of sound in all; None for pictures, and where the rows do not say.
        num_bytes: Of the tables.
    """

    kind: str
    num_assets: int
    num_drafts: int | None
    seconds: Seconds | None
    num_bytes: Bytes


class MetaTopicFigures(Record):
    """One meta-topic.

    Attributes:
        num_audited: Kept dialogues of which something was measured.
        num_good: Those of them without a finding.
    """

    name: str
    num_topics: int
    fate: Fate
    num_audited: int
    num_good: int


class SpendFigures(Record):
    """Calls of one stage to one model. ``usd`` is None where no price was known."""

    stage: str
    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: USD | None


class RendererFigures(Record):
    """What rendered one modality."""

    modality: str
    renderer: str
    version: str
    is_draft: bool
    made: int
    failed: int
    seconds: Seconds
    made_by: str


class Origin(Record):
    """What a corpus can be traced by.

    Attributes:
        manifest_sha256: Of the manifest's canonical JSON.
        models: Use, name, licence of every model and data file.
        revisions: Name and SHA-256 or revision, where one is recorded.
        prices: Model and dollars a million tokens, as the ledger has them.
    """

    manifest_sha256: str
    ledger_sha256: str
    generator: str
    seed: int
    versions: Mapping[str, str]
    prompts: Mapping[str, str]
    models: tuple[tuple[str, str, str], ...]
    revisions: tuple[tuple[str, str], ...]
    prices: tuple[tuple[str, str], ...]


class TokenCost(Record):
    """One measure before and after media went through a tokenizer and back, by its median.

    Attributes:
        pass_before, pass_after: Shares that pass; None without a limit.
    """

    measure: str
    about: str
    unit: str
    before: float | None
    after: float | None
    difference: float | None
    pass_before: float | None
    pass_after: float | None


class Figures(Record):
    """All figures of one corpus.

    Attributes:
        checks: Empty without a ledger.
        texts: Of a corpus of taken dialogues: ``rows`` read, ``kept``, ``rejected/<rule>``, over all sources.
        reasons: ``stage/code`` with dialogues, the most frequent first.
        num_undecodable: Assets that no audit could decode; None without an audit.
        share_audited: By audit, the share of its records in the corpus that were measured.
        origin: None without a ledger.
        repairs: None where nothing was repaired.
        round_trip: What tokens cost; empty where no copy that went through them was named.
        worst, random: Ids of the dialogues that the page shows.
    """

    name: str
    description: str
    fate: Fate
    checks: tuple[Check, ...]
    texts: Mapping[str, int] = {}
    cells: tuple[CellFigures, ...]
    modalities: tuple[ModalityFigures, ...]
    assets: tuple[AssetFigures, ...]
    meta_topics: tuple[MetaTopicFigures, ...]
    num_topics: int
    voices: tuple[tuple[str, int], ...]
    reasons: tuple[tuple[str, int], ...]
    spend: tuple[SpendFigures, ...]
    num_lost_calls: int | None
    renderers: tuple[RendererFigures, ...]
    summaries: tuple[Summary, ...]
    share_audited: Mapping[str, float]
    num_undecodable: int | None
    num_audited: int
    num_good: int
    origin: Origin | None
    worst: tuple[str, ...]
    random: tuple[str, ...]
    repairs: Passing | None = None
    round_trip: tuple[TokenCost, ...] = ()

    @property
    def usd(self) -> USD | None:
        """Dollars spent on what is here; None where not all of it is known."""
        known = [line.usd for line in self.spend if line.usd is not None]
        return sum(known) if self.origin is not None and len(known) == len(self.spend) else None


class ShownPart(Record):
    """A part of a sample.

    Attributes:
        media: A data URL; None for words, and for media that are left out.
        note: Facts of the asset, or why it is not shown.
    """

    kind: str
    text: str
    media: str | None = None
    note: str = ""


class ShownDialogue(Record):
    """A sample as the page shows it.

    Attributes:
        turns: Role and parts.
        findings: One sentence each.
    """

    id: str
    topic: str
    cell: str
    turns: tuple[tuple[str, tuple[ShownPart, ...]], ...]
    findings: tuple[str, ...]
