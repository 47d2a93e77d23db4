"""Names that people choose for things: corpora, cells, renderers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

IDENTIFIER = "1 to 64 lower-case letters, digits, dots, hyphens and underscores, the first a letter or digit"
"""What the pattern of an identifier says, for people."""

Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description=IDENTIFIER)]
