"""A random MusicGen as audiocraft keeps it: two checkpoints, with a T5 and an EnCodec for transformers beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from pipeline.adapters.renderers.audiocraft.stand_ins import standing_in
from tests.support.tiny_musicgen import PIECES, VOCABULARY, make_codec_config, make_tokenizer, make_waves_audible

CONFIG = """
lm_model: transformer_lm
device: cpu
dtype: float32
dataset: {segment_duration: 30}
transformer_lm:
  {dim: 32, num_heads: 4, num_layers: 2, hidden_scale: 2, n_q: NUM_BOOKS, card: 64, causal: true, norm_first: true,
   memory_efficient: true, bias_proj: false, bias_ff: false, bias_attn: false, dropout: 0.1, weight_init: gaussian}
codebooks_pattern: {modeling: delay, delay: {delays: DELAYS, flatten_first: 0, empty_initial: 0}}
interleave_stereo_codebooks: {use: IS_STEREO, per_timestep: false}
classifier_free_guidance: {training_dropout: 0.3, inference_coef: 3.0}
attribute_dropout: {}
fuser:
  {cross_attention_pos_emb: false, cross_attention_pos_emb_scale: 1, sum: [], prepend: [], cross: [description],
   input_interpolate: []}
conditioners:
  args: {merge_text_conditions_p: 0.25, drop_desc_p: 0.5}
  description: {model: t5, t5: {name: t5-small, finetune: false, word_dropout: 0.2, normalize_text: false}}
"""
T5_WIDTH = 512
"""audiocraft knows the width of t5-small by heart."""


def save_tiny_audiocraft(folder: Path, is_stereo: bool = False, seed: int = 0) -> Path:
    """Write the checkpoints, and ``t5`` and ``codec`` into folders within; returns the folder."""
    with standing_in(), torch.random.fork_rng(devices=[]):
        from audiocraft.models import builders
        from audiocraft.models.loaders import OmegaConf
        from audiocraft.modules import conditioners

        torch.manual_seed(seed)
        _save_parts(folder)
        delays = [0, 0, 1, 1, 2, 2, 3, 3] if is_stereo else [0, 1, 2, 3]
        text = CONFIG.replace("DELAYS", str(delays)).replace("NUM_BOOKS", str(len(delays)))
        text = text.replace("IS_STEREO", str(is_stereo).lower())
        former = conditioners.T5Tokenizer, conditioners.T5EncoderModel
        conditioners.T5Tokenizer = _Local(transformers.AutoTokenizer, folder / "t5")
        conditioners.T5EncoderModel = _Local(transformers.T5EncoderModel, folder / "t5")
        try:
            model = builders.get_lm_model(OmegaConf.create(text))
        finally:
            conditioners.T5Tokenizer, conditioners.T5EncoderModel = former
        with torch.no_grad():
            for weights in model.parameters():
                if weights.dim() > 1:
                    weights.normal_(0.0, 0.25)
    torch.save({"best_state": model.state_dict(), "xp.cfg": text, "version": "1.3.0"}, folder / "state_dict.bin")
    torch.save({"pretrained": "facebook/encodec_32khz"}, folder / "compression_state_dict.bin")
    return folder


class _Local:
    """Takes what is asked for by name from a folder."""

    def __init__(self, kind: Any, folder: Path) -> None:
        self._kind, self._folder = kind, folder

    def from_pretrained(self, name: str) -> Any:
        return self._kind.from_pretrained(self._folder)


def _save_parts(folder: Path) -> None:
    config = transformers.T5Config(
        vocab_size=len(PIECES), d_model=T5_WIDTH, d_kv=8, d_ff=16, num_layers=1, num_heads=2, feed_forward_proj="relu"
    )
    transformers.T5EncoderModel(config).save_pretrained(folder / "t5")
    make_tokenizer().save_pretrained(folder / "t5")
    codec = transformers.EncodecModel(make_codec_config())
    make_waves_audible(codec)
    codec.save_pretrained(folder / "codec")
    assert codec.config.codebook_size == VOCABULARY
