"""An application on a free port of loopback, from a thread of its own: for code that runs its own event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web


@contextmanager
def serving_app(app: web.Application) -> Iterator[str]:
    """Serve until the block ends; yield the address, ``http://127.0.0.1:port``."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    address = ""

    async def serve() -> web.AppRunner:
        nonlocal address
        # Whoever asked last may be gone, and a handler that waits for a test ends with it.
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    def work() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(serve())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(120)
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
