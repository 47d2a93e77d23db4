"""Who writes: the LLM of a corpus, how it samples, how it is reached and what it costs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.values.addresses import check_address, check_variable
from pipeline.values.section import Section
from pipeline.values.units import USD, Seconds


class Price(Section):
    """US dollars per million tokens."""

    input: USD = Field(ge=0)
    cached_input: USD | None = Field(None, ge=0)
    output: USD = Field(ge=0)

    def times(self, share: float) -> Price:
        """Return a share of this price."""
        cached = None if self.cached_input is None else self.cached_input * share
        return Price(input=self.input * share, cached_input=cached, output=self.output * share)


class WeightedModel(Section):
    """One of several models that share the writing; its price goes before the writer's and the shipped list's."""

    model: str = Field(min_length=1)
    weight: float = Field(1.0, gt=0)
    price: Price | None = None


class Writer(Section):
    """The LLM that writes topics, scenarios and dialogues.

    Attributes:
        engine: ``embedded`` runs a locked model in this process; ``openai`` calls an endpoint of that protocol;
            ``none`` writes nothing, which is what a corpus of taken texts has.
        model: The model's name at the endpoint, or in the model lock.
        models: In its place, several of one endpoint with weights; which of them writes a record follows from its id.
        style: ``whole`` asks for a dialogue in one structured answer, ``turns`` for one constrained answer a turn,
            which is what small models manage. Follows from the engine unless stated.
        max_tries: Answers asked for before a record fails.
        structured: How the endpoint is told the schema of an answer; ``auto`` finds out by one small call.
        requests_per_minute, tokens_per_minute: Caps for each model, over all processes of a run.
        base_url, api_key_env, structured, in_flight, timeout_seconds, threads and the caps: how the model is reached
            and how hard it is driven. They change no output and are no part of the fingerprint.
        mode: ``batch`` hands requests in as files and waits hours for answers at half the price (the Batch API of the
            OpenAI protocol); a run that is stopped meanwhile goes on waiting when it is run again.
        batch_poll_seconds: Time between two looks at batches.
        price: Overrides the shipped price list; a call in a batch costs half of it.
    """

    engine: Literal["embedded", "openai", "none"]
    model: str | None = Field(None, min_length=1)
    models: tuple[WeightedModel, ...] = ()
    style: Literal["whole", "turns"] | None = None
    temperature: float = Field(0.8, ge=0, le=2)
    top_p: float = Field(0.95, gt=0, le=1)
    repeat_penalty: float = Field(1.0, ge=1, le=2)
    max_tries: int = Field(4, ge=1, le=20)
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    structured: Literal["auto", "json_schema", "json_object", "text"] = "auto"
    requests_per_minute: float | None = Field(None, gt=0)
    tokens_per_minute: float | None = Field(None, gt=0)
    in_flight: int | None = Field(None, ge=1, le=4096)
    timeout_seconds: Seconds = Field(120, gt=0)
    threads: int | None = Field(None, ge=1)
    mode: Literal["calls", "batch"] = "calls"
    batch_poll_seconds: Seconds = Field(60, gt=0)
    price: Price | None = None

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, address: str | None) -> str | None:
        return address if address is None else check_address(address)

    @field_validator("api_key_env")
    @classmethod
    def _names_a_variable(cls, name: str) -> str:
        return check_variable(name)

    @model_validator(mode="after")
    def _names_its_models(self) -> Writer:
        if self.engine == "none":
            if self.model or self.models:
                raise ValueError("engine none writes nothing; state no model")
            return self
        if (self.model is None) == (not self.models):
            raise ValueError("state either model, or models with weights")
        if self.models and self.engine == "embedded":
            raise ValueError("models: the embedded engine holds one model; state model")
        if self.mode == "batch" and self.engine == "embedded":
            raise ValueError("mode: only an endpoint takes batches; state engine: openai, or mode: calls")
        names = [entry.model for entry in self.models]
        if len(set(names)) != len(names):
            raise ValueError(f"models names {max(names, key=names.count)!r} twice")
        return self

    @property
    def blend(self) -> tuple[WeightedModel, ...]:
        """All models that write, with their weights."""
        if self.engine == "none":
            return ()
        return self.models or (WeightedModel(model=self.model or "", price=self.price),)

    @property
    def effective_style(self) -> Literal["whole", "turns"]:
        """The style stated, or the one that suits the engine."""
        return self.style or ("turns" if self.engine == "embedded" else "whole")

    @property
    def records_in_flight(self) -> int:
        """Records that are written at the same time; each has one call in flight.

        For an endpoint that is a bound and not a target: the pace finds out what it bears.
        """
        if self.in_flight is not None:
            return self.in_flight
        return 4 if self.engine == "embedded" else 256 if self.mode == "calls" else 4096

    def fingerprint(self, model: str) -> dict[str, Any]:
        """What changes the words of a record: the model that writes it and how it samples, not how it is reached."""
        return {
            "engine": self.engine,
            "model": model,
            "style": self.effective_style,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "repeat_penalty": self.repeat_penalty,
            "max_tries": self.max_tries,
        }
