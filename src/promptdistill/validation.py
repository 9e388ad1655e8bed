"""Reading YAML and checking it against a schema; every fault becomes one sentence."""

import difflib
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, create_model

from .errors import UserError
from .files import read_text

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """A frozen model that rejects unknown keys, and numbers that are not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@cache
def joint(*schemas: type[Strict]) -> type[Strict]:
    """A schema with the fields and checks of several."""
    if len(schemas) == 1:
        return schemas[0]
    return create_model("And".join(one.__name__ for one in schemas), __base__=schemas[::-1])


def _folder(text: str) -> str:
    """A path on this file system, normal, with ~ expanded; ValueError for what cannot be one."""
    faults = {
        "is empty": not text.strip(),
        "is an address, not a folder": "://" in text,
        "begins or ends with a space": text != text.strip(),
        "has a line break or another sign that cannot be seen": not text.isprintable(),
        "has a part of more than 255 bytes": any(len(part.encode()) > 255 for part in Path(text).parts),
    }
    if said := next((fault for fault, holds in faults.items() if holds), None):
        raise ValueError(f"{text!r} {said}: give the path of a folder")
    try:
        return os.path.normpath(Path(text).expanduser())
    except RuntimeError:
        raise ValueError(f"{text!r} names the home of a user who is not here") from None


Folder = Annotated[str, AfterValidator(_folder)]


def read_entry(schema: type[Model], path: Path) -> Model:
    """Read and check a YAML file; a file that has not changed since is not read again."""
    return _read_entry(schema, path, path.stat().st_mtime_ns)


@cache
def _read_entry(schema: type[Model], path: Path, changed: int) -> Model:
    return validate(schema, read_yaml(path), str(path))


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML would drop the first without a word."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node, lines = super().compose_mapping_node(anchor), {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                if key.value in lines:
                    raise yaml.YAMLError(f"{key.value} stands twice, in lines {lines[key.value]} and {line}")
                lines[key.value] = line
        return node


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; UserError names the file if it is missing or malformed."""
    text = read_text(path)
    try:
        content = yaml.load(text, _Loader)
    except RecursionError:
        raise UserError(f"{path} is not valid YAML: it is nested too deeply.") from None
    except Exception as error:  # besides YAMLError, what Python says to values such as "!!int x"
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a mapping of keys to values.")
    return content


def validate(schema: type[Model], content: dict[str, Any], where: str) -> Model:
    """Check `content` against `schema`; UserError says every fault in one sentence, with its place."""
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        faults = [_fault(schema, fault) for fault in error.errors()]
        raise UserError(f"{where}: {'; '.join(faults)}.") from None


def _fault(schema: type[BaseModel], fault: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "the file"
    if fault["type"] == "extra_forbidden":
        known = _keys_beside(schema, fault["loc"])
        return f"unknown key {place}{did_you_mean(str(fault['loc'][-1]), known)}"
    if fault["type"] == "missing":
        return f"missing key {place}"
    if fault["type"] in ("dict_type", "model_type"):
        return f"{place} must hold a mapping of keys to values"
    return f"{place}: {fault['msg'].removeprefix('Value error, ')}"


def _keys_beside(schema: type[BaseModel], location: tuple) -> list[str]:
    """The keys that the schema knows at the place of an unknown key."""
    for part in location[:-1]:
        field = schema.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type):
            return []
        schema = field.annotation
    return list(schema.model_fields)


def did_you_mean(name: str, known: list[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, else all of them."""
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f" (did you mean {close[0]}?)"
    return f" (known: {', '.join(sorted(known))})" if known else ""


def listed(names: Iterable[str], last: str = "and") -> str:
    """ "A, B and C"."""
    *first, end = [*names] or [""]
    return f"{', '.join(first)} {last} {end}" if first else end


def known_names(folder: Path) -> list[str]:
    """Names of the YAML files of a folder, without their ending."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def merged(*contents: dict[str, Any]) -> dict[str, Any]:
    """Mappings laid over one another, key by key and level by level; the later one wins."""
    result: dict[str, Any] = {}
    for content in contents:
        for key, value in content.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result
