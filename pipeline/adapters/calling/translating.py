"""What the errors of an endpoint for media mean, beyond those that it shares with one for words."""

from __future__ import annotations

import openai

from pipeline.adapters.llm.failures import BadBody, Translator
from pipeline.values.errors import ChatFailure, EndpointError

MODERATION = frozenset({"moderation_blocked", "content_policy_violation", "content_filter", "contentFilter"})
"""Codes by which endpoints refuse a text for what it says: OpenAI's GPT image models, its DALL·E, and Azure's two."""

OUT_OF_MONEY = frozenset({"billing_hard_limit_reached", "billing_not_active"})
"""Codes that come under 400 and yet are about the account and not about the call."""

_REFUSED_STATUS = frozenset({400, 422})


class MediaTranslator(Translator):
    """Turns the client's exceptions into ours.

    Attributes:
        what: That was asked for, in words, e.g. ``picture``.
    """

    what = "picture"

    def translate(self, exc: Exception) -> ChatFailure | EndpointError:
        """Return what to raise instead, without a cause; see :class:`Translator`."""
        if isinstance(exc, openai.APIStatusError) and exc.status_code in _REFUSED_STATUS:
            says = f"{self.where}: {exc.status_code}: {self.quote(exc.message)}"
            if exc.code in MODERATION:
                return ChatFailure("moderation", says)
            if exc.code in OUT_OF_MONEY:
                return EndpointError(f"{says}; the account's budget is used up, raise it and run again")
        if isinstance(exc, BadBody):
            return ChatFailure("bad_answer", f"{self.where}: what came back is no {self.what}: {self.quote(str(exc))}")
        return super().translate(exc)
