"""What a weights file leaves unsaid: whether it was trained with GELU or with QuickGELU."""

import zipfile

from ..config.models import BackboneConfig
from .architecture import known_models

_QUICK = "-quickgelu"  # ends the names of open_clip's models that compute with QuickGELU


def unsaid_activation(config: BackboneConfig) -> str | None:
    """A sentence for a file that may be of either of two models, which differ in nothing else.

    None for an archive such as OpenAI's, which says by its form what it computes with.
    """
    plain = config.model.removesuffix(_QUICK)
    if config.file is None or not {plain, plain + _QUICK} <= known_models() or _is_archive(config):
        return None
    quick = config.model != plain
    does, other = ("QuickGELU", "GELU") if quick else ("GELU", "QuickGELU")
    return (
        f"{config.file} does not say its activation: {config.model} computes with {does}; weights that were "
        f"trained with {other}, as OpenAI's were with QuickGELU, need {plain if quick else plain + _QUICK}."
    )


def _is_archive(config: BackboneConfig) -> bool:
    if not zipfile.is_zipfile(config.file):
        return False
    with zipfile.ZipFile(config.file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
