"""Zero-shot accuracy of the miniature models against the number of words before the class name.

A prompt puts 4 to 24 context tokens before a class name, so the text towers must know class names at
these positions.  Run: .venv/bin/python benchmarks/word_position.py
"""

import numpy as np
import pandas as pd
import torch

from promptdistill.clip.backbone import load_backbone
from promptdistill.clip.prompted import PromptedClip
from promptdistill.config.models import BackboneConfig
from promptdistill.miniature.captions import FILLERS
from promptdistill.miniature.datasets import DATASETS
from promptdistill.miniature.pictures import draw

WORDS = (0, 4, 8, 16, 24, 30)
PER_CLASS = 20


@torch.no_grad()
def accuracy(clip: PromptedClip, name: str, words: int) -> float:
    """Percent of pictures named rightly with `words` filler words before the class name."""
    dataset, backbone = DATASETS[name], clip.backbone
    before = " ".join(sorted(set(FILLERS))[:words])
    text = clip.sentence_features([f"{before} {class_name}." for class_name in dataset.classes])
    right = []
    for label, class_name in enumerate(dataset.classes):
        generators = [np.random.default_rng([987, dataset.seed, label, index]) for index in range(PER_CLASS)]
        pictures = [draw(dataset.subject(class_name, rng), rng) for rng in generators]
        image = clip.image_features(torch.stack([backbone.preprocess(picture) for picture in pictures]))
        right.append((image @ text.T).argmax(1).eq(label).float().mean())
    return 100 * float(torch.stack(right).mean())


if __name__ == "__main__":
    for model in ("student", "teacher"):
        config = BackboneConfig(model=f"miniature-{model}", pretrained="miniature")
        clip = PromptedClip(load_backbone(config), [])
        sets = [name for name, dataset in DATASETS.items() if not dataset.variant]
        rows = {name: [accuracy(clip, name, words) for words in WORDS] for name in sets}
        table = pd.DataFrame(rows, index=pd.Index(WORDS, name="words before")).T
        print(f"\n{model}\n{table.round(1).to_string()}")
