"""A run's growth as a picture: CPU by the corpus's size, and memory over the largest run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.scale.measuring import Made


def draw(made: Sequence[Made], path: Path) -> None:
    """Write the plot of sizes that rise, in the format of the path's suffix."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    growth, memory = figure.subplots(1, 2)
    sizes = [one.shape.num_dialogues for one in made]
    growth.plot(sizes, [one.run.cpu for one in made], marker="o", label="CPU")
    growth.plot(sizes, [one.run.wall for one in made], marker="o", label="wall time")
    growth.set(title="A run by its corpus's size", xlabel="dialogues", ylabel="s", xlim=(0, None), ylim=(0, None))
    growth.legend()
    for kind, points in sorted(made[-1].run.memory.items()):
        memory.plot(*zip(*points, strict=True), label=kind.strip("_"))
    memory.set(title=f"Memory, {sizes[-1]:,} dialogues", xlabel="s", ylabel="MB, the largest process", ylim=(0, None))
    memory.legend()
    figure.savefig(path)
