"""Audits that ship with the program, one module each; see :mod:`pipeline.contracts.audit`."""
