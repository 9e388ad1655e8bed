"""The code that a result depends on: the modules that make it, and what they import.

It is found in the text of the modules, without importing any: a workflow asks for every stage, and torch
alone takes seconds to import.  Modules are named as below this package: "training.stages".
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from .files import sha256, sha256_of_json

PACKAGE = Path(__file__).parent


@cache
def closure(*modules: str) -> frozenset[str]:
    """These modules, and all of this package that they import, wherever in the file, step by step.

    Of a command's module (`cli.…`) the text alone counts: what it takes from the configuration, artifacts
    name as parameters.  A package does not count for what is imported from a module in it, unless it has
    code of its own.  What is imported by a computed name, such as a method, has to be among `modules`.
    """
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            leaf = module.startswith("cli.")
            used = (_imported(module, one) for one in (() if leaf else _read(module).imports))
            waiting.extend(one for one in used if one is not None)
            waiting.extend(package for package in _packages(module) if _read(package).does_something)
    return frozenset(found)


@cache
def fingerprint(*modules: str) -> str:
    """SHA-256 of the code of `closure(*modules)`, which comments, docstrings and layout do not change.

    Files that lie beside a module and are not Python, such as templates, count as well.  Results that were
    left half-way are only continued, and finished ones only kept, by the code that made them.
    """
    return sha256_of_json(hashes(*modules))


def hashes(*modules: str) -> dict[str, str]:
    """Hash of each file that `fingerprint(*modules)` is of, by its path below this package."""
    found = closure(*modules)
    folders = {_file(module).parent for module in found}
    inside = (path for folder in folders for path in folder.iterdir() if not path.name.startswith("."))
    beside = (path for path in inside if path.is_file() and path.suffix not in (".py", ".pyc"))
    files = {path: sha256(path) for path in beside} | {_file(one): _read(one).sha256 for one in found}
    return {path.relative_to(PACKAGE).as_posix(): files[path] for path in sorted(files)}


class _Import(NamedTuple):
    """`from source import name`; `level` dots stand before the source, and no name is `import source`."""

    level: int
    source: str
    name: str | None


class _Text(NamedTuple):
    """What the text of a module says."""

    sha256: str
    imports: tuple[_Import, ...]
    does_something: bool  # beside importing names and listing them


@cache
def _read(module: str) -> _Text:
    return _parse(_file(module).read_text(encoding="utf-8"))


def _parse(text: str) -> _Text:
    tree = ast.parse(text)
    own = [node for node in tree.body if not (isinstance(node, ast.ImportFrom) or _only_says(node))]
    return _Text(
        sha256=hashlib.sha256(repr(_essence(tree)).encode()).hexdigest(),
        imports=tuple(one for node in _executed(tree) for one in _imported_by(node)),
        does_something=bool(own),
    )


def _only_says(node: ast.stmt) -> bool:
    """Whether a statement is a docstring, or the list of a module's names."""
    return _is_text(node) or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")


def _is_text(node: Any) -> bool:
    """Whether a statement is nothing but a string."""
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _essence(value: Any) -> Any:
    """A syntax tree without docstrings, and without empty fields, which newer versions of Python add."""
    if isinstance(value, ast.AST):
        parts = [(name, _essence(part)) for name, part in ast.iter_fields(value) if part not in (None, [])]
        return type(value).__name__, parts
    if isinstance(value, list):
        return [_essence(part) for part in value if not _is_text(part)]
    return value


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below one, but for what only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).removeprefix("typing.") == "TYPE_CHECKING":
            for other in child.orelse:
                yield other
                yield from _executed(other)
        else:
            yield child
            yield from _executed(child)


def _imported_by(node: ast.AST) -> list[_Import]:
    if isinstance(node, ast.ImportFrom):
        return [_Import(node.level, node.module or "", name.name) for name in node.names]
    return [_Import(0, name.name, None) for name in node.names] if isinstance(node, ast.Import) else []


def _imported(module: str, used: _Import) -> str | None:
    """The module that `module` imports, or imports something from; None if it is another package's."""
    if used.level:
        up = used.level - (_file(module).name == "__init__.py")  # a package's own name is one dot
        parts = module.split(".")[: -up or None] if module else []
        source = ".".join([*parts, *filter(None, [used.source])])
    else:
        package, _, source = used.source.partition(".")
        if package != __package__:
            return None
    inner = f"{source}.{used.name}".removeprefix(".")
    return inner if _find(inner) else source


def _packages(module: str) -> list[str]:
    """The packages that a module lies in: they are imported before it."""
    parts = module.split(".") if module else []
    return [".".join(parts[:end]) for end in range(len(parts))]


def _file(module: str) -> Path:
    path = _find(module)
    assert path is not None, f"there is no module {__package__}.{module}"
    return path


@cache
def _find(module: str) -> Path | None:
    base = PACKAGE.joinpath(*filter(None, module.split(".")))
    paths = (base / "__init__.py", base.with_name(f"{base.name}.py"))
    return next((path for path in paths if path.is_file()), None)
