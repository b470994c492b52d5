"""The engine that runs models on this machine. torch and diffusers load with the first job, in a thread of theirs."""

from .engine import Engine

__all__ = ["Engine"]
