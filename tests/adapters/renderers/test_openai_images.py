"""Pictures of an endpoint: what is asked for, what is made of the answer, and what a manifest may state."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from pipeline.adapters.renderers.openai_images import PLUGIN, OpenAIImagesOptions
from pipeline.contracts.remote import CallSetting, MediaAnswer, RemotePlugin
from pipeline.contracts.render import EditsPictures, ImageFacts, Outcome, Render, RenderFailure, Source
from pipeline.values.errors import ChatFailure
from pipeline.values.ids import sha256_hex
from pipeline.values.render_sections import ImageSection
from tests.support.fault_server import KEY, FaultServer, error, says
from tests.support.media_server import calling, image_brief, images_body, paint, picture

FOX = picture()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)


def call(server: FaultServer, **options: Any) -> MediaAnswer:
    async def run() -> MediaAnswer:
        async with calling(server, PLUGIN, **options) as renderer:
            return await renderer.call(image_brief())

    return asyncio.run(run())


def asked(**options: Any) -> dict[str, Any]:
    server = FaultServer(FOX)
    call(server, **options)
    return server.bodies[0]


def finish(data: bytes, side: tuple[int, int] = (64, 64), **options: Any) -> Outcome:
    renderer = PLUGIN.load(OpenAIImagesOptions.model_validate({"model": "m", **options}), None)  # type: ignore[arg-type]
    return renderer.finish(image_brief(width=side[0], height=side[1]), data)  # type: ignore[attr-defined, no-any-return]


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind)
    return buffer.getvalue()


def test_what_is_not_stated_is_not_sent() -> None:
    body = {"model": "m", "prompt": "a red fox", "n": 1, "size": "64x64"}
    assert asked() == {**body, "response_format": "b64_json"}
    assert asked(model="gpt-image-1.5", size="1024x1024") == body | {"model": "gpt-image-1.5", "size": "1024x1024"}
    assert asked(response_format="unstated") == body


def test_what_is_stated_is_sent() -> None:
    stated = {"quality": "hd", "style": "vivid", "background": "opaque", "moderation": "low", "response_format": "url"}
    body = asked(**stated, send_seed=True, extra={"steps": 30})
    assert {name: body[name] for name in stated} == stated
    assert (body["seed"], body["steps"]) == (11, 30)


def test_an_answer_states_what_is_known_of_it() -> None:
    usage = {"input_tokens": 10, "output_tokens": 272, "total_tokens": 282}
    price = {"pictures": {"low": {"64x64": 0.5}}, "tokens": {"input": 5, "output": 40}}
    body = images_body(revised_prompt="a red fox in snow") | {"usage": usage}
    answer = call(FaultServer(says(body, **{"x-request-id": "req-9"})), quality="low", price=price)
    assert answer.data == paint("a red fox")
    assert answer.notes == {"request_id": "req-9", "revised_prompt": "a red fox in snow", "created": 1_790_000_000}
    assert answer.usd == pytest.approx((10 * 5 + 272 * 40) / 1e6)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (10, 272)
    assert answer.model == "m"


def test_a_picture_behind_an_address_is_fetched() -> None:
    url = "http://127.0.0.1:1/a.png"
    answer = call(FaultServer(picture(b64_json=None, url=url)), price={"picture": 0.04})
    assert (answer.data, answer.url, answer.usd) == (None, url, 0.04)


def source_of(data: bytes) -> Source:
    return Source(asset="d-00-00-a0", sha256=sha256_hex(data), text="a red fox", seed=3, load=lambda: data)


def edit(server: FaultServer, data: bytes, **options: Any) -> MediaAnswer:
    async def run() -> MediaAnswer:
        async with calling(server, PLUGIN, edits=True, **options) as renderer:
            return await renderer.call(image_brief("a red fox at night", source=source_of(data)))

    return asyncio.run(run())


def test_a_picture_that_changes_another_is_sent_with_it_and_again_where_another_moment_may_help() -> None:
    fox = encoded(Image.open(io.BytesIO(paint("a fox"))), "WEBP")
    server = FaultServer(error(500), error(429, **{"Retry-After": "0"}), FOX)
    answer = edit(server, fox, quality="low", style="vivid", moderation="low", extra={"steps": 30, "hd": True})
    assert answer.data == paint("a red fox")
    first, second, third = server.bodies
    assert first == second == third
    assert third.pop("image") == fox
    assert third == {
        "model": "m",
        "prompt": "a red fox at night",
        "n": "1",
        "size": "64x64",
        "quality": "low",
        "response_format": "b64_json",
        "steps": "30",
        "hd": "true",
    }


def test_a_source_that_is_no_picture_is_never_sent() -> None:
    server = FaultServer(FOX)
    with pytest.raises(ChatFailure) as caught:
        edit(server, b"no picture")
    assert (caught.value.code, server.bodies) == ("bad_source", [])


def test_what_is_journalled_of_an_edit_names_its_source_and_holds_none_of_its_bytes() -> None:
    options = OpenAIImagesOptions(model="gpt-image-1.5", input_fidelity="high")
    renderer = PLUGIN.open(options, CallSetting())
    brief = image_brief(source=source_of(b"x"))
    described = renderer.describe(brief)
    assert (described["image"], described["input_fidelity"]) == (f"sha256 {sha256_hex(b'x')}", "high")
    assert renderer.bound(brief) > renderer.bound(image_brief()) > 0
    made = renderer.finish(brief, paint("a"))
    assert isinstance(made, Render)
    assert made.is_edit


def test_edits_are_of_models_that_are_known_for_them_unless_the_manifest_says() -> None:
    def described(**options: Any) -> Any:
        return PLUGIN.describe_edits(OpenAIImagesOptions.model_validate(options))

    assert isinstance(PLUGIN, EditsPictures)
    assert described(model="dall-e-3") is None
    assert described(model="gpt-image-1.5") == {"input_fidelity": None}
    assert described(model="gpt-image-1.5", edits=False) is None
    assert described(model="own", edits=True, input_fidelity="low") == {"input_fidelity": "low"}


def test_tokens_of_a_picture_that_was_sent_are_told_apart() -> None:
    usage = {
        "input_tokens": 400,
        "output_tokens": 272,
        "input_tokens_details": {"text_tokens": 50, "image_tokens": 350},
    }
    price = {"picture": 1, "tokens": {"input": 5, "output": 40}, "source_tokens": 8}
    answer = edit(FaultServer(says(images_body() | {"usage": usage})), paint("a fox"), price=price)
    assert answer.usd == pytest.approx((50 * 5 + 350 * 8 + 272 * 40) / 1e6)


def test_a_larger_picture_is_scaled_down_and_a_smaller_one_kept() -> None:
    large = finish(paint("a", "96x128"))
    assert isinstance(large, Render)
    assert large.facts == ImageFacts(width=64, height=64)
    assert large.notes == {"scaled_from": "96x128"}
    small = finish(paint("a", "32x32"))
    assert isinstance(small, Render)
    assert (small.facts, small.notes) == (ImageFacts(width=32, height=32), {})
    free = finish(paint("a", "96x128"), size="auto")
    assert isinstance(free, Render)
    assert free.facts == ImageFacts(width=96, height=128)


def test_transparency_is_kept_where_it_was_asked_for() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 4), dtype=np.uint8)
    data = encoded(Image.fromarray(pixels))
    kept, laid = finish(data, background="transparent", extension="png"), finish(data, extension="png")
    assert isinstance(kept, Render)
    assert isinstance(laid, Render)
    assert Image.open(io.BytesIO(kept.data)).mode == "RGBA"
    assert Image.open(io.BytesIO(laid.data)).mode == "RGB"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (paint("a")[:-500], "undecodable"),
        (b"<html>It works!</html>", "undecodable"),
        (b"", "undecodable"),
        (encoded(Image.new("RGB", (64, 64), "red")), "blank"),
        (encoded(Image.new("P", (9000, 9000))), "undecodable"),
    ],
)
def test_what_is_no_picture_fails_its_gate(data: bytes, code: str) -> None:
    outcome = finish(data)
    assert isinstance(outcome, RenderFailure)
    assert outcome.code == code
    assert "i0" in outcome.message


def test_nothing_is_paid_for_a_brief_that_says_nothing() -> None:
    renderer = PLUGIN.load(OpenAIImagesOptions(model="m", base_url="http://127.0.0.1:9/v1"), None)  # type: ignore[arg-type]
    [outcome] = renderer.render([image_brief(" \n")])
    assert isinstance(outcome, RenderFailure)
    assert outcome.code == "bad_brief"


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"model": "m", "base_url": "words"},
        {"model": "m", "base_url": "http://user:pass@host/v1"},
        {"model": "m", "api_key_env": "sk-123"},
        {"model": "m", "extra": {"prompt": "x"}},
        {"model": "m", "size": "0x10"},
        {"model": "m", "background": "transparent", "extension": "jpg"},
        {"model": "m", "price": {}},
    ],
)
def test_options_that_cannot_be_are_refused(stated: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OpenAIImagesOptions.model_validate(stated)


def test_a_size_that_the_model_does_not_make_is_said_before_anything_is_spent() -> None:
    def said(width: int, height: int, **options: Any) -> dict[str, str]:
        section = ImageSection(renderer="openai-images", width=width, height=height)
        return dict(PLUGIN.refuse_section(OpenAIImagesOptions.model_validate(options), section))

    assert "makes 1024x1024" in said(512, 512, model="gpt-image-1.5")["width"]
    assert said(512, 512, model="gpt-image-1.5", size="1024x1024") == {}
    assert said(512, 512, model="gpt-image-1.5", size="auto") == {}
    assert "smaller than" in said(2048, 512, model="gpt-image-1.5", size="1024x1024")["options.size"]
    assert "not 640x480" in said(512, 480, model="dall-e-3", size="640x480")["options.size"]
    assert said(640, 480, model="of-my-own") == {}


def test_what_is_reached_and_paid_is_no_part_of_the_fingerprint() -> None:
    idle = {
        name
        for name, field in OpenAIImagesOptions.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("changes_output") is False
    }
    assert {"base_url", "api_key_env", "in_flight", "timeout_seconds", "price", "response_format"} <= idle
    assert not idle & {"model", "quality", "style", "background", "size", "extra", "extension", "send_seed"}


def test_the_plugin_says_what_it_costs() -> None:
    assert isinstance(PLUGIN, RemotePlugin)
    priced = OpenAIImagesOptions(model="dall-e-3", quality="standard", size="1024x1024")
    assert PLUGIN.expect_cost(priced, image_brief()) == 0.04
    assert PLUGIN.price(OpenAIImagesOptions(model="nobody-knows")) is None
    assert PLUGIN.expect_cost(OpenAIImagesOptions(model="nobody-knows"), image_brief()) == 0.0
