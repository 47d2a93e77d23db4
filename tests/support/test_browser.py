"""The browser of the tests reaches this machine and nothing else."""

from __future__ import annotations

from aiohttp import web

from tests.support.browser import Tab
from tests.support.serving import serving_app

PAGE = """<!doctype html><title>A page</title><p id=told></p><img src="http://192.0.2.7/picture.png">
<script>document.querySelector("#told").textContent = "from a script"; missing()</script>"""


async def answer(request: web.Request) -> web.Response:
    return web.Response(text=PAGE, content_type="text/html")


def test_only_this_machine_answers_and_complaints_are_kept(tab: Tab) -> None:
    app = web.Application()
    app.router.add_get("/", answer)
    with serving_app(app) as address:
        tab.page.goto(address)
        assert tab.page.text_content("#told") == "from a script"
    assert tab.outside == ["http://192.0.2.7/picture.png"]
    assert any("missing is not defined" in text for text in tab.complaints)
    assert tab.page.evaluate("document.images[0].naturalWidth") == 0
