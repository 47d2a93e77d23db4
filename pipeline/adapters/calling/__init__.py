"""Calling endpoints for media: what pictures and speech share, over the pace and the retries of the LLM's calls."""
