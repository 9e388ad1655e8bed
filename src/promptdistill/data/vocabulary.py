"""Vocabularies: text files of names that belong to no data set, for class-agnostic training."""

from pathlib import Path

from ..errors import UserError
from ..files import read_text


def read_names(path: Path) -> list[str]:
    """One name a line; UserError if a line is empty, a name stands twice, or there are fewer than two."""
    lines = [line.strip() for line in read_text(path).splitlines()]
    seen: dict[str, int] = {}
    for number, name in enumerate(lines, start=1):
        if not name:
            raise UserError(f"{path}, line {number} is empty: give one name a line.")
        if name in seen:
            raise UserError(f"{path}: {name!r} stands in line {seen[name]} and in line {number}: drop one.")
        seen[name] = number
    if len(lines) < 2:
        raise UserError(f"{path} holds {len(lines)} names, but a vocabulary has two or more.")
    return lines
