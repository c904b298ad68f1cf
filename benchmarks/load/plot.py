"""Plot of a long run: memory of each role, and handles and threads, over its time."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.intervals.coverage_plots import COLOURS, DOTS_PER_INCH, PLAIN
from benchmarks.load.samples import Samples


def write_plot(samples: Samples, path: Path, title: str) -> None:
    """Write the plot as a PNG; create its folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    minutes = [seconds / 60 for seconds in samples.times]
    figure = Figure(figsize=(12.5, 4.8), layout="constrained")
    memory, counts = figure.subplots(1, 2)
    for (role, taken), colour in zip(samples.by_role.items(), COLOURS, strict=False):
        memory.plot(minutes, [sample.anon_mb for sample in taken], color=colour, linewidth=1.2, label=role)
        counts.plot(minutes, [sample.handles for sample in taken], color=colour, linewidth=1.2)
        counts.plot(minutes, [sample.threads for sample in taken], color=colour, linewidth=1.2, linestyle=":")
    memory.set(xlabel="minutes", ylabel="filled pages (RssAnon), MiB", title="memory", ylim=(0, None))
    counts.set(xlabel="minutes", title="open files (lines) and threads (dots)", ylim=(0, None))
    figure.legend(*memory.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    figure.suptitle(title)
    figure.savefig(path, dpi=DOTS_PER_INCH, metadata=PLAIN)
