"""Licences of the models that coqui-tts names, and what their names mean.

Source: the table of models that coqui-tts 0.28 ships (``TTS/.models.json``), for the kinds of model that are driven
here; a test compares the two where coqui-tts is installed. Written down, since a manifest is validated without it.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.contracts.render import Licence

CPML: Licence = "LicenseRef-CPML-1.0"
"""Coqui Public Model License 1.0.0: no commercial use of the model or of what it speaks. It has no SPDX identifier."""

NON_COMMERCIAL = frozenset({CPML, "CC-BY-NC-ND-4.0"})


def _each(licence: Licence, names: str) -> dict[str, Licence]:
    return {f"tts_models/{name}": licence for name in names.split()}


LICENCES: Mapping[str, Licence] = {
    **_each("Apache-2.0", "en/vctk/vits en/ljspeech/vits de/thorsten/vits it/mai_female/vits it/mai_male/vits"),
    **_each("Apache-2.0", "bn/custom/vits-male bn/custom/vits-female"),
    **_each("BSD-3-Clause", "en/ljspeech/vits--neon es/css10/vits fr/css10/vits nl/css10/vits de/css10/vits-neon"),
    **_each("BSD-3-Clause", "hu/css10/vits fi/css10/vits uk/mai/vits pl/mai_female/vits"),
    **_each("BSD-3-Clause", "bg/cv/vits cs/cv/vits da/cv/vits el/cv/vits et/cv/vits ga/cv/vits hr/cv/vits lt/cv/vits"),
    **_each("BSD-3-Clause", "lv/cv/vits mt/cv/vits pt/cv/vits ro/cv/vits sk/cv/vits sl/cv/vits sv/cv/vits"),
    **_each("CC-BY-4.0", "sr/custom/vits ca/custom/vits"),
    **_each("CC-BY-SA-4.0", "ewe/openbible/vits hau/openbible/vits lin/openbible/vits yor/openbible/vits"),
    **_each("CC-BY-SA-4.0", "tw_akuapem/openbible/vits tw_asante/openbible/vits"),
    **_each("CC-BY-NC-ND-4.0", "multilingual/multi-dataset/your_tts"),
    **_each(CPML, "multilingual/multi-dataset/xtts_v2 multilingual/multi-dataset/xtts_v1.1"),
    "coqui/XTTS-v1": CPML,
    "coqui/XTTS-v2": CPML,
    "tts-hub/XTTS-v1": CPML,
    "tts-hub/XTTS-v2": CPML,
}
"""Model name, or hub id, to licence."""
