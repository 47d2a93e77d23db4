"""Which items of a batch may go through a network together without changing each other."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from pipeline.adapters.music import Piece

if TYPE_CHECKING:
    from pipeline.adapters.audio import Samples

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


def make_in_groups(
    pieces: Sequence[Piece],
    prompts: Iterable[Prompts],
    sample: Callable[[Sequence[Piece], Prompts], Sequence[torch.Tensor]],
    decode: Callable[[torch.Tensor], Sequence[Samples]],
) -> list[Samples]:
    """Have every group of prompts sampled and every group of codes decoded.

    Args:
        sample: Returns (num_codebooks, num_frames) of codes a piece of the group.
        decode: Takes (num_items, num_codebooks, num_frames), returns (num_frames, num_channels) of samples an item.

    Returns:
        Samples a piece, in the order of the pieces.
    """
    made: dict[int, Samples] = {}
    codes: dict[int, torch.Tensor] = {}
    for group in prompts:
        codes.update(zip(group.places, sample([pieces[place] for place in group.places], group), strict=True))
    for places, together in group_codes(codes):
        made.update(zip(places, decode(together), strict=True))
    return [made[place] for place in range(len(pieces))]


def describe_pieces(pieces: Sequence[Piece]) -> str:
    """Say what does not fit into memory where it does not."""
    return f"{len(pieces)} pieces of music of up to {max(piece.duration for piece in pieces):g} s"
