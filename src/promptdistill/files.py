"""Atomic writes, hashes and JSON: every artifact on disk goes through here."""

import hashlib
import json
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import UserError

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


_LITTLE = 2**20  # bytes of a disk that is as good as full


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds.

    A reader sees the old file or the whole new one, never a part; a failed block leaves the old one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o644)
        partial.replace(path)
    except Exception:  # libraries say in many ways that a disk is full
        refuse_full_disk(path.parent)
        raise
    finally:
        partial.unlink(missing_ok=True)


def refuse_full_disk(folder: Path) -> None:
    """UserError if there is no room left where a folder lies."""
    free = shutil.disk_usage(folder).free
    if free < _LITTLE:
        raise UserError(
            f"The disk of {folder} is full ({free / 1e6:.1f} MB are free): make room, or name another folder "
            "in the configuration; `promptdistill plan` says what an experiment needs."
        )


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_csv(path: Path, frame: Any, **form: Any) -> None:
    """Write a pandas frame to `path` atomically, as CSV that a spreadsheet takes no text in for a formula.

    Text stands on one line; what begins like a formula has an apostrophe in front.
    """
    text = frame.select_dtypes(exclude=["number", "bool"])
    write_text(path, frame.assign(**text.map(_one_line)).to_csv(index=False, **form))


def _one_line(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    line = " ".join(cell.split())
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) else line


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` atomically, as JSON that is the same for the same value."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_text(path: Path) -> str:
    """Read a text file, without a byte order mark; UserError names it if it is missing or is not UTF-8."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (at byte {error.start}): save it as UTF-8.") from None
    if "\0" in text:
        raise UserError(f"{path} is not a text file.")
    return text


def read_json(path: Path) -> Any:
    """Read a JSON file; UserError names the file if it is missing or damaged."""
    text = read_text(path)
    try:
        value = json.loads(text)
        if _SURROGATE.search(text):  # half a sign may hide in an escape, and could never be written
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        fault = "it is nested too deeply"
    except UnicodeEncodeError:
        fault = "it holds half a surrogate pair"
    except ValueError as error:  # malformed, or with a number of thousands of digits
        fault = str(error).partition(";")[0]
    else:
        return value
    raise UserError(
        f"{path} is not valid JSON ({fault}): mend it or, if a run made it, delete it and run again."
    )


def read_for_classes(path: Path, class_names: list[str]) -> dict[str, Any]:
    """Read a JSON file that says something of every class: class name -> anything.

    Names may be spelt with underscores or spaces, as in splits, and in any form of Unicode.  UserError if a
    class is missing.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a JSON object, class name -> what is said of the class.")
    spoken = {_spelt(name): value for name, value in content.items()}
    missing = [name for name in class_names if _spelt(name) not in spoken]
    if missing:
        more = f" and {len(missing) - 1} other classes" if len(missing) > 1 else ""
        raise UserError(f"{path} says nothing of the class {missing[0]!r}{more}: add what is missing.")
    return {name: spoken[_spelt(name)] for name in class_names}


def _spelt(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("_", " "))


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_json(value: Any) -> str:
    """Hexadecimal SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
