"""Tiny random models in coqui's own format: a VITS of three speakers, and an XTTS with one ready-made voice.

They speak noise, in lengths that speech could have. Nothing here touches torch's global generator.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SPEAKERS = ("p225", "p226", "p360")
READY_MADE = "Ada Example"
SAMPLE_RATE = 22_050

_VITS_SIZES = {
    "hidden_channels": 32,
    "hidden_channels_ffn_text_encoder": 64,
    "num_layers_text_encoder": 1,
    "num_layers_posterior_encoder": 1,
    "num_layers_flow": 1,
    "upsample_initial_channel_decoder": 16,
    "speaker_embedding_channels": 16,
    "use_speaker_embedding": True,
    "init_discriminator": False,
}


def write_tiny_vits(folder: Path, *, sizes: Mapping[str, Any] = _VITS_SIZES, **changes: Any) -> Path:
    """Write config.json, model.pth and speakers.pth (1 MB in all); ``changes`` go into the config's top level.

    Args:
        sizes: Of the model's parts, as coqui's ``VitsArgs`` name them; a full-size one takes 150 MB.
    """
    import torch
    from TTS.tts.configs.vits_config import VitsConfig
    from TTS.tts.models.vits import Vits
    from TTS.tts.utils.text.characters import IPAPhonemes

    folder.mkdir(parents=True)
    torch.save({name: number for number, name in enumerate(SPEAKERS)}, folder / "speakers.pth")
    settings: dict[str, Any] = {
        "model": "vits",
        "text_cleaner": "phoneme_cleaners",
        "characters": {
            **IPAPhonemes().to_config().to_dict(),
            "characters_class": "TTS.tts.utils.text.characters.IPAPhonemes",
        },
        "use_speaker_embedding": True,
        "model_args": {**sizes, "speakers_file": str(folder / "speakers.pth")},
    }
    config = VitsConfig()
    config.from_dict(settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = Vits(config)
    with torch.no_grad():
        # Random weights whisper; this is as loud as speech.
        model.waveform_decoder.conv_post.weight.mul_(2.0)
    torch.save({"model": model.state_dict(), "step": 1}, folder / "model.pth")
    # As a config looks that was written on its trainer's machine.
    settings["model_args"]["speakers_file"] = "/training/run-7/speakers.pth"
    settings["speakers_file"] = "/training/run-7/speakers.pth"
    (folder / "config.json").write_text(json.dumps({**settings, **changes}), encoding="utf-8")
    return folder


def write_tiny_xtts(folder: Path) -> Path:
    """Write config.json, vocab.json, model.pth and speakers_xtts.pth (90 MB: its decoder has but one size)."""
    import torch
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.models.xtts import Xtts

    folder.mkdir(parents=True)
    signs = ["[STOP]", "[UNK]", "[SPACE]", "[START]", "[en]", "[de]", *string.ascii_lowercase, *".,!?'"]
    specials = [
        {"id": number, "content": sign, "special": True} | dict.fromkeys(_ADDED, False)
        for number, sign in enumerate(signs[:6])
    ]
    vocabulary = {
        "version": "1.0",
        "added_tokens": specials,
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {
            "type": "BPE",
            "unk_token": "[UNK]",
            "vocab": {sign: number for number, sign in enumerate(signs)},
            "merges": [],
        },
    }
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    settings = {
        "model": "xtts",
        "languages": ["en", "de"],
        "model_args": {
            "gpt_layers": 1,
            "gpt_n_model_channels": 64,
            "gpt_n_heads": 2,
            "gpt_max_audio_tokens": 12,
            "gpt_max_text_tokens": 120,
            "gpt_num_audio_tokens": 66,
            "gpt_start_audio_token": 64,
            "gpt_stop_audio_token": 65,
            "gpt_number_text_tokens": len(signs),
            "gpt_start_text_token": signs.index("[START]"),
            "gpt_stop_text_token": 0,
            "gpt_use_perceiver_resampler": True,
            "decoder_input_dim": 64,
        },
    }
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    config = XttsConfig()
    config.from_dict(settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = Xtts(config)
        voice = {"gpt_cond_latent": torch.randn(1, 32, 64), "speaker_embedding": torch.randn(1, 512, 1)}
    with torch.no_grad():
        model.hifigan_decoder.waveform_decoder.conv_post.weight.mul_(2.0)
        # Without a token that ends it, an utterance is as long as it may be.
        model.gpt.mel_head.bias[65] = -1e4
    torch.save({"model": model.state_dict()}, folder / "model.pth")
    torch.save({READY_MADE: voice}, folder / "speakers_xtts.pth")
    return folder


_ADDED = ("single_word", "lstrip", "rstrip", "normalized")
