"""Prompts, demonstrations, requirements and meta-topics, as stages see them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Protocol

from pipeline.values.records import Demonstration, MetaTopic, Requirement


class PromptBook(Hashable, Protocol):
    """The prompts folder, read once and never changed; what is worked out of one is kept for that very one."""

    meta_topics: Mapping[str, MetaTopic]
    demonstrations: Mapping[str, Demonstration]
    requirements: Mapping[str, Requirement]

    def text(self, template: str, **values: Any) -> str:
        """Fill ``templates/<template>.j2``. Values are data: template syntax inside them is not evaluated."""
        ...

    def key(self, *templates: str) -> str:
        """Hash of the named template files, for a stage's fingerprint."""
        ...
