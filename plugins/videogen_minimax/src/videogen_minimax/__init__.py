"""MiniMax's video models for videogen: Hailuo on the API that MiniMax calls V1, MiniMax-H3 on V2."""

from .callbacks import challenge

__all__ = ["challenge"]
