"""Make torchvision importable beside a torch build that lacks its compiled operators.

A CPU-only torch next to the registry's torchvision cannot load torchvision's C++ operators, and
torchvision then fails at import because it declares fake kernels for two of them.  Declaring their
schemas first is enough: only `torchvision.ops.nms` and `torchvision.io` stay unusable, and this
package uses neither.
"""

import sys
from types import ModuleType

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[torch.library.Library] = []  # kept for good: torch forgets the schemas with the library


def import_open_clip() -> ModuleType:
    """Import open_clip, declaring torchvision's missing operators where, and only where, it must.

    Returns the `open_clip` module.
    """
    if "torchvision" not in sys.modules:
        try:
            import torchvision  # noqa: F401
        except RuntimeError as error:
            if "does not exist" not in str(error):
                raise
            for name in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
                del sys.modules[name]
            library = torch.library.Library("torchvision", "DEF")
            for schema in _SCHEMAS:
                library.define(schema)
            _declared.append(library)
    import open_clip

    return open_clip
