"""Measurements side by side with other tools; ``make bench`` runs them and writes docs/performance.md."""
