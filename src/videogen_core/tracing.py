"""The span of OpenTelemetry in which a caller is, as text that another process understands.

Nothing is imported for it: an application that has spans has loaded the API itself.
"""

from __future__ import annotations

import sys

__all__ = ["current"]


def current() -> str:
    """The W3C ``traceparent`` of the present span; empty where there is none."""
    find = getattr(sys.modules.get("opentelemetry.trace"), "get_current_span", None)
    if find is None:  # not there, or another thread is just importing it
        return ""
    here = find().get_span_context()
    return f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}" if here.is_valid else ""
