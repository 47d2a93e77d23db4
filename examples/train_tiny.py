"""Trains a small decoder on the rows of an export to ``anygpt``, on a processor in minutes, and lets it answer.

    anyinstruct export CORPUS OUT --to anygpt --split train=0.8 --split test=0.2 --option image=… --option speech=…
    python examples/train_tiny.py OUT --media FOLDER --option image=… --option speech=…

Words are bytes and every token of ``vocabulary.txt`` is one more id, so nothing is fetched. Prints the loss on
dialogues of the other splits, then a reply to one of them, and writes the media in it as files.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from pipeline.adapters.exports.anygpt import VOCABULARY, read_speller
from pipeline.adapters.exports.token_tables import INDEX
from pipeline.adapters.files import read_json
from pipeline.cli.round_trip import read_choices
from pipeline.contracts.plugins import read_options
from pipeline.values.errors import AnyInstructError
from pipeline.values.token_strings import Alphabet, Speller

NUM_BYTES = 256
SOUND_SECONDS = 1.0
"""Of a sound in a sampled reply; less where the context has no room for it."""
PROMPT_TOKENS = 32
"""Least part of the context that is left to the question."""


class Ids:
    """Text to ids and back: bytes first, then the export's vocabulary."""

    def __init__(self, speller: Speller, vocabulary: Sequence[str]) -> None:
        self._speller = speller
        self._vocabulary = vocabulary
        self.of = {token: NUM_BYTES + index for index, token in enumerate(vocabulary)}

    def __len__(self) -> int:
        return NUM_BYTES + len(self._vocabulary)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        ids: list[int] = []
        for piece, is_token in self._speller.split(text):
            ids += [self.of[piece]] if is_token else piece.encode()
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; bytes that are no UTF-8 become question marks."""
        parts = [self._vocabulary[n - NUM_BYTES].encode() if n >= NUM_BYTES else bytes([n]) for n in ids]
        return b"".join(parts).decode("utf-8", "replace")


@dataclass(frozen=True)
class Setting:
    """Sizes of a training run. The learning rate rises for a tenth of the steps and falls to zero along a cosine."""

    steps: int = 300
    context: int = 512
    batch: int = 8
    width: int = 192
    layers: int = 4
    rate: float = 2e-3
    seed: int = 0


def read_texts(out: Path, is_train: bool) -> list[str]:
    """Return the dialogues of the split ``train``, or of all others."""
    paths = [path for path in sorted(out.glob("*.jsonl")) if path.name.startswith("train-") == is_train]
    texts = [json.loads(line)["text"] for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    if not texts:
        kind = "the split train" if is_train else "a split that is held out"
        raise SystemExit(f"{out}: has no rows of {kind}; export with --split train=0.8 --split test=0.2")
    return texts


def pack(ids: Ids, texts: Sequence[str], context: int) -> torch.Tensor:
    """Return (num_windows, context + 1), dialogues end to end; the last window is filled up from the front."""
    stream = [token for text in texts for token in [*ids.encode(text), ord("\n")]]
    num = max(1, math.ceil((len(stream) - 1) / context))
    while len(stream) < num * context + 1:
        stream += stream[: num * context + 1 - len(stream)]
    return torch.tensor([stream[n * context : (n + 1) * context + 1] for n in range(num)])


def make_model(num_ids: int, setting: Setting) -> LlamaForCausalLM:
    """Return a decoder with random weights, drawn from the setting's seed."""
    torch.manual_seed(setting.seed)
    config = LlamaConfig(
        vocab_size=num_ids,
        hidden_size=setting.width,
        intermediate_size=setting.width * 3,
        num_hidden_layers=setting.layers,
        num_attention_heads=max(1, setting.width // 48),
        max_position_embeddings=setting.context + 1,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
    )
    return LlamaForCausalLM(config)


def measure(model: Any, windows: torch.Tensor) -> float:
    """Return the mean loss of a token, in nats."""
    model.eval()
    with torch.inference_mode():
        losses = [float(model(input_ids=w[None, :-1], labels=w[None, :-1]).loss) for w in windows]
    model.train()
    return float(sum(losses) / len(losses))


def train(model: Any, windows: torch.Tensor, held_out: torch.Tensor, setting: Setting) -> Iterator[tuple[int, float]]:
    """Train, and yield the loss on what is held out ten times on the way, with its step."""
    chance = torch.Generator().manual_seed(setting.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=setting.rate, weight_decay=0.1, betas=(0.9, 0.95))
    yield 0, measure(model, held_out)
    for step in range(1, setting.steps + 1):
        warm = min(1.0, step / max(1, setting.steps // 10))
        fall = 0.5 * (1 + math.cos(math.pi * step / setting.steps))
        for group in optimizer.param_groups:
            group["lr"] = setting.rate * warm * fall
        some = windows[torch.randint(len(windows), (setting.batch,), generator=chance)][:, :-1]
        loss = model(input_ids=some, labels=some).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % max(1, setting.steps // 10) == 0:
            yield step, measure(model, held_out)


def reply(model: Any, ids: Ids, prompt: str, alphabet: Alphabet, num_frames: int, setting: Setting) -> str:
    """Return a sampled reply with one medium in it.

    A small model spells words badly, so the medium is opened for it, and each place takes only units of its layer.
    """
    chance = torch.Generator().manual_seed(setting.seed)
    units = [ids.of[alphabet.unit.format(n)] for n in range(alphabet.size)]
    room = setting.context - PROMPT_TOKENS
    num_units = min(num_frames, room // alphabet.num_layers) * alphabet.num_layers
    told = ids.encode(prompt + alphabet.opening)[-(setting.context - num_units) :]
    begin, new, cache = len(told), list(told), None
    model.eval()
    with torch.inference_mode():
        for place in range(num_units):
            layer = place % alphabet.num_layers
            allowed = torch.tensor(units[layer * alphabet.num_codes : (layer + 1) * alphabet.num_codes])
            answer = model(input_ids=torch.tensor([new]), past_key_values=cache, use_cache=True)
            cache, logits = answer.past_key_values, answer.logits[0, -1, allowed]
            new = [int(allowed[torch.multinomial(logits.softmax(-1), 1, generator=chance)])]
            told += new
    return alphabet.opening + ids.decode(told[begin:]) + alphabet.closing


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, answer and write the media of the answer; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("--media", type=Path, default=Path("reply"), help="folder for the media of the reply")
    parser.add_argument("--option", action="append", default=[], help="kind=tokenizer:model, as the export had it")
    for name in ("steps", "context", "batch", "width", "layers", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Setting, name))
    asked = parser.parse_args(arguments)
    names = ("steps", "context", "batch", "width", "layers", "seed")
    setting = Setting(**{name: getattr(asked, name) for name in names})
    try:
        choices = read_choices(read_options(asked.option))
        speller = read_speller(asked.export)
        index = read_json(asked.export / INDEX)
    except AnyInstructError as exc:
        print(exc, file=sys.stderr)
        return 2
    for kind in choices:
        if (index["tokenizers"][kind]["frames"] or 0) > setting.context - PROMPT_TOKENS:
            need = index["tokenizers"][kind]["frames"] + PROMPT_TOKENS
            raise SystemExit(f"--context {setting.context}: has no room for an {kind}; make it {need} or more")
    ids = Ids(speller, (asked.export / VOCABULARY).read_text(encoding="utf-8").splitlines())
    windows = pack(ids, read_texts(asked.export, is_train=True), setting.context)
    other = read_texts(asked.export, is_train=False)
    model = make_model(len(ids), setting)
    print(f"{model.num_parameters():,} parameters, {windows.numel():,} tokens, {len(other)} dialogues held out")
    for step, loss in train(model, windows, pack(ids, other, setting.context), setting):
        print(f"step {step:5d}  held-out loss {loss:.3f}", flush=True)
    asked.media.mkdir(parents=True, exist_ok=True)
    asking = re.split(re.escape(index["wording"]["end_user"]), other[0])[0] + index["wording"]["end_user"] + "\n"
    for kind, choice in choices.items():
        facts, alphabet = index["tokenizers"][kind], Alphabet.model_validate(index["alphabets"][kind])
        num_frames = facts["frames"] or round(SOUND_SECONDS * facts["frames_per_second"])
        said = reply(model, ids, asking + index["wording"]["assistant"], alphabet, num_frames, setting)
        ((_, codes),) = speller.find_media(said)
        path = asked.media / f"{kind}.{'png' if kind == 'image' else 'flac'}"
        path.write_bytes(choice.open().decode([codes])[0])
        print(f"{kind}: {codes.shape[1]} frames, {len(set(codes.ravel().tolist()))} different codes, {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
