"""Runs the stages over Ray: the only layer that knows of processes. Exactly one package here imports ray."""
