"""Seeds of configurations."""

from __future__ import annotations

from itertools import product

from tuner_service.domain.seeds import hash_seed


def test_a_seed_stays_the_same_for_ever() -> None:
    """Seeds do not depend on the process or the Python, so that a study can be repeated years later."""
    assert hash_seed(0, 7, "training") == 3723403555


def test_seed_configuration_and_purpose_each_make_another_seed() -> None:
    """No two of a thousand neighbours share a seed, and all fit in 32 bits."""
    seeds = [hash_seed(*one) for one in product(range(10), range(50), ("training", "sampler"))]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= one < 2**32 for one in seeds)


def test_a_digit_does_not_slip_from_the_seed_into_the_configuration() -> None:
    """Seed 1, configuration 11 is another one than seed 11, configuration 1."""
    assert hash_seed(1, 11, "training") != hash_seed(11, 1, "training")
