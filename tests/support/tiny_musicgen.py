"""A random MusicGen of half a megabyte that is built like the real one: T5, EnCodec at 32 kHz, four delayed codebooks.

It sounds like noise, but its noise depends on the description, the seed and the length, which is what tests ask.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.processors import TemplateProcessing

Kind = Literal["mono", "stereo", "melody"]
VOCABULARY = 64
PIECES = ("<pad>", "</s>", "<unk>", "▁", *string.ascii_lowercase)


def save_tiny_musicgen(folder: Path, kind: Kind = "mono", seed: int = 0) -> Path:
    """Write weights, configuration and tokeniser as a folder of the hub has them; returns the folder."""
    # The global generator is put back: transformers initialises weights from no other.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _make_model(kind)
        _make_audible(model)
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def _make_model(kind: Kind) -> Any:
    text = transformers.T5Config(
        vocab_size=len(PIECES), d_model=24, d_kv=8, d_ff=32, num_layers=2, num_heads=2, feed_forward_proj="relu"
    )
    audio = make_codec_config()
    sizes: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "pad_token_id": VOCABULARY,
        "bos_token_id": VOCABULARY,
        "hidden_size": 32,
        "ffn_dim": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_codebooks": 8 if kind == "stereo" else 4,
        "audio_channels": 2 if kind == "stereo" else 1,
    }
    if kind == "melody":
        melody = transformers.MusicgenMelodyDecoderConfig(**sizes)
        config: Any = transformers.MusicgenMelodyConfig(
            text_encoder=text, audio_encoder=audio, decoder=melody, chroma_length=7
        )
        model: Any = transformers.MusicgenMelodyForConditionalGeneration(config)
    else:
        decoder = transformers.MusicgenDecoderConfig(**sizes)
        config = transformers.MusicgenConfig(text_encoder=text, audio_encoder=audio, decoder=decoder)
        model = transformers.MusicgenForConditionalGeneration(config)
    for key in ("decoder_start_token_id", "pad_token_id", "bos_token_id"):
        setattr(model.generation_config, key, VOCABULARY)
    return model.eval()


def _make_audible(model: Any) -> None:
    """Make up for initial weights so small that every description would sound alike."""
    with torch.no_grad():
        for weights in model.decoder.parameters():
            if weights.dim() > 1:
                weights.normal_(0.0, 0.25)
        for weights in model.text_encoder.parameters():
            if weights.dim() > 1:
                weights.normal_(0.0, 0.3)
    make_waves_audible(model.audio_encoder)


def make_waves_audible(codec: Any) -> None:
    """Fill the codebooks, which are all zeros until they are trained."""
    with torch.no_grad():
        for layer in codec.quantizer.layers:
            layer.codebook.embed.normal_()


def make_codec_config() -> Any:
    """1.2 kbit/s are 4 codebooks of 6 bits at 50 frames a second."""
    return transformers.EncodecConfig(
        target_bandwidths=[1.2],
        sampling_rate=32_000,
        hidden_size=16,
        num_filters=4,
        upsampling_ratios=[8, 5, 4, 4],
        codebook_size=VOCABULARY,
        num_lstm_layers=1,
        use_causal_conv=False,
        use_conv_shortcut=False,
    )


def make_tokenizer() -> Any:
    """A letter a token, and an end."""
    tokenizer = Tokenizer(Unigram([(piece, -1.0) for piece in PIECES], unk_id=2))
    tokenizer.pre_tokenizer = Metaspace()
    tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
