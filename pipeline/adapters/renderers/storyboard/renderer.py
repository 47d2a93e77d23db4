"""The storyboard renderer: brief in, encoded picture out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.adapters.images import encode_image
from pipeline.adapters.provenance import describe_software
from pipeline.adapters.renderers.storyboard.draw import rasterise, stylise
from pipeline.adapters.renderers.storyboard.finding import Finder
from pipeline.adapters.renderers.storyboard.icons import IconSet
from pipeline.adapters.renderers.storyboard.parse import read_description
from pipeline.adapters.renderers.storyboard.scene import compose
from pipeline.adapters.renderers.storyboard.sizes import refuse_size
from pipeline.adapters.renderers.storyboard.subjects import keep_setting
from pipeline.adapters.renderers.storyboard.vocabulary import load_vocabulary
from pipeline.contracts.render import Brief, ImageFacts, ModelFiles, Render, RenderFailure
from pipeline.values.ids import derive_random
from pipeline.values.records import Modality
from pipeline.values.units import Pixels

if TYPE_CHECKING:
    from pipeline.adapters.renderers.storyboard import StoryboardOptions

DEFAULT_SIDE: Pixels = 512


class StoryboardRenderer:
    """Renders image briefs one by one; the same brief gives the same bytes."""

    def __init__(self, options: StoryboardOptions, models: ModelFiles) -> None:
        """Read vocabulary, icons and keywords; raises ModelFileError where a file is missing or damaged."""
        self._options = options
        self._vocabulary = load_vocabulary()
        self._icons = IconSet(models.path("noto-emoji"))
        self._finder = Finder(
            self._icons,
            self._vocabulary.things.values(),
            models.path("emojilib"),
            models.path("emojibase-data"),
            models.path("minilm-l6-v2-int8") if options.sentence_model else None,
        )

    def render(self, briefs: Sequence[Brief]) -> list[Render | RenderFailure]:
        """Return one outcome per brief, in order."""
        return [self._render_one(brief) for brief in briefs]

    def provenance(self) -> Mapping[str, str]:
        """The libraries that draw and encode."""
        return describe_software("resvg-py", "pillow", "onnxruntime")

    def _render_one(self, brief: Brief) -> Render | RenderFailure:
        width = DEFAULT_SIDE if brief.width is None else brief.width
        height = DEFAULT_SIDE if brief.height is None else brief.height
        refusal = _refuse(brief, width, height)
        if refusal is not None:
            return refusal
        reading = read_description(brief.text, self._vocabulary, self._finder)
        seed = brief.seed
        if brief.source is not None:
            # The same scene again: what was drawn by chance is drawn as it was, and what is left unsaid stays.
            seed = brief.source.seed
            keep_setting(reading, read_description(brief.source.text, self._vocabulary, self._finder))
        named = [subject.word for subject in reading.subjects]
        scene = compose(reading, self._vocabulary, self._icons, seed, width / height)
        try:
            image = rasterise(scene.svg, width, height)
        except ValueError as exc:
            return RenderFailure(
                code="unpaintable", message=f"brief {brief.id}: the composed picture is refused: {exc}"
            )
        image = stylise(image, reading.style, derive_random(seed, "storyboard", "paper"))
        return Render(
            data=encode_image(image, self._options.format, self._options.quality),
            extension=self._options.format,
            facts=ImageFacts(width=width, height=height),
            notes={
                "subjects": named,
                "place": scene.place,
                "time": scene.time,
                "weather": scene.weather,
                "style": reading.style,
                "pictures": [picture.removeprefix("~") for picture in scene.pictures],
            },
            is_edit=brief.source is not None,
        )


def _refuse(brief: Brief, width: Pixels, height: Pixels) -> RenderFailure | None:
    if brief.modality is not Modality.IMAGE:
        return RenderFailure(
            code="bad_brief", message=f"brief {brief.id}: modality is {brief.modality}, must be {Modality.IMAGE}"
        )
    if why := refuse_size(width, height):
        return RenderFailure(code="bad_brief", message=f"brief {brief.id}: {why}")
    return None
