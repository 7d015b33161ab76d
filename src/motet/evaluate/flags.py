"""How the command line calls the options of a protocol, for messages about them."""

from __future__ import annotations


def flag(options: object, name: str) -> str:
    """``--semi.minimum-steps`` of an ``Options`` of :mod:`motet.evaluate.semi`; the bare name of any other class."""
    if type(options).__name__ != "Options":
        return name
    protocol = type(options).__module__.rpartition(".")[2]
    return f"--{protocol}.{name}".replace("_", "-")
