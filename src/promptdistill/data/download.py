"""Getting a data set's files: recognised where they lie, drawn, or downloaded and unpacked.

Downloads stay in `data_root/.downloads/NAME`; they go on where they broke off, and their hashes are
checked.  The data set's own folder is touched last, so a killed run never looks complete.
"""

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pooch
import requests

from ..config.entries import DatasetConfig, Source
from ..errors import UserError
from ..files import atomic
from ..progress import progress
from .archives import ArchiveError, unpack
from .published import split_file

CHUNK = 1 << 16  # bytes taken from the network at a time; a broken connection costs at most one
TIMEOUT = 60  # seconds that a server may be silent

LAYOUTS = {
    "zhou": "{split}, and in {images} the images that it names",
    "fgvc_aircraft": "variants.txt, images_variant_{{train,val,test}}.txt, and the images in {images}",
    "imagenet": "{split} (lines such as 'n01440764 tench'; DATASETS.md of github.com/KaiyangZhou/CoOp "
    "links it), and {images}/train and {images}/val with one folder a WordNet id",
    "imagenet_variant": "{split} (a copy of ImageNet's; the one in ../imagenet serves too), "
    "and {images} with one folder a class",
}

log = logging.getLogger(__name__)


class SourceError(Exception):
    """A source is of no use; the message is the part of a sentence that says which, and why."""


def fetch(name: str, dataset: DatasetConfig, data_root: Path) -> None:
    """Make sure that the folder of data set `name` holds its split file and its image folder.

    A folder with both is left as it is, without a request; any other data set
    is downloaded, from its mirror when one of its originals fails.  Files that are there
    already are never replaced.  UserError says what failed and how to place the files by hand.
    """
    folder = data_root / dataset.folder
    if split_file(dataset, folder).is_file() and (folder / dataset.images).is_dir():
        return
    failures = []
    for sources in filter(None, (dataset.sources, dataset.fallback)):
        try:
            _obtain(name, dataset, data_root, sources)
            return
        except SourceError as error:
            log.warning("Data set %s: %s.", name, error)
            failures.append(str(error))
        except OSError as error:
            raise UserError(f"Data set {name} cannot be stored in {data_root}: {error}.") from error
    raise UserError(_by_hand(name, dataset, folder, failures))


def _by_hand(name: str, dataset: DatasetConfig, folder: Path, failures: Sequence[str]) -> str:
    why = "; ".join(failures) or "it has no public address"
    page = f" from {dataset.page}" if dataset.page else ""
    images = dataset.images or "the same folder"
    layout = LAYOUTS[dataset.split_format].format(split=dataset.split, images=images)
    return (
        f"Data set {name} is not in {folder} and could not be downloaded ({why}): "
        f"get it{page} by hand, and place in that folder {layout}."
    )


def _obtain(name: str, dataset: DatasetConfig, data_root: Path, sources: Sequence[Source]) -> None:
    """Download all sources, and only then put the data set into its folder; else SourceError."""
    folder = (data_root / dataset.folder).resolve()  # it may be a link to another disk
    downloads = data_root / ".downloads" / name
    wanted = _wanted(dataset, folder, sources)
    for source in wanted:
        _download(source, downloads / source.name)
    with _scratch(folder.with_name(f".{folder.name}.unpacking")) as staging:
        staged = staging / dataset.folder
        for source in wanted:
            if source.extract_to is None:
                with atomic(staged / source.name) as copy:
                    shutil.copyfile(downloads / source.name, copy)
            else:
                _unpack(downloads / source.name, staging / source.extract_to, source)
        for part in (dataset.split, dataset.images):
            if not (staged / part).exists() and not (folder / part).exists():
                raise SourceError(f"{', '.join(source.name for source in wanted)} brought no {part}")
        _merge(staged, folder)


def _wanted(dataset: DatasetConfig, folder: Path, sources: Sequence[Source]) -> Sequence[Source]:
    """The split file alone where the images are there and it has a source of its own, else all."""
    split = [source for source in sources if source.extract_to is None and source.name == dataset.split]
    has_images = dataset.images and (folder / dataset.images).is_dir()
    return split if split and has_images else sources


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder that is new at first, whatever a killed run left there, and gone in the end."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _merge(source: Path, target: Path) -> None:
    """Move `source` to `target` by renaming; what is there already stays.

    Folders go before files: the split file comes last, and with it the data set is complete.
    """
    if not target.exists():
        source.replace(target)
    elif source.is_dir() and target.is_dir():
        for entry in sorted(source.iterdir(), key=Path.is_file):
            _merge(entry, target / entry.name)


def _download(source: Source, kept: Path) -> None:
    """Make sure that `kept` is the file of `source`; SourceError if it cannot be had."""
    partial = kept.with_name(f"{kept.name}.partial")

    def resume_into(url: str, output_file: str, _: pooch.Pooch | None) -> None:
        _resume(url, partial, guarded=source.hash is not None)
        partial.replace(output_file)
        _validator_of(partial).unlink(missing_ok=True)

    pooch.get_logger().setLevel(logging.WARNING)  # it would ask the user to write hashes into code
    log.info("Downloading %s", source.url)
    try:
        pooch.retrieve(source.url, source.hash, kept.name, kept.parent, downloader=resume_into)
    except requests.RequestException as error:
        raise SourceError(f"{source.url} failed: {_reason(error)}") from error
    except ValueError as error:
        raise SourceError(f"{source.url} is not the published file, its hash differs") from error
    size = kept.stat().st_size
    if source.size not in (None, size):
        kept.unlink()
        raise SourceError(f"{source.url} has {size} bytes instead of {source.size}")


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return f"the server was silent for {TIMEOUT} seconds"
    return "there is no connection, or it broke off"


def _resume(url: str, partial: Path, guarded: bool) -> None:
    """Download `url` into `partial`, going on from what is there, as long as bytes keep coming.

    `guarded`: a hash is checked afterwards.  RequestException when no further byte can be had.
    """
    while True:
        before = _size(partial)
        try:
            return _attempt(url, partial, guarded)
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            if _size(partial) <= before:
                raise
            log.info("%s broke off after %d bytes; going on", url, _size(partial))


def _attempt(url: str, partial: Path, guarded: bool) -> None:
    """One request for what is missing of `partial`, or for all where the parts might not match."""
    validator = _validator_of(partial)
    known = validator.read_text() if validator.exists() else ""
    start = _size(partial) if known or guarded else 0
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-"} | ({"If-Range": known} if known else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            if response.headers.get("Content-Range") == f"bytes */{start}":
                return  # a run was killed between the last byte and the renaming
            partial.unlink()
            return _attempt(url, partial, guarded)
        response.raise_for_status()
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise SourceError(f"{url} answered with a web page instead of the file")
        if response.status_code != requests.codes.partial_content:
            start = 0  # the server knows no ranges, or the file has changed
            validator.write_text(_validator(response))
        _append(response, partial, start)


def _append(response: requests.Response, partial: Path, start: int) -> None:
    """Write the body of `response` into `partial` from byte `start` on."""
    length = response.headers.get("Content-Length")
    # Some servers call a .tar.gz an encoding; it must arrive as it is stored.
    response.raw.headers.discard("Content-Encoding")
    bar = progress(start + int(length) if length else None, partial.stem, "B", start)
    with partial.open("ab" if start else "wb") as stream, bar as shown:
        for chunk in response.iter_content(CHUNK):
            stream.write(chunk)
            shown.update(len(chunk))


def _validator_of(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.validator")


def _validator(response: requests.Response) -> str:
    """What tells a server that the rest of the same file is wanted; a weak ETag cannot."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _unpack(archive: Path, target: Path, source: Source) -> None:
    """Unpack a download, or the archive inside it, into `target`; SourceError if it is damaged or unsafe."""
    try:
        if source.inner is None:
            return unpack(archive, target, source.strip, source.size)
        with _scratch(archive.with_name(f"{archive.name}.unpacking")) as outer:
            unpack(archive, outer, stated_size=source.size)
            if not (outer / source.inner).is_file():
                raise ArchiveError(f"{archive.name} holds no {source.inner}")
            unpack(outer / source.inner, target, source.strip, source.size)
    except ArchiveError as error:
        if source.hash is None:  # nothing else would make the next run download it again
            archive.unlink()
        raise SourceError(str(error)) from error
