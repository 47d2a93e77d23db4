"""The floor: the engine's own client in a plain loop. No record, no journal, no pace, no budget, no second try."""

from __future__ import annotations

import asyncio
import json
import time

from bench.llm.composer import Outcome, Task, build_request, open_writer, start_with_the_others
from pipeline.adapters.collecting import spare_collector
from pipeline.adapters.llm.completion import build_body
from pipeline.adapters.llm.endpoint import open_endpoint
from pipeline.adapters.llm.openai_chat import PATH
from pipeline.adapters.llm.posting import Posting
from pipeline.adapters.llm.structured import fill_form


async def work_bare(task: Task) -> Outcome:
    """Send bodies that are ready made and parse the answers."""
    endpoint = open_endpoint(open_writer(task), max_connections=2 * task.in_flight)
    posting = Posting(endpoint, PATH)
    outcome = Outcome()
    bodies = [_build(number) for number in range(task.first, task.first + task.count)]
    left = iter(bodies)

    async def send() -> None:
        for body in left:
            reply = await posting.send(body)
            outcome.kept += "choices" in json.loads(reply.content)

    spare_collector()
    await start_with_the_others()
    outcome.started, cpu = time.monotonic(), time.process_time()
    await asyncio.gather(*[send() for _ in range(task.in_flight)])
    outcome.ended, outcome.cpu = time.monotonic(), time.process_time() - cpu
    await endpoint.close()
    return outcome


def _build(number: int) -> bytes:
    request = build_request(number)
    messages = [message.model_dump() for message in request.messages]
    return build_body(request, fill_form("json_schema", request, messages), messages)
