"""How well does the demo's writer write?

    python -m bench.writing [--corpus FOLDER]   a hundred dialogues about topics that no prompt was built from
    python -m bench.writing --quick             two dialogues of the smoke manifest, by the smallest model

Makes the words of bench/writing.yaml by the very command (about an hour of one core; what is there already is kept, so
that a second call only measures), prints the first dialogues by id, unselected, and measures among other things:

* valid: planned dialogues whose scenario and turns met all rules within the tries allowed;
* near-duplicates: dialogues that share half their word 5-grams with another (Jaccard 0.5), and descriptions of one
  modality whose MiniLM embeddings have a cosine of 0.9; the share of things that have a twin, the largest of the three;
* relevance: share of descriptions that are nearer to the words of their own turn than to one turn of the same role out
  of each of 20 other dialogues, drawn by a seed (by chance 1 in 21). It rewards saying twice the same: a turn need not
  name what its picture shows, so what the shipped demonstrations come to is printed beside.

The last line is the figure. Exits with 1 where one of the three misses its goal; with --quick, whose words are
nonsense, where no dialogue comes out at all.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import writing_report as report
from bench.writing_measures import count_busy_seconds
from bench.writing_replay import read_tallies, read_written
from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.embedding import MODEL, SentenceModel
from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.shipped import shipped
from pipeline.execution.project import load_project
from pipeline.work import dialogues

MANIFEST = Path(__file__).with_name("writing.yaml")
MIN_VALID = 0.9
MAX_TWINS = 0.05
MIN_RELEVANCE = 0.6
QUICK_LIMIT = 2


@dataclass(frozen=True)
class Figures:
    """What the goals are about; ``relevance`` is None where there was nothing to compare."""

    num_planned: int
    valid: float
    twins: float
    relevance: float | None

    @property
    def are_goals_met(self) -> bool:
        """True where none of the three misses its goal."""
        is_relevant = self.relevance is not None and self.relevance >= MIN_RELEVANCE
        return self.valid >= MIN_VALID and self.twins <= MAX_TWINS and is_relevant


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what is missing, measure, print; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=Path("corpora/writing"), help="default: corpora/writing")
    parser.add_argument("--quick", action="store_true", help="two dialogues of the smoke manifest")
    options = parser.parse_args(arguments)
    if options.quick:
        with tempfile.TemporaryDirectory() as folder:
            figures = measure(shipped("manifests", "smoke.yaml"), Path(folder) / "smoke", QUICK_LIMIT)
    else:
        figures = measure(MANIFEST, options.corpus)
    if figures is None:
        return 1
    goals = f"valid at least {MIN_VALID}, near-duplicates at most {MAX_TWINS}, relevance at least {MIN_RELEVANCE}"
    is_met = figures.valid > 0 if options.quick else figures.are_goals_met
    print(f"goal: {'a dialogue comes out' if options.quick else goals}; {'met' if is_met else 'missed'}")
    relevance = "none" if figures.relevance is None else f"{figures.relevance:.2f}"
    print(
        f"writing: of {figures.num_planned} dialogues {figures.valid:.2f} valid, near-duplicates {figures.twins:.2f}, "
        f"relevance {relevance}"
    )
    return 0 if is_met else 1


def measure(manifest: Path, corpus: Path, limit: int | None = None) -> Figures | None:
    """Bring a corpus up to its dialogues and print what can be said of them; None where the run failed.

    Args:
        limit: Write and measure the first so many only.
    """
    command = [sys.executable, "-m", "pipeline.cli.app", "run", str(manifest), "--corpus", str(corpus)]
    command += ["--until", dialogues.STAGE] + (["--limit", str(limit)] if limit else [])
    # Its progress is for whoever waits and no part of the measurement.
    run = subprocess.run(command, stdout=sys.stderr, check=False)
    if run.returncode:
        print(f"bench.writing: the run ended with exit code {run.returncode}")
        return None
    project = load_project(manifest, corpus)
    models = ModelCache()
    models.ensure([MODEL])
    model = SentenceModel(models.path(MODEL))
    written = read_written(project, limit)
    report.print_dialogues(written)
    writer = project.manifest.writer
    print(f"\n{writer.model}, temperature {writer.temperature:g}, at most {writer.max_tries} tries\n")
    valid = report.print_yield(written)
    report.print_refusals(written)
    report.print_cost(written, count_busy_seconds(read_tallies(CorpusFolder(corpus))))
    report.print_shape(written)
    report.print_roles(written, project.book, model)
    report.print_variety(written)
    twins = report.print_twins(written, model)
    relevance = report.print_relevance(written, project.book, model)
    report.print_topicality(written, model)
    return Figures(len(written), valid, twins, relevance)


if __name__ == "__main__":
    sys.exit(main())
