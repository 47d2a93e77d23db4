"""What is known of batches that were handed in: written down before and after, so that none is handed in twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.contracts.storage import Journal
from pipeline.values.ids import content_key


@dataclass
class Batch:
    """Requests that go together.

    Attributes:
        name: Ours, out of the requests' keys; the endpoint keeps it as metadata, so that a batch whose id was lost to a
            kill is found again.
        keys: Of the requests that are still awaited.
        id: The endpoint's; None until it has said one.
    """

    name: str
    keys: set[str]
    id: str | None = None


class BatchBook:
    """The batches of a corpus whose answers have not all been handed on, over all runs."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._num_made = 0
        self.open: dict[str, Batch] = {}
        for entry in journal.entries():
            self._apply(entry["event"], entry)

    def prepare(self, keys: Sequence[str]) -> Batch:
        """Write down that a batch is about to be handed in."""
        # The same requests can be handed in once more, after a batch of theirs has expired.
        name = content_key("batch", sorted(keys), self._num_made)
        self._write("preparing", {"name": name, "keys": sorted(keys)})
        return self.open[name]

    def accept(self, batch: Batch, id: str) -> None:
        """Write down the id under which the endpoint took it."""
        self._write("accepted", {"name": batch.name, "id": id})

    def hand_on(self, batch: Batch, keys: Sequence[str]) -> None:
        """Write down that outcomes were handed on, or given up to be asked for again; none left closes the batch."""
        self._write("handed_on", {"name": batch.name, "keys": sorted(keys)})

    def holding(self, key: str) -> Batch | None:
        """Return the batch in which a request is under way."""
        return next((batch for batch in self.open.values() if key in batch.keys), None)

    def _write(self, event: str, facts: dict[str, object]) -> None:
        self._journal.append({"event": event, **facts})
        self._apply(event, facts)

    def _apply(self, event: str, facts: dict[str, object]) -> None:
        name, keys = str(facts["name"]), facts.get("keys")
        if event == "preparing":
            self._num_made += 1
            self.open[name] = Batch(name, set(keys if isinstance(keys, list) else ()))
        elif name not in self.open:
            return
        elif event == "accepted":
            self.open[name].id = str(facts["id"])
        else:
            self.open[name].keys.difference_update(keys if isinstance(keys, list) else ())
            if not self.open[name].keys:
                del self.open[name]
