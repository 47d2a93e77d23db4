"""Kills at random moments, and what a corpus is after them."""
