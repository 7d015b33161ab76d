"""The only exceptions that motet raises on purpose.

Every message names what is wrong (file, clip, frame, field or option) and what to do about it; the command
line prints it as one line on stderr and exits with status 2.
"""

from __future__ import annotations


class MotetError(Exception):
    """Base of every error that motet raises on purpose."""


class DataError(MotetError, ValueError):
    """A file, archive or clip that cannot be used as it is."""


class ConfigError(MotetError, ValueError):
    """Options that do not exist, do not fit together or do not fit the data."""


class RunError(MotetError):
    """A run directory that is missing, incomplete or broken, or a training that cannot continue."""


class Interrupted(MotetError):
    """Training was stopped by a signal; its state is saved and the message says how to resume.

    ``status`` is the exit status of the command line: 128 + the number of the signal.
    """

    status = 130


class MotetWarning(UserWarning):
    """Something that works but is probably not what was wanted; the message says what to do."""


class MotetNote(MotetWarning):
    """A plain fact that a reader should know; nothing is wrong and nothing need be done."""
