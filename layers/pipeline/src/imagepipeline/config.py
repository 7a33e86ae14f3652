"""The settings a function is deployed with: read once, by name, failing by name.

Nothing else in the project reads `os.environ`, and importing a module never needs a variable.
"""

import os

from imagepipeline.errors import ConfigError


def text(name: str) -> str:
    """A setting that must not be empty."""
    value = os.environ.get(name, "").strip()
    if not value:
        raise ConfigError(name, "is not set")
    return value


def number(name: str, lowest: float, highest: float) -> float:
    """A setting between `lowest` and `highest`, both included."""
    value = text(name)
    try:
        parsed = float(value)
    except ValueError:
        raise ConfigError(name, f'"{value}" is not a number') from None
    if not lowest <= parsed <= highest:
        raise ConfigError(name, f"{value} is not between {lowest:g} and {highest:g}")
    return parsed


def whole_number(name: str, lowest: int, highest: int) -> int:
    """A setting that is an integer between `lowest` and `highest`, both included."""
    parsed = number(name, lowest, highest)
    if parsed != int(parsed):
        raise ConfigError(name, f'"{text(name)}" is not a whole number')
    return int(parsed)


def switch(name: str) -> bool:
    """A setting that is `true` or `false`."""
    value = text(name)
    if value not in ("true", "false"):
        raise ConfigError(name, f'"{value}" is neither true nor false')
    return value == "true"
