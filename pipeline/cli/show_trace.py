"""Where a dialogue came from: its line in the plan, every call with prompt and answer, every render."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from pipeline.adapters.reading import CorpusReader, FoundDialogue
from pipeline.adapters.repair_book import RepairBook
from pipeline.cli.plain import plain
from pipeline.contracts.chat import Usage
from pipeline.contracts.storage import Row
from pipeline.execution.prices import load_prices
from pipeline.values.records import MEDIA, Modality, Slot
from pipeline.values.repairs import Repair
from pipeline.values.writer import Price
from pipeline.work.asking import cost
from pipeline.work.describing import STAGE as DESCRIPTIONS
from pipeline.work.tables import REPAIRS
from pipeline.work.tracing import Call, find_topic_call, read_calls, read_renders

WHOLE = sys.maxsize


class TracePrinter:
    """Prints the trace of one dialogue. A corpus without its ``work`` folder has no journals, and says so."""

    def __init__(self, reader: CorpusReader, found: FoundDialogue, console: Console) -> None:
        self._folder = reader.folder
        self._found = found
        self._console = console
        self._prices = _known_prices(reader)

    def print(self) -> None:
        """Print plan, calls and assets."""
        self._print_plan()
        self._print_calls()
        self._print_assets()
        if not self._folder.work.is_dir():
            self._say(f"{self._folder.work} is not here: prompts and raw answers stayed where the corpus was made.")

    def _print_plan(self) -> None:
        plan = self._found.plan
        if plan is None:
            return
        self._title("Plan")
        extra = "" if plan["needed_at"] is None else f", in place of a loss when {plan['needed_at']:,} were wanted"
        self._say(
            f"shard {plan['shard']}, dialogue {plan['ordinal']} about its topic, unit {plan['unit']:.6f}{extra}", 2
        )
        for number, turn in enumerate(Slot.model_validate_json(plan["slot"]).turns, 1):
            self._say(f"turn {number}, {turn.role}: {', '.join(turn.kinds)}", 2)
        self._say(f"demonstrations: {', '.join(plan['demonstrations']) or 'none'}", 2)
        self._say(f"requirements: {', '.join(plan['requirements']) or 'none'}", 2)

    def _print_calls(self) -> None:
        topic = self._topic_call()
        calls = [] if topic is None else [topic]
        store = self._folder.shard(self._found.shard)
        for stage in ("scenarios", "dialogues", DESCRIPTIONS):
            calls += read_calls(store.journal(stage), self._found.id)
        if calls:
            self._title("Calls")
        shown: Sequence[Row] = ()
        for number, call in enumerate(calls, 1):
            self._print_call(number, call, shown)
            shown = call.request.get("messages", ())
            after = calls[number] if number < len(calls) else None
            if call.is_answered and after and (after.purpose, after.attempt) == (call.purpose, call.attempt + 1):
                self._say("did not pass the checks, so that the next call asks again", 5)
        for stage, row in self._found.stage_rows.items():
            end = row["status"] if row["status"] == "ok" else f"{row['status']}: {row['code']}: {row['message']}"
            spent = f"calls: {row['calls']}, invalid answers: {row['invalid_answers']}, ${row['usd']:.6f}"
            self._say(f"{stage}: {end}; {spent}", 2)

    def _topic_call(self) -> Call | None:
        plan = self._found.plan
        if plan is None or not plan["meta_topic"]:
            return None
        return find_topic_call(self._folder.topics().journal("topics"), plan["meta_topic"], plan["topic_id"])

    def _print_call(self, number: int, call: Call, shown: Sequence[Row]) -> None:
        request = call.request
        sampling = f"temperature {request.get('temperature')}, top_p {request.get('top_p')}"
        again = f", sent {call.num_sent} times" if call.num_sent > 1 else ""
        self._say(
            f"{number}. {call.purpose}, attempt {call.attempt}: {request.get('model')}, "
            f"seed {request.get('seed')}, {sampling}{again}",
            2,
            "bold",
        )
        messages = request.get("messages", ())
        same = _count_same(shown, messages)
        if same:
            self._say(f"messages 1 to {same}: as in the call above", 5, "dim")
        for message in messages[same:]:
            self._block(str(message["role"]), str(message["content"]))
        self._print_outcome(call)

    def _print_outcome(self, call: Call) -> None:
        outcome = call.outcome
        if outcome is None:
            self._say("no answer: the run ended while the call was in flight, which counts as spent", 5)
        elif outcome["event"] != "answer":
            self._say(f"failed: {outcome['code']}: {outcome['message']}", 5)
        else:
            usage = Usage.model_validate(outcome["usage"])
            price = self._prices.get(str(call.request.get("model")))
            money = "" if price is None else f", ${cost(usage, price):.6f}"
            self._block("answer", str(outcome["text"]))
            tokens = f"{usage.prompt_tokens} tokens in ({usage.cached_tokens} cached), {usage.completion_tokens} out"
            end = f"{outcome['latency']:.2f} s, finished by {outcome['finish_reason']}{money}"
            self._say(f"{outcome['model']}: {tokens}, {end}", 5, "dim")

    def _print_assets(self) -> None:
        if not self._found.assets:
            return
        self._title("Assets")
        store = self._folder.shard(self._found.shard)
        tries = {m: read_renders(store.journal(m), set(self._found.assets)) for m in MEDIA}
        repairs = RepairBook(self._folder.work).read(self._found.shard).values()
        for part, asset in sorted(self._found.assets.items()):
            self._print_asset(asset.id or part, asset.modality, asset.facts)
            for entry in tries[asset.modality].get(part, ()):
                end = f"failed: {entry['code']}: {entry['message']}" if entry["event"] == "failure" else "made"
                self._say(
                    f"journal: attempt {entry['attempt']}, seed {entry['seed']}, {entry['seconds']:.3f} s, {end}",
                    5,
                    "dim",
                )
            histories = [repair for repair in repairs if repair.part_id == part]
            for repair in histories:
                self._print_repair(repair)
            if not histories:
                self._print_set_aside(asset.facts.get(REPAIRS) or ())

    def _print_repair(self, repair: Repair) -> None:
        for one in repair.tries:
            holds = "passes" if one.passes else "misses " + "; ".join(miss.say() for miss in one.misses)
            end = f"failed: {one.failure}" if one.failure else holds
            words = f", rewritten description: {one.text}" if one.text else ""
            kept = ", kept" if one.wanted == repair.wanted else ""
            self._say(f"repair: attempt {one.made}{kept}, {end}{words}", 5)
        if repair.rewrite is not None and not repair.rewrite.text:
            self._say(f"repair: description to be rewritten: {repair.rewrite.problem or 'not answered yet'}", 5)

    def _print_set_aside(self, tries: Sequence[Row]) -> None:
        """Print what a corpus without its ``work`` folder says of them."""
        for one in tries:
            missed = "; ".join(f"{miss['measure']} is {miss['value']}, limit {miss['limit']}" for miss in one["missed"])
            end = f"failed: {one['failure']}" if one["failure"] else f"misses {missed}"
            words = f", rewritten description: {one['description']}" if one["description"] else ""
            self._say(f"repair: attempt {one['attempt']}, set aside, {end}{words}", 5)

    def _print_asset(self, name: str, modality: Modality, facts: Row) -> None:
        draft = ", draft" if facts.get("is_draft") else ""
        # What was imported says as much of this as its source did.
        made_by = f"{facts['renderer'] or 'nobody knows what'} {facts['renderer_version'] or ''}".rstrip() + draft
        self._say(f"{name}: {modality} by {made_by}", 2, "bold")
        took = f"{facts['render_seconds']:.3f} s" if facts["render_seconds"] is not None else "time not known"
        self._say(f"seed {facts['seed']}, attempt {facts['attempt']}, {took}, SHA-256 {facts['sha256'] or 'none'}", 5)
        if facts.get("notes") and facts["notes"] != "{}":
            self._say(f"notes: {facts['notes']}", 5)

    def _title(self, text: str) -> None:
        self._console.print()
        self._console.print(Text(text, "bold underline"))

    def _say(self, text: str, indent: int = 0, style: str = "") -> None:
        self._console.print(Text.assemble(" " * indent, (plain(text, WHOLE).plain, style)), soft_wrap=True)

    def _block(self, name: str, text: str) -> None:
        """Print a prompt or an answer as it stands, line by line, behind who wrote it."""
        lead = (f"{'':5}{plain(name).plain:<9} │ ", "dim")
        for line in text.splitlines() or [""]:
            space = " " * (len(line) - len(line.lstrip(" ")))
            self._console.print(Text.assemble(lead, space, plain(line, WHOLE)), soft_wrap=True)


def _count_same(shown: Sequence[Row], messages: Sequence[Row]) -> int:
    """Count how many messages two calls begin with in common."""
    pairs = zip(shown, messages, strict=False)
    return next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(shown), len(messages)))


def _known_prices(reader: CorpusReader) -> dict[str, Price]:
    """Return prices by model: those that the corpus was made at, before the shipped list."""
    stated = reader.ledger.writer.get("price_usd_per_million", {}) if reader.ledger else {}
    return load_prices() | {str(model): Price.model_validate(price) for model, price in stated.items()}
