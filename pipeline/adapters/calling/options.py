"""What a manifest may choose of every renderer that calls an endpoint. Imports no client: it validates manifests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, field_validator

from pipeline.adapters.weights import allows_commercial_use
from pipeline.contracts.render import Licence, RendererOptions
from pipeline.values.addresses import check_address, check_variable
from pipeline.values.units import Seconds

IDLE: dict[str, Any] = {"changes_output": False}
"""Marks options that are no part of the fingerprint: how the endpoint is reached and how hard it is driven."""

TERMS = "terms of service"
"""The licence of what an endpoint makes, unless a manifest knows better: its provider's."""

Scalar = str | int | float | bool


class CallOptions(RendererOptions):
    """How an endpoint of the OpenAI protocol is asked.

    Attributes:
        model: Its name at the endpoint.
        base_url: The endpoint's address; OpenAI's own where left out.
        api_key_env: Environment variable that holds the key; the key itself stands in no file.
        in_flight: Calls in flight over all actors: a bound and not a target, the pace finds out what the endpoint
            bears.
        timeout_seconds: Of each try.
        requests_per_minute: A cap over all actors.
        extra: Further keys of the request, for servers that take more than the protocol has.
        licence: Of the model, where a server of one's own has one with a licence.
    """

    reserved: ClassVar[frozenset[str]] = frozenset({"model"})

    model: str = Field(min_length=1)
    base_url: str | None = Field(default=None, json_schema_extra=IDLE)
    api_key_env: str = Field(default="OPENAI_API_KEY", json_schema_extra=IDLE)
    in_flight: int = Field(default=64, ge=1, le=4096, json_schema_extra=IDLE)
    timeout_seconds: Seconds = Field(default=300, gt=0, json_schema_extra=IDLE)
    requests_per_minute: float | None = Field(default=None, gt=0, json_schema_extra=IDLE)
    extra: Mapping[str, Scalar] = Field(default={})
    licence: Licence = Field(default=TERMS, min_length=1, json_schema_extra=IDLE)

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, address: str | None) -> str | None:
        return address if address is None else check_address(address)

    @field_validator("api_key_env")
    @classmethod
    def _names_a_variable(cls, name: str) -> str:
        return check_variable(name)

    @field_validator("extra")
    @classmethod
    def _repeats_no_key(cls, extra: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
        if doubled := sorted(cls.reserved & extra.keys()):
            raise ValueError(f"{doubled[0]!r} is set by the renderer; state the option of that name, if there is one")
        return extra

    @property
    def is_commercial_use_allowed(self) -> bool:
        """Terms of service bind whoever pays, as they do for the LLM's words; a stated licence has to allow it."""
        return self.licence == TERMS or allows_commercial_use(self.licence)
