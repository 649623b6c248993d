"""Options of norm specs, such as the gate of ``ILN(gate=clip)``: what they take, and messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from normsearch.errors import NormError, did_you_mean, short

ANY_NUMBER = "G"  # in the values of an option: any whole number, 1 or more

MOST = 65_536  # groups or samples; no layer has as many channels
NUMBER = "[1-9][0-9]{0,8}"
_DECIMAL = r"(0|[1-9][0-9]{0,11})(\.[0-9]{1,6})?"


class Decimals(NamedTuple):
    """The values of an option that takes any number in a range, as BRN's r does."""

    default: str
    least: int


Values: TypeAlias = tuple[str, ...] | Decimals


def number(digits: str | None) -> int | None:
    """Return the whole number that `digits` spell; None for None or no digits."""
    if digits and len(digits) > 20:
        raise NormError(f"a norm takes numbers up to {MOST}, got {short(digits)}")
    return int(digits) if digits else None


def decimal_text(value: float) -> str:
    """Return the text of a number of six decimals at most, as `Decimals` takes it."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def shortest(value: str, values: Values) -> str:
    """Return the shortest text of a value: 1.50 is 1.5, 3.0 is 3."""
    if not isinstance(values, Decimals) or "." not in value:
        return value
    return value.rstrip("0").rstrip(".")


def check_option(kind: str, known: Mapping[str, Values], name: str, value: str) -> None:
    """Raise NormError unless the kind has the option and the option takes the value."""
    if not known:
        raise NormError(f"{kind} takes no options, got {name}={value}")
    if name not in known:
        names = ", ".join(known)
        raise NormError(f"{kind} has the options {names}, got {name!r}.{did_you_mean(name, known)}")
    values = known[name]
    if isinstance(values, Decimals):
        if not re.fullmatch(_DECIMAL, value) or float(value) < values.least:
            raise NormError(
                f"{kind}: {name} must be a number of at least {values.least}, such as "
                f"{values.default} or {values.least + 0.5}, got {value!r}"
            )
        return
    if value in values and value != ANY_NUMBER:
        return
    if ANY_NUMBER in values and re.fullmatch(NUMBER, value):
        if (number(value) or 0) > MOST:
            raise NormError(f"{kind}: {name} must be at most {MOST}, got {value}")
        return
    words = [word for word in values if word != ANY_NUMBER]
    listed = f"one of {', '.join(words)}"
    if ANY_NUMBER in values:  # a number among the words is only the default
        listed = " or ".join([*(w for w in words if not w.isdigit()), "a whole number"])
    likely = did_you_mean(value, words)
    raise NormError(f"{kind}: {name} must be {listed}, got {value!r}.{likely}")
