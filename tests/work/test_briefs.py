"""The random choices that briefs draw from their ids, and what an asset's row is keyed by."""

from __future__ import annotations

from typing import Any

from pipeline.adapters.shipped import shipped
from pipeline.adapters.voices import load_voices
from pipeline.contracts.render import Brief
from pipeline.contracts.storage import Row
from pipeline.values.manifest import Manifest
from pipeline.values.records import Modality
from pipeline.work.briefs import PlacedBrief, order_renders
from pipeline.work.casting import cast
from pipeline.work.orders import Order
from tests.support.stages import manifest

VOICES = load_voices(shipped("manifests", "voices.yaml"))


def speaking(**section: Any) -> Manifest:
    voices = {"user": ["language:en"], "assistant": "af_heart"}
    return manifest(
        seed=108,
        mix=[{"name": "talk", "gives": ["speech"], "answers": ["speech", "image"], "rounds": [1, 2]}],
        render={"image": {"renderer": "minimal-image"}, "speech": {"renderer": "kokoro", "voices": voices, **section}},
    )


def talk(dialogue: str = "0123456789abcdef") -> Row:
    def part(words: str) -> Row:
        return {"kind": "speech", "text": words, "spoken": words.lower()}

    roles = ("user", "assistant", "user")
    return {"record_id": dialogue, "turns": [{"role": role, "parts": [part("Hi There")]} for role in roles]}


def orders(made: Manifest, *rows: Row) -> list[Order[PlacedBrief]]:
    assert made.render.speech is not None
    casting = cast(made.render.speech, VOICES, made.seed)
    return order_renders(Modality.SPEECH, rows or [talk()], made, "k", casting)


def briefs(made: Manifest, *rows: Row) -> list[Brief]:
    return [order.payload.brief for order in orders(made, *rows)]


def test_a_user_keeps_voice_and_pace_through_a_dialogue_and_the_assistant_has_its_own() -> None:
    first, answer, second = briefs(speaking(rate=[0.8, 1.2]))
    assert (first.voice, first.rate) == (second.voice, second.rate)
    assert (answer.voice, answer.rate) == (VOICES["af_heart"], 1.0)
    assert first.text == "hi there"
    assert len({first.seed, answer.seed, second.seed}) == 3


def test_paces_lie_within_their_bounds_and_differ() -> None:
    rows = [talk(f"{number:016x}") for number in range(40)]
    rates = {brief.rate for brief in briefs(speaking(rate=[0.8, 1.2]), *rows) if brief.rate != 1.0}
    assert len(rates) > 30
    assert 0.8 <= min(rates) < 0.9 < 1.1 < max(rates) <= 1.2


def test_users_speak_with_one_of_the_emotions_and_the_assistant_with_none() -> None:
    rows = [talk(f"{number:016x}") for number in range(40)]
    made = briefs(speaking(emotions=["calm", "in a hurry"]), *rows)
    users, assistants = made[0::3], made[1::3]
    assert {brief.emotion for brief in users} == {"calm", "in a hurry"}
    assert {brief.emotion for brief in assistants} == {None}
    assert [brief.emotion for brief in made[2::3]] == [brief.emotion for brief in users]


def test_emotions_change_the_key_of_what_they_change_and_nothing_else() -> None:
    plain, moved = orders(speaking()), orders(speaking(emotions=["calm"]))
    assert [order.inputs["brief"] for order in moved] == [order.inputs["brief"] for order in plain]
    differs = [a.inputs["voice"] != b.inputs["voice"] for a, b in zip(plain, moved, strict=True)]
    assert differs == [True, False, True]


def test_what_was_rendered_before_there_were_emotions_still_holds() -> None:
    part = {"kind": "speech", "text": "Hi 3", "spoken": "Hi three"}
    row = {"record_id": "0123456789abcdef", "turns": [{"role": "user", "parts": [part]}]}
    [order] = orders(speaking(), row)
    assert order.inputs == {"renderer": "k", "brief": "a27aaeb6e46a0701", "voice": "e3bf4a2197c62ef2"}
