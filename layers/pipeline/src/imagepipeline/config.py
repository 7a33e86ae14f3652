"""The environment variables of a function, validated. A ConfigError names the variable that is wrong.

No other module of the layer or the functions reads `os.environ`, and no module reads it on import.
"""

import os

from imagepipeline.errors import ConfigError


def text(name: str) -> str:
    """A variable that must not be empty."""
    value = os.environ.get(name, "").strip()
    if not value:
        raise ConfigError(name, "is not set")
    return value


def number(name: str, lowest: float, highest: float) -> float:
    """A number from `lowest` to `highest`, inclusive."""
    value = text(name)
    try:
        parsed = float(value)
    except ValueError:
        raise ConfigError(name, f'"{value}" is not a number') from None
    if not lowest <= parsed <= highest:
        raise ConfigError(name, f"{value} is not between {lowest:g} and {highest:g}")
    return parsed


def whole_number(name: str, lowest: int, highest: int) -> int:
    """An integer from `lowest` to `highest`, inclusive."""
    parsed = number(name, lowest, highest)
    if parsed != int(parsed):
        raise ConfigError(name, f'"{text(name)}" is not a whole number')
    return int(parsed)


def switch(name: str) -> bool:
    """A boolean, written `true` or `false`."""
    value = text(name)
    if value not in ("true", "false"):
        raise ConfigError(name, f'"{value}" is neither true nor false')
    return value == "true"


def choice(name: str, *options: str) -> str:
    """One of the `options`."""
    value = text(name)
    if value not in options:
        raise ConfigError(name, f'"{value}" is none of {", ".join(options)}')
    return value
