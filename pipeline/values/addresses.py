"""Addresses of LLM endpoints, checked before anything is sent to them."""

from __future__ import annotations

from urllib.parse import urlsplit

ADVICE = "write one such as http://localhost:8000/v1"


def check_address(address: str) -> str:
    """Return the address of an endpoint as it stands.

    Raises:
        ValueError: it is no http or https address, or holds what does not belong into a file. An address with a user
            name, password or query is not repeated in the text.
    """
    shown = "what stands there" if "@" in address or "?" in address else repr(address)
    try:
        parts = urlsplit(address)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as exc:
        raise ValueError(f"{shown} cannot be read as an address; {ADVICE}") from exc
    if "@" in parts.netloc:
        raise ValueError("holds a user name or password; keep keys in the environment variable of api_key_env")
    if is_address and (parts.query or parts.fragment):
        raise ValueError(f"holds something behind a ? or #, which no call would carry; {ADVICE}")
    if is_address and address.isprintable() and " " not in address:
        return address
    raise ValueError(f"{shown} is no http or https address; {ADVICE}")


def check_variable(name: str) -> str:
    """Return the name of an environment variable as it stands; raises ValueError, which does not repeat it."""
    if not (name.isascii() and name.isidentifier()):
        raise ValueError("is no name of an environment variable such as OPENAI_API_KEY; the key itself stays there")
    return name


def is_local(address: str) -> bool:
    """Whether an address is of this very machine."""
    host = urlsplit(address).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
