"""How runs and methods are named: one key for a run's path, command, MLflow run and trace."""

import re
from functools import cache
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field, WithJsonSchema

from .errors import UserError

Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
DatasetName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
CASCADED = "+caspl"  # suffix of a method that is cascaded on boosting prompts
VARIANT = "@"  # stands before the name of a variant
_NAME = r"([a-z0-9_]+)(?:@([a-z0-9_]+))?"  # of a method or a plug-in, with its variant
METHOD_PATTERN = rf"{_NAME}(\+caspl)?(?:\+{_NAME})?"


def _method_name(method: str) -> str:
    try:
        MethodParts.of(method)
    except UserError as error:
        raise ValueError(str(error).rstrip(".")) from None
    return method


_SCHEMA = WithJsonSchema({"type": "string", "pattern": f"^{METHOD_PATTERN}$"})  # for editors
MethodName = Annotated[str, AfterValidator(_method_name), _SCHEMA]
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


class MethodParts(NamedTuple):
    """What the name of a method says, such as "coop+caspl+fdbpl@hinge".

    `name` is that of its entry and its code, `plugin` that of what stands in for labels.  A variant is the
    method's own or the plug-in's.
    """

    name: str
    variant: str | None
    cascaded: bool
    plugin: str | None
    plugin_variant: str | None

    @classmethod
    @cache
    def of(cls, method: str) -> "MethodParts":
        """Read what `str` writes; UserError if it is something else."""
        found = re.fullmatch(METHOD_PATTERN, method)
        if not found or found[4] == CASCADED[1:]:
            raise UserError(
                f"{method!r} is not a method: name it METHOD[@VARIANT][{CASCADED}][+PLUGIN[@VARIANT]], "
                "such as coop+caspl+fdbpl."
            )
        name, variant, cascaded, plugin, plugin_variant = found.groups()
        return cls(name, variant, cascaded is not None, plugin, plugin_variant)

    def __str__(self) -> str:
        parts = [self.name, _suffix(VARIANT, self.variant), CASCADED * self.cascaded]
        return "".join([*parts, _suffix("+", self.plugin), _suffix(VARIANT, self.plugin_variant)])

    @property
    def is_variant(self) -> bool:
        """Whether it is a method with other hyper-parameters, or with a plug-in with others."""
        return self != self.usual

    @property
    def usual(self) -> "MethodParts":
        """The method that this one is a variant of, or itself."""
        return self._replace(variant=None, plugin_variant=None)

    @property
    def alone(self) -> "MethodParts":
        """The method without a boosting prompt."""
        return self._replace(cascaded=False)


def _suffix(sign: str, name: str | None) -> str:
    return sign + name if name else ""


def family(method: str) -> str:
    """ "coop" for "coop@long+caspl+fdbpl": the name of the method's entry and of its code."""
    return MethodParts.of(method).name


def is_cascaded(method: str) -> bool:
    """Whether a method is cascaded on boosting prompts."""
    return MethodParts.of(method).cascaded


def modules_of(method: str) -> tuple[str, ...]:
    """The modules that hold a method and its plug-in."""
    parts = MethodParts.of(method)
    return (f"methods.{parts.name}", *([f"plugins.{parts.plugin}"] if parts.plugin else []))
