"""Fetching model files with a bar that a person can watch."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from pipeline.adapters.model_files import ModelCache
