"""An endpoint that writes: instant answers that fit any schema, in English words. Equal requests get equal answers.

``python -m bench.scale.endpoint`` prints its port and ends with whoever started it.
"""

from __future__ import annotations

import json
import re
from functools import cache
from hashlib import blake2b
from random import Random
from typing import Any

from bench.llm.event_loop import run
from bench.llm.server import Connection, answer, reply, serve
from pipeline.adapters.shipped import shipped

LONG_FIELD = 100
"""Characters from which on a field may hold a sentence."""

WORDS_PER_SENTENCE = 12
WORDS_PER_PHRASE = 5


class Writer(Connection):
    """Answers every call at once."""

    def chat(self, body: bytes) -> None:
        """Make up what answers a request."""
        request = json.loads(body)
        drawn = blake2b(body, digest_size=16).digest()
        self.write(reply(200, answer(fit(request["response_format"]["json_schema"]["schema"], Random(drawn)))))


def fit(schema: dict[str, Any], random: Random) -> Any:
    """Make up a value that fits a schema of objects, arrays, strings and choices."""
    if schema["type"] == "object":
        return {name: fit(child, random) for name, child in schema["properties"].items()}
    if "enum" in schema:
        return random.choice(schema["enum"])
    if schema["type"] == "array":
        return [fit(schema["items"], random) for _ in range(schema["minItems"])]
    count = WORDS_PER_SENTENCE if schema["maxLength"] > LONG_FIELD else WORDS_PER_PHRASE
    return " ".join(random.choices(vocabulary(), k=count)).capitalize() + "."


@cache
def vocabulary() -> tuple[str, ...]:
    """Return the words of the shipped demonstrations: English, harmless, and so many that two dialogues differ."""
    folder = shipped("prompts", "demonstrations")
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml")))
    found = re.findall(r"(?<![\w'-])[a-z]{3,9}(?![\w'-])", text)
    return tuple(sorted(set(found)))


if __name__ == "__main__":
    run(serve(Writer))
