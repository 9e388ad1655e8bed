"""Mutated valid files for every reader: whatever comes out must be a UserError, or a result.

    python tests/fuzzing.py --count 20000 --seed 1

Each reader is registered in READERS: how a valid file is made in an empty folder, and how it is read.  The
same seed gives the same inputs.  Prints how many of them each reader took and refused, and every other
exception once, with a file that provokes it; the status is 1 if there is any.
"""

import copy
import io
import json
import logging
import random
import shutil
import sys
import tarfile
import tempfile
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from PIL import Image

from promptdistill.artifacts import read_header, write_sealed
from promptdistill.config.entries import DatasetConfig, Source, load_dataset
from promptdistill.data.download import fetch
from promptdistill.data.findings import findings
from promptdistill.data.images import FORMATS, open_image
from promptdistill.data.published import read_published
from promptdistill.data.receipt import contents_of, read_about
from promptdistill.data.splits import (
    check_files,
    draw_few_shot,
    read_split,
    read_zhou,
    write_draw,
    write_split,
)
from promptdistill.errors import UserError
from promptdistill.files import read_for_classes, write_json
from promptdistill.validation import read_yaml

LONG = "9" * 5000
DEEP = 100_000
SNIPPETS = [
    *(
        b"\xff",
        b"\xef\xbb\xbf",
        b"\0",
        b"\xed\xa0\x80",
        b"\n",
        b'"',
        b"'",
        b"{",
        b"]",
        b",",
        b":",
        b" ",
        b"/",
        b"../",
    ),
    *(
        b"\\ud800",
        b"\\u0000",
        b"null",
        b"true",
        b"NaN",
        b"-Infinity",
        b"-1",
        b"1e999",
        LONG.encode(),
        b"!!int x",
    ),
    *(
        b"\xff\xff\xff\xff",
        b"\0\0\0\0",
        b"\x7f\xff\xff\xff",
        b"\xff" * 8,
        b"\x80" + bytes(7),
        b"*a",
        b"&a [*a]",
    ),
    b"[" * DEEP,
]
VALUES = [
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    10**400,
    0.5,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "\ud800",
    "\0",
]
VALUES += ["a" * 10_000, "../x", "/etc/passwd", "e\u0301", [], {}, [[]], {"": None}]


class Reader(NamedTuple):
    """How a valid file is made in an empty folder, and how such a file is read.

    `make` returns the file to be mutated; the folder is copied for each input, other files in it stay valid.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], Any]


# Mutations


def mutations(valid: bytes, rng: random.Random) -> bytes:
    """`valid` with one to three random changes."""
    content = valid
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        content = rng.choice([_flip, _cut, _insert, _overwrite, _repeat, _swap, _structure, _structure])(
            content, rng
        )
    return content


def _slice(content: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(content) + 1)
    return start, min(len(content), start + rng.choice([1, 2, 8, 64, len(content)]))


def _flip(content: bytes, rng: random.Random) -> bytes:
    if not content:
        return content
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ (1 << rng.randrange(8))]) + content[place + 1 :]


def _cut(content: bytes, rng: random.Random) -> bytes:
    start, end = _slice(content, rng)
    return content[:start] + content[end:]


def _insert(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content) + 1)
    return content[:place] + rng.choice(SNIPPETS) + content[place:]


def _overwrite(content: bytes, rng: random.Random) -> bytes:
    place, snippet = rng.randrange(len(content) + 1), rng.choice(SNIPPETS)
    return content[:place] + snippet + content[place + len(snippet) :]


def _repeat(content: bytes, rng: random.Random) -> bytes:
    start, end = _slice(content, rng)
    return content[:end] + content[start:]


def _swap(content: bytes, rng: random.Random) -> bytes:
    """Two slices change places."""
    a, b, c = sorted(rng.randrange(len(content) + 1) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def _structure(content: bytes, rng: random.Random) -> bytes:
    """Of JSON, one value is exchanged, dropped or renamed; of anything else, bytes are inserted."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return _insert(content, rng)
    holder = {"": copy.deepcopy(value)}
    nodes = list(_nodes(holder))
    node, key = rng.choice(nodes)
    change = rng.randrange(4)
    if change == 0 and node is not holder:
        del node[key]
    elif change == 1 and isinstance(node, dict) and node is not holder:
        node[rng.choice(["trian", "\ud800", "", "promptdistill", "inputs"])] = node.pop(key)
    elif change == 2:
        node[key] = copy.deepcopy(rng.choice(nodes)[0])
    else:
        node[key] = rng.choice(VALUES)
    return json.dumps(holder[""]).encode()


def _nodes(node: Any):
    """Every place of a JSON value: what holds it, and the key there."""
    keys = list(node) if isinstance(node, dict) else range(len(node))
    for key in keys:
        yield node, key
        if isinstance(node[key], dict | list):
            yield from _nodes(node[key])


# Data


ENTRY = DatasetConfig(folder="own", images="images", split="split.json", template="a {}.")


def _pictures(folder: Path, *paths: str) -> None:
    for number, path in enumerate(paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2), number).save(folder / path)


def _own(folder: Path) -> Path:
    """A data set of two classes with its published split."""
    rows = [[f"{label}.png", label, name] for label, name in enumerate(["cat", "étoile"])]
    _pictures(folder / "images", *(path for path, _, _ in rows))
    write_json(folder / "split.json", {"train": rows, "val": [], "test": rows})
    return folder / "split.json"


def _checked(entry: DatasetConfig, folder: Path) -> None:
    split = check_files(read_published(entry, folder), folder / entry.images)
    findings(entry, split, contents_of(split, folder / entry.images))
    write_split(split, folder / "written.json", {"made": None, "inputs": {}})


def _split(folder: Path) -> Path:
    split = read_zhou(_own(folder))
    used = {"receipt": {"path": "data/own.json", "sha256": "0" * 64}}
    write_split(
        split, folder / "made.json", {"dataset": "own", "made": None, "inputs": used, "warnings": ["one"]}
    )
    return folder / "made.json"


def _draw(folder: Path) -> Path:
    draw = draw_few_shot(read_zhou(_own(folder)), 1, 1)
    write_draw(draw, folder / "1.json", {"dataset": "own", "shots": 1, "seed": 1, "made": None, "inputs": {}})
    return folder / "1.json"


def _receipt(folder: Path) -> Path:
    used = {"published split": {"path": "own/split.json", "sha256": "0" * 64, "root": "data"}}
    receipt = {"dataset": "own", "folder": "own", "warnings": ["one"], "made": None, "inputs": used}
    write_sealed(folder / "own.json", receipt)
    return folder / "own.json"


def _fgvc(name: str) -> Reader:
    entry = ENTRY.model_copy(update={"split": "images_variant_train.txt", "split_format": "fgvc_aircraft"})

    def make(folder: Path) -> Path:
        (folder / "variants.txt").write_text("707-320\nA300B4\n")
        for part in ("train", "val", "test"):
            (folder / f"images_variant_{part}.txt").write_text("1 707-320\n2 A300B4\n")
        (folder / "images").mkdir()
        for number in (1, 2):
            Image.new("L", (2, 2), number).save(folder / f"images/{number}.jpg")
        return folder / name

    return Reader(make, lambda path: _checked(entry, path.parent))


def _imagenet(split_format: str, *parts: str) -> Reader:
    entry = ENTRY.model_copy(update={"split": "classnames.txt", "split_format": split_format})

    def make(folder: Path) -> Path:
        paths = [f"{part}n0{number}/1.png" for part in parts for number in (1, 2)]
        _pictures(folder / "images", *paths)
        (folder / "classnames.txt").write_text("n01 tench\nn02 great white shark\n")
        return folder / "classnames.txt"

    return Reader(make, lambda path: _checked(entry, path.parent))


def _archive(ending: str) -> Reader:
    name = f"own.{ending}"
    source = Source(name=name, url="http://127.0.0.1:9/", extract_to="own")
    entry = ENTRY.model_copy(update={"sources": [source]})

    def make(folder: Path) -> Path:
        files = {"split.json": b'{"train": []}', "images/é.png": b"picture" * 9, "images/b/c.png": b""}
        packed = io.BytesIO()
        if ending == "zip":
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                for path, body in files.items():
                    archive.writestr(path, body)
        else:
            with tarfile.open(
                fileobj=packed, mode=f"w:{ending.removeprefix('tar.').replace('tar', '')}"
            ) as archive:
                for path, body in files.items():
                    member = tarfile.TarInfo(path)
                    member.size, member.mtime = len(body), 0.5  # which needs a header of its own
                    archive.addfile(member, io.BytesIO(body))
        path = folder / ".downloads/own" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(packed.getvalue())
        return path

    def read(path: Path) -> None:
        root = path.parents[2]
        beside = sorted(root.parent.iterdir())
        try:
            fetch("own", entry, root)
        except UserError:
            assert [one.name for one in root.iterdir()] == [".downloads"], "half an extraction stays"
            raise
        finally:
            assert sorted(root.parent.iterdir()) == beside, "something was written elsewhere"

    return Reader(make, read)


def _image(form: str, mode: str) -> Reader:
    def make(folder: Path) -> Path:
        pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 4), dtype=np.uint8)
        Image.fromarray(pixels, "RGBA").convert(mode).save(folder / "a.jpg", form)
        return folder / "a.jpg"

    return Reader(make, open_image)


def _dataset_entry(folder: Path) -> Path:
    entry = ENTRY.model_dump(mode="json") | {"sizes": {"train": 2}, "classes": 2}
    entry["sources"] = [
        Source(name="a.zip", url="http://127.0.0.1:9/", extract_to="own").model_dump(mode="json")
    ]
    (folder / "datasets").mkdir()
    write_json(folder / "datasets/own.yaml", entry)
    return folder / "datasets/own.yaml"


def _descriptions(folder: Path) -> Path:
    write_json(folder / "a.json", {"cat": ["a small animal"], "étoile_rouge": ["a red star"]})
    return folder / "a.json"


def _plain_yaml(folder: Path) -> Path:
    (folder / "a.yaml").write_text("a: &a [1, 2.5, null]\nb: {c: *a, 'd e': 2020-01-01, f: 0x1f}\n# said\n")
    return folder / "a.yaml"


READERS: dict[str, Reader] = {
    "published split": Reader(_own, lambda path: _checked(ENTRY, path.parent)),
    "split": Reader(_split, lambda path: (read_split(path), read_about(path))),
    "draw": Reader(_draw, lambda path: (read_split(path), read_header(path))),
    "receipt": Reader(_receipt, read_about),
    "variants.txt": _fgvc("variants.txt"),
    "images_variant_train.txt": _fgvc("images_variant_train.txt"),
    "classnames.txt": _imagenet("imagenet", "train/", "val/"),
    "classnames.txt of a variant": _imagenet("imagenet_variant", ""),
    "entry of a data set": Reader(_dataset_entry, lambda path: load_dataset("own", path.parents[1])),
    "YAML": Reader(_plain_yaml, read_yaml),
    "file of a method": Reader(_descriptions, lambda path: read_for_classes(path, ["cat", "étoile rouge"])),
    **{ending: _archive(ending) for ending in ("tar", "tar.gz", "tar.bz2", "tar.xz", "zip")},
    **{f"{form} image": _image(form, "L" if form == "PPM" else "RGB") for form in FORMATS},
    "PNG image of 16 bits": _image("PNG", "I;16"),
    "TIFF image of 16 bits": _image("TIFF", "I;16"),
}


def every_reader() -> dict[str, Reader]:
    """All readers there are, by name: of data, of models, of results."""
    import fuzzing_models
    import fuzzing_results

    return READERS | fuzzing_models.READERS | fuzzing_results.READERS


# Running


class Count(NamedTuple):
    """What became of a reader's inputs, and the faults: a traceback -> an input that provokes it."""

    taken: int
    refused: int
    faults: dict[str, bytes]


def fuzz(reader: Reader, count: int, seed: str) -> Count:
    """Read the valid file, then `count` mutations of it, as files, now and then as a folder."""
    rng, results, faults = random.Random(seed), Counter(), {}
    with tempfile.TemporaryDirectory() as place:
        valid = Path(place, "valid")
        valid.mkdir()
        file = reader.make(valid).relative_to(valid)
        content = (valid / file).read_bytes()
        for number in range(count + 1):
            folder = Path(place, "tried")
            shutil.copytree(valid, folder)
            mutated = mutations(content, rng) if number else content
            (folder / file).write_bytes(mutated)
            if number and rng.random() < 0.003:
                (folder / file).unlink()
                (folder / file).mkdir()
            try:
                reader.read(folder / file)
                results["taken"] += 1
            except UserError as error:
                assert number, f"the valid file is refused: {error}"
                str(error).encode()  # it can be printed
                results["refused"] += 1
            except Exception:  # it is what is looked for
                lines = traceback.format_exc(limit=-3).strip()
                faults.setdefault(
                    lines if len(lines) < 3000 else lines[:1500] + " … " + lines[-1500:], mutated
                )
            finally:
                shutil.rmtree(folder)
    return Count(results["taken"], results["refused"], faults)


@click.command()
@click.option("--count", default=20_000, show_default=True, help="Inputs for all readers together.")
@click.option("--seed", default=1, show_default=True)
@click.option("--reader", "names", multiple=True, help="Only these; else all.")
def main(count: int, seed: int, names: tuple[str, ...]) -> None:
    """Read mutated valid files with every reader; only the project's own errors may come out."""
    logging.disable()
    warnings.simplefilter("ignore")
    readers = every_reader()
    chosen = {name: readers[name] for name in names or readers}
    each, faults = -(-count // len(chosen)), 0
    for name, reader in chosen.items():
        found = fuzz(reader, each, f"{seed} {name}")
        click.echo(
            f"{name}: {found.taken - 1} inputs taken, {found.refused} refused, {len(found.faults)} faults"
        )
        for fault, mutated in found.faults.items():
            click.echo(f"  {fault}\n  for {mutated[:200]!r}")
        faults += len(found.faults)
    click.echo(f"{each * len(chosen)} inputs, seed {seed}: {faults} kinds of faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    from fuzzing import main as once  # as a module, like those that import it

    once()
