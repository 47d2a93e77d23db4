from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image, ImageStat

from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.renderers.storyboard import PLUGIN, StoryboardOptions
from pipeline.adapters.renderers.storyboard.parse import read_description
from pipeline.adapters.renderers.storyboard.subjects import Reading
from pipeline.adapters.renderers.storyboard.vocabulary import load_vocabulary
from pipeline.contracts.render import Brief, ImageFacts, Render, Renderer, RenderFailure
from pipeline.values.errors import ModelFileError
from pipeline.values.records import Modality


class Files:
    """Model files in a folder, without looking for them anywhere else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture(scope="module")
def renderer(models: ModelCache) -> Renderer:
    return PLUGIN.load(StoryboardOptions(), models)


def make_brief(text: str, seed: int = 7, side: int = 256, height: int | None = None) -> Brief:
    return Brief(id="b", modality=Modality.IMAGE, text=text, seed=seed, width=side, height=height or side)


def render(renderer: Renderer, *texts: str, seed: int = 7) -> list[Render]:
    outcomes = renderer.render([make_brief(text, seed) for text in texts])
    assert all(isinstance(outcome, Render) for outcome in outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, Render)]


def open_image(outcome: Render) -> Image.Image:
    return Image.open(io.BytesIO(outcome.data)).convert("RGB")


def mean_rgb(outcome: Render) -> Sequence[float]:
    return ImageStat.Stat(open_image(outcome)).mean


def read(text: str) -> Reading:
    return read_description(text, load_vocabulary(), lambda noun: None)


def test_the_seed_varies_the_layout(renderer: Renderer) -> None:
    [one] = render(renderer, "a fox in a forest", seed=1)
    [other] = render(renderer, "a fox in a forest", seed=2)
    assert one.data != other.data
    assert one.notes["subjects"] == other.notes["subjects"] == ["fox"]


@pytest.mark.parametrize(("width", "height"), [(512, 512), (640, 360), (200, 320)])
def test_pictures_have_the_size_of_the_brief_and_are_not_blank(renderer: Renderer, width: int, height: int) -> None:
    [outcome] = renderer.render([make_brief("an old man feeding pigeons in a park", side=width, height=height)])
    assert isinstance(outcome, Render)
    image = open_image(outcome)
    assert image.size == (width, height)
    assert outcome.facts == ImageFacts(width=width, height=height)
    assert max(ImageStat.Stat(image).stddev) > 20


def test_notes_name_what_was_found(renderer: Renderer) -> None:
    [outcome] = render(renderer, "a red tractor and three sheep in a snowy field at dawn")
    assert outcome.notes["subjects"] == ["tractor", "sheep"]
    assert outcome.notes["pictures"] == ["tractor", "ewe"]
    assert (outcome.notes["place"], outcome.notes["time"], outcome.notes["weather"]) == ("field", "dawn", "snow")


def test_night_is_darker_than_day(renderer: Renderer) -> None:
    day, night = render(renderer, "a cottage in a meadow at noon", "a cottage in a meadow at midnight")
    assert sum(mean_rgb(night)) < 0.6 * sum(mean_rgb(day))


def test_a_colour_word_colours_its_thing(renderer: Renderer) -> None:
    red, blue = render(renderer, "a red bicycle on a street", "a blue bicycle on a street")
    assert mean_rgb(red)[0] > mean_rgb(blue)[0] + 1
    assert mean_rgb(blue)[2] > mean_rgb(red)[2] + 1


def test_a_black_and_white_photograph_has_no_colour(renderer: Renderer) -> None:
    [outcome] = render(renderer, "black and white photograph of a girl on a swing")
    assert outcome.notes["style"] == "mono"
    red, green, blue = open_image(outcome).split()
    assert red.tobytes() == green.tobytes() == blue.tobytes()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n\t",
        "qwxz plgh brrt",
        "<script>alert(1)</script><svg><image href='file:///etc/passwd'/></svg> & \"quotes\" ]]> %s {0} $c",
        "красный велосипед у реки 自転車 🚲🚲",
        "a cat " * 20_000,
        "on on on in in of of , , , and and",
        "\u0000\u202e\ud7ff",
        "a cat on a cat on a cat holding a cat in a cat under a cat",
    ],
)
def test_any_text_gives_a_picture(renderer: Renderer, text: str) -> None:
    [outcome] = render(renderer, text)
    assert max(ImageStat.Stat(open_image(outcome)).stddev) > 10
    assert isinstance(outcome.notes["subjects"], list)


def test_outcomes_keep_order_and_count_and_bad_briefs_fail_alone(renderer: Renderer) -> None:
    good = make_brief("a lighthouse")
    briefs = [
        good,
        good.model_copy(update={"id": "m", "modality": Modality.MUSIC}),
        good.model_copy(update={"id": "big", "width": 100_000}),
        good.model_copy(update={"id": "thin", "width": 2_000, "height": 100}),
        good,
    ]
    outcomes = renderer.render(briefs)
    assert [type(outcome) for outcome in outcomes] == [Render, RenderFailure, RenderFailure, RenderFailure, Render]
    assert outcomes[0] == outcomes[4]
    failures = [outcome for outcome in outcomes if isinstance(outcome, RenderFailure)]
    assert [failure.code for failure in failures] == ["bad_brief"] * 3
    assert "big" in failures[1].message and "100000" in failures[1].message


def test_webp_is_an_option() -> None:
    webp = PLUGIN.load(StoryboardOptions(format="webp", quality=60), ModelCache())
    [outcome] = render(webp, "a sailing boat at sunset")
    assert outcome.extension == "webp"
    assert Image.open(io.BytesIO(outcome.data)).format == "WEBP"


def test_every_name_in_the_vocabulary_can_be_drawn() -> None:
    from pipeline.adapters.renderers.storyboard.figures import draw_whole
    from pipeline.adapters.renderers.storyboard.icons import IconSet

    icons, vocabulary = IconSet(ModelCache().path("noto-emoji")), load_vocabulary()
    pictures = {thing.picture for thing in vocabulary.things.values()}
    pictures |= {prop.split()[0] for place in vocabulary.places.values() for prop in place.props}
    pictures |= {name for person in vocabulary.people for name in (person.gear, person.hat) if name}
    undrawn = [
        name for name in pictures if not (name[1:] in vocabulary.shapes if name.startswith("~") else name in icons)
    ]
    assert undrawn == []
    wholes = {person.whole for person in vocabulary.people if person.whole}
    assert [name for name in wholes if draw_whole(name, "f", 2, icons) is None] == []
    homes = {*vocabulary.homes.values(), *(person.home for person in vocabulary.people if person.home)}
    assert homes <= set(vocabulary.places)


def test_a_missing_icon_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="noto-emoji"):
        PLUGIN.load(StoryboardOptions(), Files(tmp_path))


def test_reading_ties_things_together() -> None:
    reading = read("a grey tabby cat on a red armchair beside the stove, two kites above a windy beach")
    words = [subject.word for subject in reading.subjects]
    assert words == ["tabby cat", "red armchair", "stove", "kites"]
    cat, chair, stove, kites = reading.subjects
    assert (cat.relation, cat.to, cat.colour) == ("on", 1, "grey")
    assert (chair.relation, chair.to) == ("beside", 2)
    assert stove.to is None
    assert kites.count == 2
    assert (reading.place, reading.weather) == ("beach", "wind")


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("an old woman in a green coat holding a basket", [("old woman", 1)]),
        ("three boys and a bearded fisherman", [("boys", 3), ("fisherman", 1)]),
        ("a child's bedroom at night", []),
        ("women footballers in yellow", [("footballers", 3)]),
    ],
)
def test_reading_counts_people(text: str, people: list[tuple[str, int]]) -> None:
    subjects = [(subject.word, subject.count) for subject in read(text).subjects if subject.is_person]
    assert subjects == people


def test_a_dish_of_something_is_one_thing() -> None:
    reading = read("a bowl of noodles, a basket of apples")
    pictures = [subject.what.picture for subject in reading.subjects if not subject.is_person]  # type: ignore[union-attr]
    assert pictures == ["steaming-bowl", "basket", "red-apple"]


def test_the_plugin_names_models_and_licences() -> None:
    options = StoryboardOptions()
    assert set(PLUGIN.models(options)) == set(PLUGIN.licences(options)) == {"noto-emoji", "emojilib", "emojibase-data"}
    with_sentences = StoryboardOptions(sentence_model=True)
    assert set(PLUGIN.models(with_sentences)) - set(PLUGIN.models(options)) == {"minilm-l6-v2-int8"}
    assert PLUGIN.missing() is None
    assert 0 < PLUGIN.estimate(options, make_brief("a cat")) < 1
