"""One file a method: what learns, and the loss.  A method is found by the name of its module."""

import importlib
import pkgutil
from types import ModuleType
from typing import Any

from .. import plugins
from ..errors import UserError
from ..run import MethodParts
from ..validation import Strict, did_you_mean, joint, validate
from .base import Method, MethodContext, Objective


def find_method(name: str) -> type[Method]:
    """The Method class of module `promptdistill.methods.<name>`; UserError if there is none."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if module.name != "base"]
    if name not in names:
        raise UserError(f"There is no method {name!r}{did_you_mean(name, names)}.")
    return _only(Method, importlib.import_module(f"{__name__}.{name}"))


def find_plugin(name: str) -> type[Objective]:
    """The Objective class of module `promptdistill.plugins.<name>`; UserError if there is none."""
    names = [module.name for module in pkgutil.iter_modules(plugins.__path__)]
    if name not in names:
        raise UserError(f"There is no plug-in {name!r}{did_you_mean(name, names)}.")
    return _only(Objective, importlib.import_module(f"{plugins.__name__}.{name}"))


def _only(kind: type, module: ModuleType) -> type:
    """The class of a kind that a module defines."""
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, kind) and value.__module__ == module.__name__
    ]
    assert len(own) == 1, f"{module.__name__} must define one {kind.__name__}"
    return own[0]


def make_method(name: str, context: MethodContext) -> Method:
    """The method of a name such as "coop+caspl+fdbpl", with its plug-in's objective."""
    parts = MethodParts.of(name)
    made = find_method(parts.name)(context)
    if parts.plugin:
        made.objective = find_plugin(parts.plugin)(context)
    return made


def parse_hyperparameters(name: str, values: dict[str, Any]) -> Strict:
    """A method's hyper-parameters and its plug-in's, checked; UserError names a wrong key or value."""
    parts = MethodParts.of(name)
    plugin = [find_plugin(parts.plugin).Config] if parts.plugin else []
    return validate(joint(find_method(parts.name).Config, *plugin), values, f"hyper-parameters of {name}")
