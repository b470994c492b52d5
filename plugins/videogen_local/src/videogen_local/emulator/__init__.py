"""Servers of ``/v1/videos`` on this machine, one class for each dialect: no GPU, no model, real MP4s.

``videogen emulate local`` serves vLLM-Omni; with the variables that it prints, the plugin runs against it unchanged.
"""

from __future__ import annotations

from .openai import OpenaiEmulator
from .sglang import SglangEmulator
from .vllm import VllmOmniEmulator

__all__ = ["LocalEmulator", "OpenaiEmulator", "SglangEmulator", "VllmOmniEmulator"]


class LocalEmulator(VllmOmniEmulator):
    """What ``videogen emulate local`` serves."""
