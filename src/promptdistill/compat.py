"""Import open_clip where torchvision would fail, and in half the time.

A CPU-only torch next to the registry's torchvision cannot load torchvision's C++ operators, and
torchvision then fails at import because it declares fake kernels for two of them.  Declaring their
schemas first is enough: only `torchvision.ops.nms` and `torchvision.io` stay unusable, and this
package uses neither.

torchvision asks torch's compiler at import whether it could compile one operator (`roi_align`), which this
package does not use either; importing the compiler takes longer than torch itself, in every process.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

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
    with _compiler_left_out():
        if "torchvision" not in sys.modules:
            _import_torchvision()
        import open_clip

    return open_clip


def _import_torchvision() -> None:
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


@contextmanager
def _compiler_left_out() -> Iterator[None]:
    """What is imported within finds a compiler that compiles nothing; later imports find torch's own."""
    if "torch._dynamo" in sys.modules or "open_clip" in sys.modules:
        yield
        return
    compiler, utils = ModuleType("torch._dynamo"), ModuleType("torch._dynamo.utils")
    vars(compiler).update(__path__=[], utils=utils, disable=_not_compiled)
    vars(utils).update(is_compile_supported=lambda _: False)
    names = {module.__name__: module for module in (compiler, utils)}
    sys.modules.update(names)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


def _not_compiled(function: Callable[..., Any] | None = None, *_: Any, **__: Any) -> Callable[..., Any]:
    """`torch._dynamo.disable`, as a decorator with arguments or without."""
    return function or (lambda own: own)
