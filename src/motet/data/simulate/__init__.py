"""Simulated actors: labelled skeleton and inertial recordings of any size from nothing.

Nothing here was recorded by a sensor. The sets feed tests, benchmarks, documentation and the demo; a claim about a
method needs real recordings.
"""

from motet.data.simulate.generate import simulate

__all__ = ["simulate"]
