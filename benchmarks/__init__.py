"""Measurements; ``make bench`` runs those against peers and writes docs/performance.md; the others are run by name."""
