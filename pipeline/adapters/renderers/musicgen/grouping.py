"""Which items of a batch may go through a network together without changing each other."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch

PREFIX_MULTIPLE = 16
"""Where a model attends to the padding of its prompt, the prompt's length changes the music. Such prompts are padded
to a multiple of this, which depends on the prompt alone; training padded them to the longest of a batch."""

DECODED_FRAMES = 3000
"""Most frames that the codec decodes at once: its activations take about 0.5 GB a minute of sound and layer."""


class Prompts(NamedTuple):
    """Tokenised prompts that are encoded together.

    Attributes:
        places: Where in the batch they belong.
        ids, mask: (num_prompts, num_tokens).
    """

    places: list[int]
    ids: torch.Tensor
    mask: torch.Tensor


def group_prompts(tokenizer: Any, texts: Sequence[str], is_padding_seen: bool, device: str) -> Iterator[Prompts]:
    """Tokenise and pad: all together, or by length where the model sees the padding."""
    tokens = tokenizer(list(texts))["input_ids"]
    groups: dict[int, list[int]] = defaultdict(list)
    for place, ids in enumerate(tokens):
        groups[math.ceil(len(ids) / PREFIX_MULTIPLE) * PREFIX_MULTIPLE if is_padding_seen else 0].append(place)
    for width, places in groups.items():
        padded = tokenizer.pad(
            {"input_ids": [tokens[place] for place in places]},
            padding="max_length" if width else "longest",
            max_length=width or None,
            return_tensors="pt",
        ).to(device)
        yield Prompts(places, padded["input_ids"], padded["attention_mask"])


def group_codes(codes: Mapping[int, torch.Tensor]) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Yield places and (num_items, num_codebooks, num_frames) of one length each.

    The codec looks ahead, so an item that were decoded with something after it would end otherwise.
    """
    groups: dict[int, list[int]] = defaultdict(list)
    for place, one in codes.items():
        groups[one.shape[-1]].append(place)
    for length, places in groups.items():
        count = max(1, DECODED_FRAMES // length)
        for start in range(0, len(places), count):
            chosen = places[start : start + count]
            yield chosen, torch.stack([codes[place] for place in chosen])
