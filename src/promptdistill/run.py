"""How runs and methods are named: one key for a run's path, command, MLflow run and trace."""

from typing import Annotated, NamedTuple

from pydantic import Field

from .errors import UserError

Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
DatasetName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
MethodName = Annotated[str, Field(pattern=r"^[a-z0-9_]+(@[a-z0-9_]+)?(\+caspl)?$")]

CASCADED = "+caspl"  # suffix of a method that is cascaded on boosting prompts
VARIANT = "@"  # stands before the name of a method's variant
NO_SEED = "-"  # stands for the seed where nothing is learned


class RunKey(NamedTuple):
    """One training and its test, or (0 shots, no seed) the test of a method that learns nothing."""

    protocol: str
    dataset: str
    method: str
    shots: int
    seed: int | None

    def __str__(self) -> str:
        """As in "base_to_novel/dtd/coop/16/1"."""
        return "/".join([*self[:3], str(self.shots), NO_SEED if self.seed is None else str(self.seed)])

    @classmethod
    def parse(cls, text: str) -> "RunKey":
        """Read what `str` writes; UserError if it is something else."""
        parts = text.split("/")
        if len(parts) == len(cls._fields) and all(parts):
            *names, shots, seed = parts
            if text.isascii() and shots.isdecimal() and (seed.isdecimal() or seed == NO_SEED):
                return cls(*names, int(shots), None if seed == NO_SEED else int(seed))
        raise UserError(
            f"{text!r} is not a run: name protocol, data set, method, shots and seed, such as "
            f"base_to_novel/dtd/coop+caspl/16/1 (seed {NO_SEED} and 0 shots where nothing is learned)."
        )


def split_method(method: str) -> tuple[str, bool]:
    """("coop", True) for "coop+caspl", ("coop", False) for "coop"."""
    return method.removesuffix(CASCADED), method.endswith(CASCADED)


def split_variant(method: str) -> tuple[str, str | None]:
    """("fdbpl+caspl", "one_region") for "fdbpl@one_region+caspl", ("fdbpl", None) for "fdbpl"."""
    plain, cascaded = split_method(method)
    name, _, variant = plain.partition(VARIANT)
    return name + CASCADED * cascaded, variant or None


def family(method: str) -> str:
    """ "fdbpl" for "fdbpl@one_region+caspl": the name of the method's entry and of its code."""
    return split_method(split_variant(method)[0])[0]
