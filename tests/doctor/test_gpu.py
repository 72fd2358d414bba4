"""torch sees no GPU: why, and what to do. Conditions are faked, and so is the GPU where there is none."""

from types import SimpleNamespace

import pytest
import torch

from workbench.doctor import gpu, numbers


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """One with a driver that knows CUDA 12.4, and a GPU."""
    for name in ("DRIVER", "DEVICE", "WSL"):
        monkeypatch.setattr(gpu, name, tmp_path / name)
    (tmp_path / "DRIVER").touch()
    (tmp_path / "DEVICE").touch()
    monkeypatch.setattr(gpu, "_driver", lambda: (12, 4))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path


def test_without_a_driver(machine):
    (machine / "DRIVER").unlink()
    (machine / "DEVICE").unlink()
    assert gpu.why_none("13.0", None, "RuntimeError: Found no NVIDIA driver")[0] == "no NVIDIA driver here"


def test_a_container_without_gpus(machine):
    (machine / "DEVICE").unlink()
    found, mend = gpu.why_none("13.0", None, "RuntimeError: no device")
    assert found.startswith("a driver is loaded, but") and "docker run --gpus all" in mend


def test_torch_for_the_cpu(machine):
    assert gpu.why_none(None, None, "AssertionError: not compiled")[1].startswith("install torch for CUDA")


@pytest.mark.parametrize("hidden", ["", "-1", "none"])
def test_hidden(machine, monkeypatch, hidden):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    found, mend = gpu.why_none("12.6", None, "RuntimeError: No CUDA GPUs are available")
    assert found == f"CUDA_VISIBLE_DEVICES is {hidden!r}, which hides all" and mend == "unset CUDA_VISIBLE_DEVICES"


def test_a_gpu_that_is_not_there(machine, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    found, _ = gpu.why_none("12.6", None, "RuntimeError: No CUDA GPUs are available")
    assert found == "RuntimeError: No CUDA GPUs are available; CUDA_VISIBLE_DEVICES is '7'"


def test_an_old_driver(machine):
    found, mend = gpu.why_none("13.0", None, "RuntimeError: whatever")
    assert found == "the driver knows CUDA up to 12.4, torch is built for 13.0"
    assert mend.startswith("update the NVIDIA driver")


@pytest.mark.parametrize(
    ("said", "mend"),
    [
        ("RuntimeError: The NVIDIA driver on your system is too old (found version 11040)", "update the NVIDIA driver"),
        (
            "RuntimeError: Error 803: system has unsupported display driver / cuda driver combination",
            "the kernel's driver",
        ),
        ("RuntimeError: Error 802: system not yet initialized", "start nvidia-fabricmanager"),
        (
            "RuntimeError: CUDA unknown error - this may be due to an incorrectly set up environment",
            "load the driver again",
        ),
        ("RuntimeError: of another kind", "`nvidia-smi` tells more"),
    ],
)
def test_what_cuda_says(machine, said, mend):
    found, todo = gpu.why_none("12.6", None, said)
    assert found == said and todo.startswith(mend)


def test_the_recipe_makes_a_missing_gpu_a_fault(machine, monkeypatch):
    def refuse():
        raise RuntimeError("No CUDA GPUs are available")

    monkeypatch.setattr(torch.cuda, "init", refuse)
    assert [f.name for f in gpu.torch_and_gpus("cpu")] == ["torch"]
    assert not gpu.torch_and_gpus("auto")[1].stops
    wanted = gpu.torch_and_gpus("cuda")[1]
    assert wanted.stops and wanted.mend.endswith("; or set runtime.device: auto")


def faked(free: int, one: float = 1.0):
    """torch with one GPU, whose ones are `one`."""
    about = SimpleNamespace(name="NVIDIA X100", major=9, minor=0)
    return SimpleNamespace(
        ones=lambda *shape, device: torch.full(shape, one),
        cuda=SimpleNamespace(get_device_properties=lambda n: about, mem_get_info=lambda n: (free, 80 * 10**9)),
    )


def test_each_gpu():
    good = gpu._gpu(faked(79 * 10**9), 0)
    assert good.found == "NVIDIA X100, 79 GB free of 80 GB, compute capability 9.0" and good.state == "ok"
    taken = gpu._gpu(faked(3 * 10**9), 1)
    assert (taken.name, taken.state) == ("GPU 1", "warning") and "other programs use it" in taken.mend
    assert gpu._gpu(faked(79 * 10**9, one=1.01), 0).stops


def test_a_type_that_a_cpu_has_no_products_for(monkeypatch):
    monkeypatch.setattr(numbers, "_time", lambda kind: 1.0 if kind == torch.float32 else 80.0)
    (found,) = numbers.halves("cpu", "bf16")
    assert found.state == "warning" and found.found.endswith("; a product takes 80 times as long")
    assert found.mend.endswith("set model.precision: fp32") and not found.stops


def test_bf16_and_fp16_against_fp32(monkeypatch):
    monkeypatch.setattr(numbers, "_time", lambda kind: 1.0)
    assert [(f.name, f.state, f.needed) for f in numbers.halves("cpu", "bf16")] == [("bf16 on cpu", "ok", True)]
    both = numbers.halves("cpu", "fp16")
    assert [(f.name, f.state, f.needed) for f in both] == [("bf16 on cpu", "ok", False), ("fp16 on cpu", "ok", True)]
    monkeypatch.setattr(numbers, "_distance", lambda right, found: float("nan"))
    assert numbers.halves("cpu", "bf16")[0].stops


def test_bf16_that_is_imitated(monkeypatch):
    monkeypatch.setattr(numbers, "_gradient", lambda device, kind: torch.ones(4))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    bf16, fp16 = numbers.halves("cuda:0", "bf16")
    assert (bf16.state, fp16.state) == ("warning", "ok") and "fp16" in bf16.mend
