"""Keys, access tokens and buckets of the emulated Google, for google-auth and google-cloud-storage."""

from __future__ import annotations

from veo_emulation import (
    _clients as _clients,
    _served as _served,
    emulator as emulator,
    gemini as gemini,
    vertex as vertex,
)
