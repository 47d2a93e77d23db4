"""Audits of dialogues that need no model and no file: one module and one entry point line each."""
