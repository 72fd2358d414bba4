"""The types of matrix products in training, against float32: a forward and a backward pass of a small network."""

from __future__ import annotations

import time
from typing import Any

from workbench.doctor.finding import Finding

OFF = 0.03  # of the gradient's norm: bf16 has 8 bits, and differs by about 0.005
SLOW = 2.0  # times as long as in fp32
AMPERE = (8, 0)  # compute capability


def halves(device: str, precision: str) -> list[Finding]:
    """bf16 and, on a GPU or where the recipe asks for it, fp16; `precision` is model.precision."""
    names = [name for name in ("bf16", "fp16") if name in (precision, "bf16") or device != "cpu"]
    return [_compared(name, device, name == precision) for name in names]


def _compared(name: str, device: str, needed: bool) -> Finding:
    import torch

    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}[name]
    title, other = f"{name} on {device}", "set model.precision: fp32, or install another build of torch"
    try:
        off = _distance(_gradient(device, None), _gradient(device, kind))
    except RuntimeError as error:
        return Finding(title, "broken", str(error).splitlines()[0], other, needed)
    found = f"the gradient is off by {off:.2%} from that of fp32"
    if not off < OFF:  # NaN too
        return Finding(title, "broken", found, other, needed)
    if device == "cpu" and (times := _time(kind) / _time(torch.float32)) > SLOW:
        found += f"; a product takes {times:.3g} times as long"
        return Finding(title, "warning", found, "this CPU has no such products: set model.precision: fp32", needed)
    if name == "bf16" and device != "cpu" and torch.cuda.get_device_capability(device) < AMPERE:
        mend = "this GPU has no bf16, which is imitated, slowly: set model.precision: fp16"
        return Finding(title, "warning", found, mend, needed)
    return Finding(title, "ok", found, needed=needed)


def _time(kind: Any) -> float:
    """Seconds of a product of matrices on the CPU, the shortest of some."""
    import torch

    torch.set_num_threads(1)  # several would wait for each other where others compute
    x, times = torch.ones(256, 256, dtype=kind), []
    for _ in range(5):
        begun = time.perf_counter()
        x @ x
        times.append(time.perf_counter() - begun)
    return min(times)


def _gradient(device: str, kind: Any) -> Any:
    import torch
    from torch import nn

    draws = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Any:
        return torch.randn(*shape, generator=draws).to(device)

    first, second = drawn(64, 128).mul(0.1).requires_grad_(), drawn(128, 64).mul(0.1).requires_grad_()
    x, y = drawn(256, 64), drawn(256, 64)
    with torch.autocast(x.device.type, kind, enabled=kind is not None):
        out = nn.functional.gelu(x @ first) @ second
    loss = nn.functional.mse_loss(nn.functional.layer_norm(out.float(), (64,)), y)
    return torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, (first, second))])


def _distance(right: Any, found: Any) -> float:
    return float((found - right).norm() / right.norm())
