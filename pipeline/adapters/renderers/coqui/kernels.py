"""How coqui's models run: the same bits for the same batch, and nothing computed twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.values.errors import RenderError


@contextmanager
def exact_kernels(device: str, dtype: Any) -> Iterator[None]:
    """Run convolutions that always add in one order, and in a smaller dtype where one is chosen.

    The fastest kernels of transposed convolutions add with atomics, in whatever order threads arrive.
    """
    import torch

    kind = device.partition(":")[0]
    with (
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=True),
        torch.autocast(kind, dtype, enabled=dtype != torch.float32),
    ):
        yield


@contextmanager
def watching_device() -> Iterator[None]:
    """Turn a device's own failure into an end of the run: after it, every other text would fail too.

    Raises:
        RenderError: the device failed.
    """
    import torch

    try:
        yield
    except torch.AcceleratorError as exc:
        raise RenderError(f"the device failed, and nothing more can run on it: {str(exc).splitlines()[0]}") from exc


def fold_weight_norm(model: Any) -> None:
    """Replace weights that are kept as direction and length by their product, once instead of at every call."""
    from torch.nn.utils import parametrize

    for module in model.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")


def choose_speech_dtype(dtype: str) -> Any:
    """Return the ``torch.dtype`` of matrix products and convolutions; see ``CoquiOptions.dtype``."""
    import torch

    return torch.float32 if dtype == "auto" else getattr(torch, dtype)
