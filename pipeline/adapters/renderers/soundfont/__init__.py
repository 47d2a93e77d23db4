"""Music drafts: a description is read, arranged for General MIDI instruments and played through a soundfont.

Importing this package reads no vocabulary and imports neither numpy nor a synthesiser; :meth:`load` does.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence

from pydantic import Field, model_validator

from pipeline.adapters.audio import AudioExtension
from pipeline.adapters.music import refuse_length
from pipeline.adapters.sound_options import Quality, check_quality
from pipeline.contracts.render import Brief, Licence, ModelFiles, Renderer, RendererOptions
from pipeline.values.records import Modality
from pipeline.values.render_sections import RendererChoice
from pipeline.values.units import Hertz, Seconds

PACKAGES = {"numpy": "numpy", "pretty_midi": "pretty_midi", "tinysoundfont": "tinysoundfont", "soundfile": "soundfile"}
DEFAULT_DURATION: Seconds = 10.0


class SoundfontOptions(RendererOptions):
    """What a manifest can set.

    Attributes:
        sample_rate: Frames per second of the file; 32 kHz is what music tokenisers (EnCodec, MusicGen) work at. MP3 and
            Opus take some rates only, see ``SoundFileOptions``, and make of 32 kHz 32 and 48.
        quality: Of MP3 and Opus, as there.
        soundfont: Path of another General MIDI soundfont (.sf2); its licence then is the user's to know.
        max_duration: Seconds; a brief that asks for more fails.
    """

    sample_rate: Hertz = Field(default=32_000, ge=8_000, le=48_000)
    format: AudioExtension = "flac"
    quality: Quality = None
    soundfont: str | None = None
    max_duration: Seconds = Field(default=300.0, gt=0, le=1_200)

    @model_validator(mode="after")
    def _quality_is_of_lossy_files(self) -> SoundfontOptions:
        check_quality(self.format, self.quality)
        return self


class SoundfontPlugin:
    """General MIDI arrangements after a description, on any processor.

    Its output is a sketch: the genre, tempo, key and instruments are what the words say, the sound is that of a small
    soundfont.
    """

    name = "soundfont"
    version = "1"
    modality = Modality.MUSIC
    is_draft = True
    options: type[RendererOptions] = SoundfontOptions

    def models(self, options: SoundfontOptions) -> Sequence[str]:
        """Name no locked model: the soundfont comes with pretty_midi or from a path."""
        return ()

    def licences(self, options: SoundfontOptions) -> Mapping[str, Licence]:
        """Licence of the soundfont.

        TimGM6mb is GPL-2.0 (Debian's copyright file of timgm6mb-soundfont; Tim Brechbill, David Bolton). It carries
        no exception for recordings made with it.
        """
        if options.soundfont is not None:
            return {"soundfont": "LicenseRef-user-supplied"}
        return {"TimGM6mb": "GPL-2.0-only"}

    def is_commercial_use_allowed(self, options: SoundfontOptions) -> bool:
        """GPL-2.0 allows it; a soundfont of the user's own is the user's to judge."""
        return True

    def missing(self) -> str | None:
        """Name the first Python package that is not installed."""
        for module, package in PACKAGES.items():
            if importlib.util.find_spec(module) is None:
                extra = " --no-deps" if package == "tinysoundfont" else ""
                return f"the music renderer needs the package {package}: pip install{extra} {package}"
        return None

    def refuse_section(self, options: SoundfontOptions, section: RendererChoice) -> Mapping[str, str]:
        """Refuse pieces that are longer than the options allow."""
        return refuse_length(section, self.name, options.max_duration)

    def estimate(self, options: SoundfontOptions, brief: Brief) -> Seconds:
        """Measured on one core of a two-core server: about 0.03 s per second of stereo at 32 kHz, and 0.05 s."""
        wanted = DEFAULT_DURATION if brief.duration is None else brief.duration
        seconds = wanted if math.isfinite(wanted) and wanted > 0 else 0.0
        return 0.05 + 0.03 * min(seconds, options.max_duration) * options.sample_rate / 32_000

    def load(self, options: SoundfontOptions, models: ModelFiles) -> Renderer:
        """Read the vocabulary and the soundfont."""
        from pipeline.adapters.renderers.soundfont.renderer import SoundfontRenderer

        return SoundfontRenderer(options)


PLUGIN = SoundfontPlugin()
