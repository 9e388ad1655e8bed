"""One file a protocol: what is trained, what is tested, and how that is tabulated.

A file of this folder that defines `PROTOCOL` is a protocol; nothing else lists them.
"""

import importlib
import pkgutil

from ..errors import UserError
from ..validation import did_you_mean
from .base import Protocol, Table

_modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
_found = [module.PROTOCOL for module in _modules if hasattr(module, "PROTOCOL")]

# Name -> protocol, in the order in which they are run and shown.
PROTOCOLS: dict[str, Protocol] = {own.name: own for own in sorted(_found, key=lambda own: own.order)}

for _own in PROTOCOLS.values():
    # Features are stored by the data set they are of, so prompts of two sources must differ in kind.
    assert type(_own).source is Protocol.source or _own.boosting == _own.name, (
        f"{_own.name} has a source, so it needs boosting prompts of its own: boosting = {_own.name!r}"
    )

# Name -> table: what the protocols' results are shown in.  One protocol may serve several.
TABLES: dict[str, Table] = {table.name: table for protocol in PROTOCOLS.values() for table in protocol.tables}


def protocol_named(name: str) -> Protocol:
    """The protocol of a name; UserError if there is none."""
    if name not in PROTOCOLS:
        raise UserError(f"There is no protocol {name!r}{did_you_mean(name, list(PROTOCOLS))}.")
    return PROTOCOLS[name]


def protocol_of(table: str) -> Protocol:
    """The protocol whose results a table shows; UserError if there is no such table."""
    if table not in TABLES:
        raise UserError(f"There is no table {table!r}{did_you_mean(table, list(TABLES))}.")
    return next(protocol for protocol in PROTOCOLS.values() if TABLES[table] in protocol.tables)
