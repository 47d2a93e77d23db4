"""Measurements of speed and restart behaviour; ``make bench`` runs them all, ``docs/log.md`` keeps their results."""
