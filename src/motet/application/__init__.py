"""The application: recordings that play along a timeline, labels with few clicks, a classifier that learns meanwhile.

A server on this machine's loopback address gives one page, which works without a network. Every edit is on disk, in
the archive's label tracks, before it is answered.
"""

from motet.application.run import Application, app

__all__ = ["Application", "app"]
