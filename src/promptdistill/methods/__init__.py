"""One file a method: what learns, and the loss.  A method is found by the name of its module."""

import importlib
import pkgutil
from typing import Any

from ..errors import UserError
from ..validation import did_you_mean, validate
from .base import Method, MethodConfig


def find_method(name: str) -> type[Method]:
    """The Method class of module `promptdistill.methods.<name>`; UserError if there is none."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if module.name != "base"]
    if name not in names:
        raise UserError(f"There is no method {name!r}{did_you_mean(name, names)}.")
    module = importlib.import_module(f"{__name__}.{name}")
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Method) and value.__module__ == module.__name__
    ]
    assert len(own) == 1, f"{module.__name__} must define one Method"
    return own[0]


def parse_hyperparameters(name: str, values: dict[str, Any]) -> MethodConfig:
    """A method's hyper-parameters, checked; UserError names a wrong key or value."""
    return validate(find_method(name).Config, values, f"hyper-parameters of {name}")
