"""The miniature benchmark: a small world of drawn pictures on which the whole pipeline runs offline.

pictures.py draws, captions.py describes, datasets.py makes the data sets, pretrain.py trains the
two small CLIP models whose weights lie in models/.
"""

from pathlib import Path

MODELS = Path(__file__).parent / "models"
