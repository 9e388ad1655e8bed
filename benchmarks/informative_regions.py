"""How often the teacher is right about a training region, by how sure it is: what region awareness can gain.

Reads the lookups and splits that `make demo` leaves.
Run: .venv/bin/python benchmarks/informative_regions.py  (seconds)
"""

from pathlib import Path

import click
import pandas as pd
import torch

from promptdistill import config
from promptdistill.clip.backbone import load_backbone
from promptdistill.data.splits import read_split
from promptdistill.features.lookup import LookupSubset, RegionLookup

PARTS = {"least sure tenth": (0.0, 0.1), "lower half": (0.0, 0.5), "upper half": (0.5, 1.0)}


def row(dataset: str, results: Path, scale: torch.Tensor) -> dict[str, float | str]:
    """The teacher's accuracy on regions of base-class images among the base classes, in percent."""
    split = read_split(results / "splits" / dataset / "split.json")
    lookup = RegionLookup(results / "lookup" / dataset / "zero_shot" / "20regions")
    base = set(split.base_labels)
    numbers = [number for number, item in enumerate(split.train) if item.label in base]
    places = [split.labels.index(label) for label in split.base_labels]
    answers = LookupSubset(lookup, numbers, places, lookup.regions)
    images, regions = answers.every_region()
    logits = answers.logits(images, regions, scale)
    place = {label: number for number, label in enumerate(split.base_labels)}
    labels = torch.tensor([place[split.train[number].label] for number in numbers])[images]
    right = (logits.argmax(dim=1) == labels).float()
    right = 100 * right[logits.softmax(dim=1).max(dim=1).values.argsort()]
    parts = {
        name: float(right[int(start * len(right)) : int(stop * len(right))].mean())
        for name, (start, stop) in PARTS.items()
    }
    return {"dataset": dataset, "all regions": float(right.mean()), **parts}


@click.command()
@click.option("--experiment", type=click.Path(path_type=Path), default=Path("config/config.yaml"))
def main(experiment: Path) -> None:
    """Print the teacher's accuracy on each data set's regions."""
    content = config.load(config.read_yaml(experiment), Path("config"))
    scale = load_backbone(content.backbones.student).logit_scale
    table = pd.DataFrame([row(name, Path(content.results), scale) for name in content.datasets])
    table.loc[len(table)] = ["average", *table.mean(numeric_only=True)]
    print(table.to_string(index=False, float_format="{:.1f}".format))


if __name__ == "__main__":
    main()
