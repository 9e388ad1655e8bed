"""Hyper-parameters checked before anything runs, without torch, which takes seconds to import.

A method's schema is the `Config` of its class, together with its plug-in's.  Of the modules of methods and
plug-ins, that class alone is evaluated, with what it is made of.
"""

import ast
import importlib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from .clip.architecture import Architecture
from .config.entries import MethodEntry
from .errors import UserError
from .run import modules_of
from .validation import Strict, joint, validate

_ROOT = Path(__file__).parent

# Tokens of a text beside its context, at the least: start, a word, full stop, end.
_OTHER_TOKENS = 4


class Tokens(NamedTuple):
    """Tokens a layer that a method has in each tower, and the number of layers, as far as names tell."""

    text: int
    vision: int
    depth: int

    @classmethod
    def of(cls, entry: MethodEntry, values: dict[str, Any]) -> "Tokens":
        """`n_ctx_text` and `n_ctx_vision`, or `n_ctx` for both; looked-up features have no vision tokens."""
        both = values.get("n_ctx", 0)
        text, vision = values.get("n_ctx_text", both), values.get("n_ctx_vision", both)
        learned = vision if entry.looks_up != "cascade" else 0
        return cls(int(text), int(learned), int(values.get("prompt_depth", 1)))


def require_valid(method: str, values: dict[str, Any]) -> None:
    """UserError for hyper-parameters of a wrong name or value."""
    own, *plugin = modules_of(method)
    validate(joint(schema(own), *map(schema, plugin)), values, f"hyper-parameters of {method}")


def require_fit(method: str, own: Tokens, frozen: Tokens, model: Architecture) -> None:
    """UserError if a model has no place for a method's tokens, behind those of a `frozen` prompt."""
    if own.vision and model.image is None:
        raise UserError(
            f"{method}: the image tower of {model.name} takes no prompt tokens: use a text-only method such "
            "as coop, or a model with a ViT."
        )
    towers = {"text": model.text if own.text else None, "image": model.image if own.vision else None}
    for name, tower in towers.items():
        if tower is not None and own.depth > tower.layers:
            raise UserError(
                f"{method}: prompt_depth is {own.depth}, but the {name} tower of {model.name} has "
                f"{tower.layers} layers."
            )
    context = own.text + frozen.text
    if context + _OTHER_TOKENS > model.context_length:
        behind = f", {frozen.text} of a boosting prompt included," if frozen.text else ""
        raise UserError(
            f"{method}: {context} text tokens{behind} leave no room for a class name: the text tower of "
            f"{model.name} holds {model.context_length} tokens."
        )


@cache
def schema(name: str) -> type[Strict]:
    """The `Config` in a module such as "methods.coop"; it is imported only where its text does not tell."""
    try:
        module = _Module.of(name)
        return next(filter(None, map(module.config, module.classes)))
    except Exception:  # whatever the module does that `_Module` does not follow, an import does
        package, _, own = name.partition(".")
        methods = importlib.import_module(f"{__package__}.methods")
        return {"methods": methods.find_method, "plugins": methods.find_plugin}[package](own).Config


class _Module:
    """A module such as "methods.coop", of which single names are evaluated."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = _ROOT.joinpath(*name.split(".")).with_suffix(".py")
        tree = ast.parse(self.path.read_text(encoding="utf-8"))
        self.classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        self._statements = {bound: node for node in tree.body for bound in _bound_by(node)}
        self._space: dict[str, Any] = {"__name__": f"{__package__}.{name}"}

    @classmethod
    @cache
    def of(cls, name: str) -> "_Module":
        """The module of a name, read once."""
        return cls(name)

    def config(self, node: ast.ClassDef) -> type[Strict] | None:
        """What a class says as `Config`, or inherits; None for a class that is no method."""
        for statement in node.body:
            if isinstance(statement, ast.Assign | ast.AnnAssign) and "Config" in _bound_by(statement):
                return self.evaluate(ast.unparse(statement.value))
        for base in map(ast.unparse, node.bases):
            found = self._statements.get(base)
            if isinstance(found, ast.ImportFrom) and found.level == 1:
                other = self.beside(found)
                return other.config(other._statements[_original(found, base)])
            if isinstance(found, ast.ClassDef):
                return self.config(found)
        return None

    def evaluate(self, name: str) -> Any:
        """The value of a name, for which no other statement runs than those that it needs."""
        if name not in self._space and (node := self._statements.get(name)) is not None:
            if isinstance(node, ast.ImportFrom):
                self._space[name] = self._imported(node, name)
            else:
                used = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)} - {name}
                for other in used:
                    self.evaluate(other)
                exec(compile(ast.Module([node], []), self.path, "exec"), self._space)
        return self._space.get(name)

    def beside(self, node: ast.ImportFrom) -> "_Module":
        """The module of the same package that is imported from."""
        return _Module.of(f"{self.name.partition('.')[0]}.{node.module}")

    def _imported(self, node: ast.ImportFrom, name: str) -> Any:
        """What `from … import name` gives; of modules beside this one no more than that is evaluated."""
        original = _original(node, name)
        if node.level == 1:
            return self.beside(node).evaluate(original)
        package = f"{__package__}.{self.name.partition('.')[0]}"
        return getattr(importlib.import_module("." * node.level + node.module, package), original)


def _bound_by(node: ast.stmt) -> list[str]:
    """The names that a statement gives a value to."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    targets = getattr(node, "targets", [getattr(node, "target", None)])
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _original(node: ast.ImportFrom, name: str) -> str:
    """What the module that a name is imported from calls it."""
    return next(alias.name for alias in node.names if name == (alias.asname or alias.name))
