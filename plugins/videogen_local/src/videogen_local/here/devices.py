"""The devices of this machine, as torch sees them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from videogen_core import ConfigurationError

from ..plans import Device

__all__ = ["chosen", "measure", "ram"]


def chosen(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the devices to use: those that the settings list, else every GPU, else the processor.

    Args:
        settings: ``[providers.local]``; ``devices`` is a list such as ``["cuda:0", "cuda:1"]``.

    Raises:
        ConfigurationError: One of them is not there.
    """
    wanted = settings.get("devices")
    there = _accelerators()
    if wanted is None:
        return there or ("cpu",)
    names = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ConfigurationError("providers.local.devices: write a list such as ['cuda:0'].")
    full = tuple(f"{name}:0" if name in ("cuda", "xpu") else name for name in names)
    if strange := [name for name in full if name not in (*there, "cpu")]:
        raise ConfigurationError(
            f"providers.local.devices: torch sees no {strange[0]} on this machine.",
            hint=f"It sees {', '.join((*there, 'cpu'))}. A GPU needs the build of torch that is made for it.",
        )
    return tuple(dict.fromkeys(full))


def _accelerators() -> tuple[str, ...]:
    import torch

    if torch.cuda.is_available():
        return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        return tuple(f"xpu:{index}" for index in range(torch.xpu.device_count()))
    return ("mps",) if torch.backends.mps.is_available() else ()


def measure(name: str) -> Device:
    """A device and how much of its memory is free now."""
    import torch

    total, free = _memory()
    kind, _, index = name.partition(":")
    if kind in ("cuda", "xpu"):
        module = torch.cuda if kind == "cuda" else torch.xpu
        here, whole = module.mem_get_info(int(index or 0))
        # what torch holds in reserve and nothing uses is free for the next model
        here += module.memory_reserved(int(index or 0)) - module.memory_allocated(int(index or 0))
        title = module.get_device_name(int(index or 0))
        return Device(kind=kind, index=int(index or 0), name=title, total=whole, free=here, ram_free=free)
    if kind == "mps":
        whole = torch.mps.recommended_max_memory()
        here = max(whole - torch.mps.driver_allocated_memory(), 0)
        return Device(kind=kind, name="Apple GPU", total=whole, free=here, ram_free=free)
    return Device(kind="cpu", name="the processor", total=total, free=free, ram_free=free)


def ram() -> int:
    """Bytes of the machine's memory, in all."""
    return _memory()[0]


def _memory() -> tuple[int, int]:
    """Bytes of the machine's memory, in all and free for programs; within its container's limit where there is one."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = page * os.sysconf("SC_PHYS_PAGES")
    free = total
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel, not of a user
            rows = dict(line.split(":", 1) for line in file)
        free = int(rows["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):  # not Linux
        pass
    limit, used = _cgroup("memory.max"), _cgroup("memory.current")
    if limit is not None and limit < total:
        total, free = limit, min(free, limit - (used or 0))
    return total, max(free, 0)


def _cgroup(name: str) -> int | None:
    try:
        with open(f"/sys/fs/cgroup/{name}", encoding="ascii") as file:  # noqa: PTH123
            return int(file.read())
    except (OSError, ValueError):  # "max", or none
        return None
