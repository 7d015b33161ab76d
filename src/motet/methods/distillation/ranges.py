"""Options that are numbers lie in a range; what does not is refused by name, with its value and the range."""

from __future__ import annotations

import math

from motet.core.errors import ConfigError


def within(
    options: object,
    *names: str,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> None:
    """Check numbers, or tuples of numbers, that are attributes of ``options``.

    Args:
        options: what has them.
        names: of the attributes.
        above, least, below, most: the range; at most one of ``above`` and ``least``, and of ``below`` and ``most``.

    Raises:
        ConfigError: a number outside, infinite or NaN.
    """
    for name in names:
        value = getattr(options, name)
        for one in value if isinstance(value, tuple) else (value,):
            fits = math.isfinite(one) and (above is None or one > above) and (least is None or one >= least)
            if not (fits and (below is None or one < below) and (most is None or one <= most)):
                shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
                raise ConfigError(f"{name} is {shown}; it must be {_range(above, least, below, most)}")


def _range(above: float | None, least: float | None, below: float | None, most: float | None) -> str:
    low = f"above {above:g}" if above is not None else f"{least:g} or more" if least is not None else ""
    high = f"below {below:g}" if below is not None else f"at most {most:g}" if most is not None else ""
    return " and ".join(part for part in (low, high) if part) or "finite"
