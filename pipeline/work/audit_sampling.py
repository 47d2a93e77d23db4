"""Which dialogues a sampled audit looks at: so many of each cell of the mix as its share, the same ones every time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from math import floor

from pipeline.values.ids import sha256_hex


def draw_sample(dialogues: Iterable[tuple[str, str]], size: int) -> frozenset[str]:
    """Draw a stratified sample.

    Every stratum gives its share by largest remainders, and at least one dialogue where the size allows. Within one,
    those whose hashes come first are taken, so that a larger sample holds nearly all of a smaller one and what was
    measured for that is not measured again.

    Args:
        dialogues: Id and stratum of each.
        size: Dialogues wanted; all are taken where there are no more.
    """
    strata: dict[str, list[str]] = defaultdict(list)
    for name, stratum in dialogues:
        strata[stratum].append(name)
    total = sum(map(len, strata.values()))
    if size >= total:
        return frozenset(name for names in strata.values() for name in names)
    counts = _share_out({stratum: len(names) for stratum, names in strata.items()}, size)
    ranked = {stratum: sorted(names, key=_rank) for stratum, names in strata.items()}
    return frozenset(name for stratum, names in ranked.items() for name in names[: counts[stratum]])


def _rank(name: str) -> str:
    # Salted, since ids are hashes themselves by which a mix draws its cells.
    return sha256_hex(f"audit sample {name}")


def _share_out(sizes: dict[str, int], wanted: int) -> dict[str, int]:
    total = sum(sizes.values())
    exact = {stratum: wanted * size / total for stratum, size in sizes.items()}
    least = 1 if wanted >= len(sizes) else 0
    counts = {stratum: max(floor(share), least) for stratum, share in exact.items()}
    by_need = sorted(exact, key=lambda stratum: (counts[stratum] - exact[stratum], stratum))
    while sum(counts.values()) < wanted:
        stratum = next(s for s in by_need if counts[s] < sizes[s])
        counts[stratum] += 1
        by_need.sort(key=lambda s: (counts[s] - exact[s], s))
    while sum(counts.values()) > wanted:
        stratum = max((s for s in counts if counts[s] > least), key=lambda s: (counts[s] - exact[s], s))
        counts[stratum] -= 1
    return counts
