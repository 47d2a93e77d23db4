"""A blind pairing of draft pictures with their descriptions, for a reader who has seen neither.

    python -m bench.storyboard_sheet FOLDER            writes pictures.png, descriptions.txt and key.json
    python -m bench.storyboard_sheet FOLDER ANSWERS    scores a JSON file that maps numbers to letters; goal: 16 of 20

Pictures are numbered, descriptions lettered, both in the order of a hash. The key is for the scorer alone.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from string import ascii_uppercase

from PIL import Image, ImageDraw

from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.renderers.storyboard import PLUGIN, StoryboardOptions
from pipeline.contracts.render import Brief, Render
from pipeline.values.errors import RenderError
from pipeline.values.ids import rank_by_hash
from pipeline.values.records import Modality

HELD_OUT = Path(__file__).parent / "data" / "storyboard_heldout.txt"
GOAL = 16
SIDE, LABEL, COLUMNS = 400, 30, 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the sheet, or score the answers; return 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("answers", type=Path, nargs="?")
    options = parser.parse_args(arguments)
    if options.answers is None:
        write_sheet(options.folder)
        return 0
    key = json.loads((options.folder / "key.json").read_text(encoding="utf-8"))
    answers = json.loads(options.answers.read_text(encoding="utf-8"))
    score = sum(answers.get(number) == letter for number, letter in key.items())
    print(f"paired {score} of {len(key)}; goal {GOAL}")
    return 0 if score >= GOAL else 1


def write_sheet(folder: Path) -> None:
    """Render the held-out descriptions and write what a reader and a scorer need."""
    descriptions = HELD_OUT.read_text(encoding="utf-8").splitlines()
    pictures = rank_by_hash(descriptions, "pictures")
    letters = dict(zip(rank_by_hash(descriptions, "letters"), ascii_uppercase, strict=False))
    renderer = PLUGIN.load(StoryboardOptions(), ModelCache())
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * SIDE, rows * (SIDE + LABEL)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, text in enumerate(pictures):
        brief = Brief(id=f"sheet-{index}", modality=Modality.IMAGE, text=text, seed=index, width=512, height=512)
        (made,) = renderer.render([brief])
        if not isinstance(made, Render):
            raise RenderError(f"{text!r}: {made}")
        left, top = index % COLUMNS * SIDE, index // COLUMNS * (SIDE + LABEL)
        draw.text((left + 8, top + 4), str(index + 1), fill="black", font_size=20)
        sheet.paste(Image.open(io.BytesIO(made.data)).convert("RGB").resize((SIDE, SIDE)), (left, top + LABEL))
    folder.mkdir(parents=True, exist_ok=True)
    sheet.save(folder / "pictures.png")
    lettered = "\n".join(f"{letter}: {text}" for text, letter in letters.items())
    (folder / "descriptions.txt").write_text(lettered + "\n", encoding="utf-8")
    key = {str(index + 1): letters[text] for index, text in enumerate(pictures)}
    (folder / "key.json").write_text(json.dumps(key), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
