"""Loading images in other processes."""

from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import UserError


def load(loader: Iterable[Any]) -> Iterator[Any]:
    """The loader's batches.  A UserError in a worker process arrives as the sentence that it was.

    Torch raises it again with the worker's whole traceback as its message.
    """
    try:
        yield from loader
    except UserError as error:
        raise UserError(str(error).rstrip().rpartition("UserError: ")[2]) from None
