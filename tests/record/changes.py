"""What has been renamed or changed on purpose since the record was made."""

from __future__ import annotations

RENAMED: tuple[tuple[str, str], ...] = ()
"""(pattern, replacement) for places of the stored record, applied in this order by :func:`re.sub`."""

INTENDED: tuple[tuple[str, str, str], ...] = ()
"""(pattern of the run's name, pattern of the place, reason): differences that are meant."""
