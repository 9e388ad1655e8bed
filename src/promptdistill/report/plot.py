"""The base-to-novel table as a picture."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from ..files import atomic

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def write_bars(cells: pd.DataFrame, path: Path) -> None:
    """Harmonic mean of every method on every data set, with its deviation over seeds, as PNG."""
    datasets, titles = list(cells["dataset"].unique()), list(cells["title"].unique())
    figure, axes = plt.subplots(figsize=(max(7.0, 2.5 + 1.4 * len(datasets)), 4.4), layout="constrained")
    width = 0.82 / len(titles)
    for number, title in enumerate(titles):
        own = cells[cells["title"] == title].set_index("dataset").reindex(datasets)
        position = np.arange(len(datasets)) + (number - (len(titles) - 1) / 2) * width
        colour = plt.get_cmap("tab20")(number)
        axes.bar(position, own["hm"], width, yerr=own["hm_std"], color=colour, label=title, capsize=2)
    axes.set_xticks(range(len(datasets)), [name.replace("_", " ") for name in datasets])
    axes.set_ylabel("harmonic mean of base and novel (%)")
    axes.set_ylim(max(0, 10 * np.floor(cells["hm"].min() / 10) - 10), 100)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(ncols=3, loc="outside upper center", frameon=False)
    with atomic(path) as partial:
        figure.savefig(partial, format="png", dpi=130, metadata={"Software": None})
    plt.close(figure)
