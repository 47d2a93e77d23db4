from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from examples.train_tiny import Ids, main, read_texts
from pipeline.adapters.decoding import decode_picture, decode_sound
from pipeline.adapters.exports.anygpt import read_speller
from tests.support.corpora import TinyCorpus
from tests.support.exporting import export_to
from tests.support.tiny_tokenizers import SIDE, options_for, save_tiny_tokenizer


def test_a_decoder_learns_from_the_rows_and_answers_with_media(
    tiny: TinyCorpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    used = {"image": "vq-image", "speech": "dac"}
    chosen = {kind: options_for(save_tiny_tokenizer(tmp_path / name, name), name) for kind, name in used.items()}
    out = tmp_path / "out"
    export_to(tiny.root, out, "anygpt", {**chosen, "music": "words"}, splits={"train": 0.5, "test": 0.5})
    ids = Ids(read_speller(out), (out / "vocabulary.txt").read_text(encoding="utf-8").splitlines())
    for text in read_texts(out, is_train=False):
        assert ids.decode(ids.encode(text)) == text
    sizes = ["--steps=20", "--context=320", "--batch=4", "--width=48", "--layers=1", f"--media={tmp_path / 'reply'}"]
    assert main([str(out), *sizes, *(f"--option={kind}={json.dumps(some)}" for kind, some in chosen.items())]) == 0
    losses = [float(loss) for loss in re.findall(r"held-out loss ([\d.]+)", capsys.readouterr().out)]
    assert len(losses) == 11
    assert losses[-1] < losses[0] - 0.5
    assert decode_picture((tmp_path / "reply" / "image.png").read_bytes()).size == (SIDE, SIDE)
    samples, _ = decode_sound((tmp_path / "reply" / "speech.flac").read_bytes())
    assert len(samples) > 0


def test_an_export_without_a_split_that_is_held_out_is_told(tmp_path: Path) -> None:
    (tmp_path / "train-00000.jsonl").write_text('{"text": "x"}\n')
    with pytest.raises(SystemExit, match="has no rows of a split that is held out; export with --split"):
        read_texts(tmp_path, is_train=False)
