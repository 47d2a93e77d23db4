"""Keys that endpoints want: looked for before anything is called, and never shown."""

from __future__ import annotations

import os


def say_missing_key(address: str | None, variable: str) -> str | None:
    """Say which key the default endpoint wants and the environment lacks, or None; servers of one's own want none.

    Args:
        address: The endpoint's; None for the default one.
        variable: Of the environment, that holds the key.

    Returns:
        A line that begins with the key of the manifest, as it stands beside ``base_url``.
    """
    if address is not None or os.environ.get(variable):
        return None
    return (
        f"api_key_env: ${variable} is not set, and the default endpoint wants a key; export it, or state base_url, the "
        "address of a server of your own"
    )
