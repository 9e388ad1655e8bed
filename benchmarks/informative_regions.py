"""How often the teacher is right about a training region, by how sure it is: what region awareness can gain.

Reads the lookups and splits that `make demo` leaves.
Run: .venv/bin/python benchmarks/informative_regions.py  (seconds)
"""

from pathlib import Path

import click
import pandas as pd
import torch

from promptdistill.clip.backbone import load_backbone
from promptdistill.data.splits import read_split
from promptdistill.experiment import Experiment
from promptdistill.features.lookup import LookupSubset, RegionLookup
from promptdistill.graph import ZERO_SHOT, Lookup, Split

PARTS = {"least sure tenth": (0.0, 0.1), "lower half": (0.0, 0.5), "upper half": (0.5, 1.0)}


def row(dataset: str, experiment: Experiment, scale: torch.Tensor) -> dict[str, float | str]:
    """The teacher's accuracy on regions of base-class images among the base classes, in percent."""
    split = read_split(experiment.results / Split(dataset).path)
    seen = experiment.region_set(experiment.regions("boosting", dataset, "base_to_novel"))
    lookup = RegionLookup((experiment.results / Lookup(dataset, ZERO_SHOT, seen).path).parent)
    base = set(split.base_labels)
    chosen = [index for index, item in enumerate(split.train) if item.label in base]
    classes = [split.labels.index(label) for label in split.base_labels]
    answers = LookupSubset(lookup, torch.tensor(chosen), lookup.regions, lookup.text[classes])
    images, regions = answers.every_region()
    logits = answers.logits(images, regions, scale)
    labels = torch.tensor([split.base_labels.index(split.train[index].label) for index in chosen])[images]
    right = (logits.argmax(dim=1) == labels).float()
    right = 100 * right[logits.softmax(dim=1).max(dim=1).values.argsort()]
    parts = {
        name: float(right[int(start * len(right)) : int(stop * len(right))].mean())
        for name, (start, stop) in PARTS.items()
    }
    return {"dataset": dataset, "all regions": float(right.mean()), **parts}


@click.command()
@click.option("--config", type=click.Path(path_type=Path), default=Path("config/config.yaml"))
def main(config: Path) -> None:
    """Print the teacher's accuracy on each data set's regions."""
    experiment = Experiment.read(config, Path("config"))
    scale = load_backbone(experiment.backbone()).logit_scale
    table = pd.DataFrame([row(name, experiment, scale) for name in experiment.config.datasets])
    table.loc[len(table)] = ["average", *table.mean(numeric_only=True)]
    print(table.to_string(index=False, float_format="{:.1f}".format))


if __name__ == "__main__":
    main()
