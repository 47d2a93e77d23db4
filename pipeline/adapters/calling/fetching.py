"""Fetching a picture from an address that an endpoint gave: a stranger's word, followed with care.

Only http and https; every host on the way is resolved here and must be a public one, or the endpoint's own; few
redirects, none to another scheme; bytes and time are bounded; no key, cookie or proxy goes along.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import SplitResult, urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from pipeline.values.errors import ChatFailure
from pipeline.values.units import Bytes, Seconds

MAX_BYTES: Bytes = 64 * 2**20
"""A picture of 4,096 pixels a side as PNG has at most about 50 million."""

MAX_REDIRECTS = 3
MAX_TRIES = 4
MAX_WAIT_SECONDS: Seconds = 20.0
"""Tries through broken connections, time-outs, 408, 429 and 5xx; waits between them grow up to this."""

LONGEST_SHOWN = 120
"""Characters of an address that an error repeats, without its query, which may be a signature."""

_BLOCK: Bytes = 2**16
_TRIED_AGAIN = frozenset({408, 429})
_NAT64 = 0x64_FF9B << 96
"""64:ff9b::/96, the prefix under which IPv6 networks reach IPv4 addresses (RFC 6052)."""


class _Passing(Exception):
    """Another moment may bring another outcome."""


class _NotPublic(OSError):
    """A host is none of the public internet."""


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet, also where it is wrapped in another."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        inner = _unwrap(ip)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def _unwrap(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address in a mapped, 6to4, Teredo or NAT64 one."""
    if int(ip) >> 32 == _NAT64 >> 32:
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)


class _PublicResolver(AbstractResolver):
    """Resolves names to public addresses only, so that what is checked is what is connected to.

    Args:
        own: The endpoint's host, of which any address will do.
    """

    def __init__(self, own: str) -> None:
        self._own = own
        self._names = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host; raises OSError where it has no public one."""
        found = await self._names.resolve(host, port, family)
        if host == self._own:
            return found
        public = [entry for entry in found if is_public(entry["host"])]
        if not public:
            raise _NotPublic(f"its host {host[:LONGEST_SHOWN]} has no public address")
        return public

    async def close(self) -> None:
        """Nothing is held."""


async def fetch_media(url: str, own_host: str, timeout: Seconds) -> bytes:
    """Fetch what an address points at.

    Args:
        own_host: The endpoint's, without its port: the one host that may be a private one.
        timeout: Of each request, from its start to the last byte.

    Raises:
        ChatFailure: ``not_fetched``.
    """
    retrying = AsyncRetrying(
        stop=stop_after_attempt(MAX_TRIES),
        wait=wait_random_exponential(multiplier=0.5, max=MAX_WAIT_SECONDS),
        retry=retry_if_exception_type(_Passing),
        reraise=True,
    )
    connector = aiohttp.TCPConnector(resolver=_PublicResolver(own_host), limit=0)
    try:
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=timeout),
            headers={"Accept": "image/*", "Accept-Encoding": "identity"},
            auto_decompress=False,
        ) as session:
            data: bytes = await retrying(_follow, session, url, own_host)
            return data
    except _Passing as exc:
        raise ChatFailure("not_fetched", str(exc)) from None


async def _follow(session: aiohttp.ClientSession, url: str, own_host: str) -> bytes:
    """Fetch, through redirects that keep to the rules; raises _Passing or ChatFailure."""
    scheme: str | None = None
    for _ in range(MAX_REDIRECTS + 1):
        parts = _check(url, own_host)
        if scheme not in (None, parts.scheme):
            raise _refused(url, f"it leads from {scheme} to {parts.scheme}")
        scheme = parts.scheme
        try:
            async with session.get(url, allow_redirects=False) as response:
                target = response.headers.get("Location")
                if 300 <= response.status < 400 and target:
                    url = urljoin(url, target)
                    continue
                return await _read(response, url)
        except ValueError as exc:
            raise _refused(url, "it leads to what is no address") from exc
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            # The client wraps what the resolver raises.
            cause = getattr(exc, "os_error", exc)
            if isinstance(cause, _NotPublic):
                raise _refused(url, str(cause)) from exc
            # Not in the client's words: they can hold the whole address.
            why = getattr(cause, "strerror", None) or type(exc).__name__
            raise _Passing(f"{_show(url)}: cannot be fetched: {why}") from exc
    raise _refused(url, f"it leads on more than {MAX_REDIRECTS} times")


async def _read(response: aiohttp.ClientResponse, url: str) -> bytes:
    if response.status != 200:
        told = f"{_show(url)}: cannot be fetched: status {response.status}"
        if response.status in _TRIED_AGAIN or response.status >= 500:
            raise _Passing(told)
        raise ChatFailure("not_fetched", told)
    kind = response.content_type
    if not (kind.startswith("image/") or kind.endswith("/octet-stream")):
        raise _refused(url, f"it is {kind[:60]!r} and no picture")
    if (response.content_length or 0) > MAX_BYTES:
        raise _refused(url, f"it has {response.content_length:,} bytes, at most {MAX_BYTES:,} are fetched")
    blocks: list[bytes] = []
    num_bytes = 0
    async for block in response.content.iter_chunked(_BLOCK):
        num_bytes += len(block)
        if num_bytes > MAX_BYTES:
            raise _refused(url, f"it has more than {MAX_BYTES:,} bytes")
        blocks.append(block)
    return b"".join(blocks)


def _check(url: str, own_host: str) -> SplitResult:
    """Check what can be known before anything is sent; a host that is an IP address never meets the resolver."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        has_port = parts.port != 0
    except ValueError as exc:
        raise ChatFailure("not_fetched", f"the endpoint gave an address that cannot be read ({exc})") from exc
    if parts.scheme not in ("http", "https") or not host or not has_port or "@" in parts.netloc:
        raise _refused(url, "only plain http and https addresses are followed")
    if host != own_host and _is_private_ip(host):
        raise _refused(url, "its host is no public address")
    return parts


def _is_private_ip(host: str) -> bool:
    try:
        # Also the spellings that a system's resolver takes for IPv4: 127.1, 0x7f000001, 2130706433.
        plain = host if ":" in host else socket.inet_ntoa(socket.inet_aton(host))
        return not is_public(plain)
    except (OSError, ValueError):
        return False  # a name, which the resolver checks


def _refused(url: str, why: str) -> ChatFailure:
    return ChatFailure("not_fetched", f"{_show(url)}: is not followed: {why}")


def _show(url: str) -> str:
    """Return an address for people: its query may be a signature, and none of it may be long."""
    return ascii(url.partition("?")[0])[:LONGEST_SHOWN]


def host_of(netloc: str) -> str:
    """Return the host of a host and port."""
    return urlsplit(f"//{netloc}").hostname or ""
