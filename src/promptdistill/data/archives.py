"""Unpacking archives that nobody vouches for: files and folders alone, and only where they belong.

Members are written by this module, not by tarfile or zipfile: without links, rights, owners and dates, so
that no version of Python can be led out of the folder by them.
"""

import errno
import logging
import os
import shutil
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

CHUNK = 1 << 20
LONGEST_NAME, LONGEST_PATH = 255, 4095  # bytes, on all usual file systems
GROWTH = 10  # pictures hardly shrink when packed: an archive may unpack to so many times its stated size

log = logging.getLogger(__name__)


class ArchiveError(Exception):
    """An archive is of no use; the message is the part of a sentence that names it and says why."""


class UnsafeMemberError(Exception):
    """Something in an archive is not a plain file or folder, or has no place below the target."""


class Member(NamedTuple):
    """One file of an archive, or a folder if there is nothing to open."""

    name: str
    size: int
    open: Callable[[], IO[bytes]] | None


def unpack(archive: Path, target: Path, strip: int = 0, stated_size: int | None = None) -> None:
    """Unpack a tar (plain, gzip, bzip2, xz) or zip file, dropping `strip` components of each path.

    `stated_size` is the archive's published size in bytes, where there is one.  ArchiveError if it is
    damaged or encrypted, holds anything but files and folders, a name that is no place below `target` or
    stands twice, or much more than its stated size; OSError if the disk does not serve.
    """
    log.info("Unpacking %s", archive)
    try:
        if tarfile.is_tarfile(archive):
            with tarfile.open(archive, tarinfo=_TarInfo) as packed:
                _write(_tar_members(packed), target, strip, stated_size)
                while packed.fileobj.read(CHUNK):  # the checksum stands behind the last member
                    pass
        elif zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                _write(_zip_members(packed), target, strip, stated_size)
        else:
            raise ArchiveError(f"{archive.name} is neither a tar nor a zip file")
    except ArchiveError:
        raise
    except Exception as error:  # decompressors and parsers raise whatever they like
        if isinstance(error, OSError) and error.errno is not None:  # the disk's fault
            raise
        said = " ".join(str(error).split()) or type(error).__name__
        raise ArchiveError(f"{archive.name} is damaged or unsafe ({said})") from error


class _TarInfo(tarfile.TarInfo):
    """Refuses a damaged header, which tarfile takes for the end of an archive."""

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> "_TarInfo":
        try:
            return super().frombuf(buf, encoding, errors)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:
            raise tarfile.ReadError(str(error)) from error


def _tar_members(packed: tarfile.TarFile) -> Iterator[Member]:
    for member in packed:
        plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
        if not plain and not member.isdir():
            raise UnsafeMemberError(f"{member.name!r} is a link, a device or the like")
        opened = (lambda member=member: packed.extractfile(member)) if plain else None
        yield Member(member.name, member.size, opened)


def _zip_members(packed: zipfile.ZipFile) -> Iterator[Member]:
    for member in packed.infolist():
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UnsafeMemberError(f"{member.filename!r} is a link, a device or the like")
        if member.flag_bits & 1:
            raise UnsafeMemberError(f"{member.filename!r} is encrypted")
        if not member.filename.startswith("__MACOSX/"):  # what macOS adds beside the files
            opened = None if member.is_dir() else lambda member=member: packed.open(member)
            yield Member(member.filename, member.file_size, opened)


def _write(members: Iterator[Member], target: Path, strip: int, stated_size: int | None) -> None:
    target.mkdir(parents=True, exist_ok=True)
    free, total = shutil.disk_usage(target).free, 0
    files: set[str] = set()
    folders: set[str] = set()
    for member in members:
        path = _inside(member.name, strip, target)
        if not path:
            continue
        total += max(member.size, 0)
        if stated_size and total > GROWTH * stated_size:
            raise UnsafeMemberError(f"it unpacks to more than {GROWTH} times its {stated_size} bytes")
        if total > free:
            raise OSError(
                errno.ENOSPC, f"its files take more than the {free} bytes that are free", str(target)
            )
        _refuse_repeats(path, member, files, folders)
        if member.open is None:
            (target / path).mkdir(parents=True, exist_ok=True)
            continue
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        with member.open() as source, (target / path).open("wb") as copy:
            shutil.copyfileobj(source, copy, CHUNK)


def _inside(name: str, strip: int, target: Path) -> str:
    """A member's path without its first `strip` components, or "" if none are left."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise UnsafeMemberError(f"{name!r} lies outside")
    try:
        lengths = [len(part.encode()) for part in path.parts]
    except UnicodeEncodeError:
        raise UnsafeMemberError(f"the name {name!r} is not UTF-8") from None
    if "\0" in name or "\\" in name:
        raise UnsafeMemberError(f"{name!r} is no file name on every system")
    whole = len(os.fsencode(target.absolute())) + sum(lengths) + len(lengths)
    if max(lengths, default=0) > LONGEST_NAME or whole > LONGEST_PATH:
        raise UnsafeMemberError(f"the name {name[:50]!r}… is too long")
    return "/".join(path.parts[strip:])


def _refuse_repeats(path: str, member: Member, files: set[str], folders: set[str]) -> None:
    """UnsafeMemberError if a name stands twice, for any file system; else it joins `files` or `folders`."""
    own = unicodedata.normalize("NFC", path).casefold()
    above = {str(parent) for parent in PurePosixPath(own).parents}
    if member.open is None:
        above.add(own)
    elif own in files:
        raise UnsafeMemberError(f"{member.name!r} stands in it twice")
    else:
        files.add(own)
    folders |= above
    if own in folders & files or above & files:
        raise UnsafeMemberError(f"{member.name!r} is a file and a folder in it")
