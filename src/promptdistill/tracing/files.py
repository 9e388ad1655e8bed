"""A file that a number was made from: what was recorded of it, and what lies there now."""

from typing import Any, Literal

from pydantic import Field, computed_field

from ..validation import Strict

State = Literal["as recorded", "not recorded", "changed", "missing"]


class TracedFile(Strict):
    """One file of a trace, and the files that it was made from.

    `recorded` is the SHA-256 in the artifact that used it, None where none is recorded; `found` that of the
    file that lies here now, None if there is none.  `facts` are what the file says of itself.  A file that
    is not the recorded one has neither facts nor inputs: what they say belongs to another number.
    """

    what: str
    path: str
    recorded: str | None
    found: str | None
    facts: dict[str, Any] = Field({})
    inputs: list["TracedFile"] = Field([])

    @computed_field
    @property
    def state(self) -> State:
        """How the file that lies here now compares with the recorded one."""
        if self.found is None:
            return "missing"
        if self.recorded is None:
            return "not recorded"
        return "as recorded" if self.found == self.recorded else "changed"

    @property
    def fits(self) -> bool:
        """Whether the number was made from the file that lies here, as far as is recorded."""
        return self.state in ("as recorded", "not recorded")

    def all(self) -> list["TracedFile"]:
        """This file, and all that it was made from."""
        return [self, *(found for file in self.inputs for found in file.all())]
