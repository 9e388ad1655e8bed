"""Who works in a folder of results: one run of the workflow at a time, and the steps of it or of a user.

Both are locks of the operating system, which end with their process, however it ends.  Linux passes them on
to the other hosts of an NFS, Lustre where it is mounted with `flock`; a file system without locks has none.
"""

import errno
import fcntl
import getpass
import os
import shlex
import socket
import sys
import time
from pathlib import Path

import click

from .errors import UserError

_RUN, _STEPS = ".running", ".steps"
_NOT_HERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


def claim(results: Path) -> None:
    """Make this process the one run of a folder until it ends; UserError says which process is it already.

    Steps that a killed run has left are waited for, and the unfinished files of others removed.
    """
    run = _open(results / _RUN)
    if not _lock(run, fcntl.LOCK_EX | fcntl.LOCK_NB):
        holder = os.read(run, 1000).decode(errors="replace").strip() or "another process"
        raise UserError(
            f"{results} is in use by {holder}: wait for it, or stop it, or give another folder under results."
        )
    os.truncate(run, 0)
    os.write(run, _me().encode())
    steps = _open(results / _STEPS)
    if not _lock(steps, fcntl.LOCK_EX | fcntl.LOCK_NB):
        click.echo(f"Waiting for steps that still work in {results} …", err=True)
        while not _lock(steps, fcntl.LOCK_EX | fcntl.LOCK_NB):
            time.sleep(1)
    _remove_unfinished(results)
    os.close(steps)


def take_part(results: Path) -> None:
    """Let this process count as a step that works in a folder, until it ends."""
    _lock(_open(results / _STEPS), fcntl.LOCK_SH)


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)  # open until the process ends


def _lock(file: int, kind: int) -> bool:
    """Whether the lock was got; also true where the file system has none."""
    try:
        fcntl.flock(file, kind)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
    return True


def _me() -> str:
    command, since = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]), time.strftime("%Y-%m-%d %H:%M:%S")
    who = f"process {os.getpid()} of {getpass.getuser()} on {socket.gethostname()}"
    return f"{who} since {since} ({command})\n"


def _remove_unfinished(results: Path) -> None:
    """Remove the files that killed steps have left; the folders of data sets are not searched."""
    for folder in results.iterdir():
        if folder.is_dir():
            for path in folder.glob(".*.partial") if folder.name == "data" else folder.rglob(".*.partial"):
                path.unlink(missing_ok=True)
