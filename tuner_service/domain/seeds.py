"""Seeds: reproducible for each configuration, yet never the same on two workers."""

from __future__ import annotations

import hashlib


def hash_seed(seed: int, configuration: int, purpose: str) -> int:
    """Return a 32-bit seed that depends on the study's seed, the configuration and what the seed is for.

    >>> hash_seed(0, 7, "training") == hash_seed(0, 7, "training") != hash_seed(0, 7, "sampler")
    True
    """
    text = f"{seed}/{configuration}/{purpose}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big")
