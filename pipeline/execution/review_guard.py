"""Who may ask the review server for anything: the browser that was given the token, from the server's own page.

The server listens on loopback, where every page that the browser has open can send it requests. Against that stand:

- a token in the address that the command prints, and then in a cookie that scripts cannot read and that requests of
  other sites do not carry;
- the Host header, which names this machine by an address or ``localhost``: a stranger's name that was made to point
  here (DNS rebinding) is refused;
- ``Sec-Fetch-Site``, by which pages of other ports on this machine are told apart, which cookies do not;
- ``Origin`` on everything that writes.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web
from yarl import URL

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PAGE = "/"
_TOKEN_BYTES = 24

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Refused(Exception):
    """A request that is not answered.

    Attributes:
        status: HTTP status.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Guard:
    """Checks every request before anything else sees it.

    Attributes:
        host: What the server listens on.
        token: Drawn anew for each server.
    """

    host: str
    token: str = field(default_factory=lambda: secrets.token_urlsafe(_TOKEN_BYTES), repr=False)

    def address(self, port: int) -> str:
        """Return what a person opens in a browser."""
        host = "localhost" if self.host in ("0.0.0.0", "::") else self.host
        return str(URL.build(scheme="http", host=host, port=port, path=PAGE, query={"token": self.token}))

    def check(self, request: web.Request) -> None:
        """Let a request pass.

        Raises:
            Refused: it is not from the page that this server serves.
        """
        if not self._names_us(request.host):
            raise Refused(HTTPStatus.MISDIRECTED_REQUEST, "this server goes by its address or as localhost alone")
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if site not in ("same-origin", "none") and request.path != PAGE:
            raise Refused(HTTPStatus.FORBIDDEN, "requests of other pages are not answered")
        if request.method not in ("GET", "HEAD"):
            self._check_write(request, site)
        if not self._has_token(request):
            raise Refused(HTTPStatus.FORBIDDEN, "open the address that the command has printed, with its token")

    def give_cookie(self, request: web.Request, response: web.StreamResponse) -> None:
        """Put the token into a cookie of the browser, so that it can leave the address."""
        response.set_cookie(_cookie(request), self.token, httponly=True, samesite="Strict", path="/")

    def _names_us(self, header: str) -> bool:
        try:
            name = URL.build(scheme="http", authority=header).host or ""
        except ValueError:
            return False
        if name in ("localhost", self.host):
            return True
        # Only a name can be pointed elsewhere, an address cannot. The port may be another, that of a tunnel.
        return _is_address(name)

    def _check_write(self, request: web.Request, site: str) -> None:
        if site != "same-origin" or request.headers.get("Origin") != f"http://{request.host}":
            raise Refused(HTTPStatus.FORBIDDEN, "verdicts are taken from the review page alone")
        if request.content_type != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a verdict is JSON")

    def _has_token(self, request: web.Request) -> bool:
        given = [request.cookies.get(_cookie(request), "")]
        if request.path == PAGE:
            given.append(request.query.get("token", ""))
        return any(secrets.compare_digest(one.encode(), self.token.encode()) for one in given)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach what listens on a host."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Tell the browser of every answer what it may do with it: run, show and fetch nothing but ours."""
    response.headers.update(_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _cookie(request: web.Request) -> str:
    # Cookies know no ports: two servers on one machine need two names.
    return f"anyinstruct-review-{URL.build(scheme='http', authority=request.host).port}"
