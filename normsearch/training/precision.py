"""Automatic mixed precision: autocast and loss scaling."""

from __future__ import annotations

from typing import Any

import torch

from normsearch.errors import ConfigError

PRECISIONS: dict[str, torch.dtype | None] = {
    "off": None,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def autocast(amp: str, device: str) -> torch.autocast:
    """Return the context for forward passes; for ``off`` it has no effect.

    Raises:
        ConfigError: float16 is chosen on the CPU.
    """
    if amp == "float16" and device == "cpu":
        raise ConfigError("training.amp: must be off or bfloat16 on a CPU, got 'float16'.")
    dtype = PRECISIONS[amp]
    return torch.autocast(torch.device(device).type, dtype=dtype, enabled=dtype is not None)


def loss_scaler(amp: str, device: str) -> torch.amp.GradScaler:
    """Return the loss scaler for float16 gradients; for other precisions it has no effect."""
    return torch.amp.GradScaler(torch.device(device).type, enabled=amp == "float16")


def gpu_settings() -> dict[str, str]:
    """Return CUDA's and cuDNN's versions, and the settings of torch on which rounding depends."""
    cudnn: Any = torch.backends.cudnn
    products: Any = torch.backends.cuda.matmul
    if hasattr(products, "fp32_precision"):
        # Since torch 2.9, which refuses both ways in one program.
        tf32 = [one.fp32_precision == "tf32" for one in (cudnn.conv, products)]
    else:
        tf32 = [cudnn.allow_tf32, products.allow_tf32]
    found = {
        "cuda": torch.version.cuda,
        "cudnn": cudnn.version(),
        "tf32 in convolutions": tf32[0],
        "tf32 in products": tf32[1],
        "cudnn benchmark": cudnn.benchmark,
        "deterministic": cudnn.deterministic or torch.are_deterministic_algorithms_enabled(),
    }
    return {name: str(value).lower() for name, value in found.items()}
