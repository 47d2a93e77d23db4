"""Libraries that would print while they load or compute: what they say is collected instead."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def hush(*libraries: str) -> Iterator[list[str]]:
    """Collect what libraries of the hub's makers would print; their loggers and bars are put back as they were.

    Args:
        libraries: ``diffusers``, ``transformers``; they are imported.
    """
    heard: list[str] = []
    with ExitStack() as stack:
        for library in libraries:
            bars = importlib.import_module(f"{library}.utils.logging")
            if bars.is_progress_bar_enabled():
                bars.disable_progress_bar()
                stack.callback(bars.enable_progress_bar)
            logger = logging.getLogger(library)
            stack.callback(_restore, logger, logger.handlers, logger.level, logger.propagate)
            logger.handlers, logger.propagate = [_Collector(heard)], False
            logger.setLevel(logging.WARNING)
        yield heard


class _Collector(logging.Handler):
    def __init__(self, heard: list[str]) -> None:
        super().__init__()
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        self._heard.append(record.getMessage())


def _restore(logger: logging.Logger, handlers: list[logging.Handler], level: int, propagate: bool) -> None:
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)
