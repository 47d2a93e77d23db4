"""Runs the stages over Ray: the only layer that knows of processes. Exactly one module here imports ray."""
