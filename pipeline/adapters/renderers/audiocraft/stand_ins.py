"""Modules that audiocraft imports and MusicGen never needs, stood in for while audiocraft is at work.

audiocraft 1.3.0 asks for xformers, which pins an old torch, though it uses torch's own attention unless told
otherwise; and for spaCy, whose model it fetches only for conditions that MusicGen has not. Outside of
:func:`standing_in` no trace of them is left, so that nobody else takes them for the real ones.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch


@contextmanager
def standing_in() -> Iterator[None]:
    """Let audiocraft import what is not installed; to be held while it is imported and while it computes."""
    modules = {name: module for name, module in _make_modules().items() if name not in sys.modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in modules.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _make_modules() -> dict[str, ModuleType]:
    modules: dict[str, ModuleType] = {}
    if not _is_installed("xformers"):
        # Attention imports the names below whether it needs them or not; of them it calls `unbind` alone.
        unused = {"memory_efficient_attention": None, "LowerTriangularMask": None}
        operations = _make("xformers.ops", unbind=torch.unbind, **unused)
        modules |= {"xformers.ops": operations, "xformers": _make("xformers", ops=operations)}
    if not _is_installed("spacy"):
        modules["spacy"] = _make("spacy", load=_refuse_spacy)
    return modules


def _is_installed(name: str) -> bool:
    return name in sys.modules or importlib.util.find_spec(name) is not None


def _make(name: str, **contents: object) -> ModuleType:
    module = ModuleType(name)
    # Without it, whoever asks whether the module is installed meets an error.
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    vars(module).update(contents)
    return module


def _refuse_spacy(name: str) -> None:
    raise ValueError(f"the checkpoint normalises text with spaCy's {name}, which is not installed: pip install spacy")
