"""The configuration: what is trained on what, and where it goes.

Three kinds of YAML file, each checked against a schema that rejects unknown keys:
`config/config.yaml` (the experiment), `config/datasets/NAME.yaml` and `config/methods/NAME.yaml`.
This package imports neither torch nor open_clip, so a workflow reads it in no time.
"""

from .entries import (
    BASE,
    DatasetConfig,
    Differences,
    MethodEntry,
    Source,
    Variant,
    load_dataset,
    load_method,
    method_title,
    variants_of,
)
from .experiment import Backbones, Config, Jobs, Protocols, RegionConfig, digest
from .models import BackboneConfig, FeatureType, LookupConfig, Precision, Regions

__all__ = [
    "BASE",
    "BackboneConfig",
    "Backbones",
    "Config",
    "DatasetConfig",
    "Differences",
    "FeatureType",
    "Jobs",
    "LookupConfig",
    "MethodEntry",
    "Precision",
    "Protocols",
    "RegionConfig",
    "Regions",
    "Source",
    "Variant",
    "digest",
    "load_dataset",
    "load_method",
    "method_title",
    "variants_of",
]
