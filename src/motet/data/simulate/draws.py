"""Random generators keyed by what they are for, so that no draw depends on what was drawn before."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, purpose: str, index: int) -> np.random.Generator:
    """The generator of one clip or actor (``index``) for one purpose (``"camera"``, ``"depth"`` …)."""
    tag = int.from_bytes(hashlib.blake2b(purpose.encode(), digest_size=4).digest(), "big")
    # a plain list becomes floats where the tag is large, and loses the index
    return np.random.Generator(np.random.Philox(key=np.array([seed, tag << 32 | index], np.uint64)))
