"""Standard Webhooks, verified: HMAC-SHA256 over ``id.timestamp.body``, within five minutes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from videogen_core import WebhookError

__all__ = ["verified"]

_TOLERANCE = 300


def verified(headers: Mapping[str, str], body: bytes, secret: str) -> dict[str, Any]:
    """What a delivery says, once its signature is known to be right.

    Raises:
        WebhookError: It is not genuine, or cannot be read.
    """
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        told = int(headers["webhook-timestamp"])
        signed = f"{headers['webhook-id']}.{told}.".encode() + body
        ours = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        theirs = headers["webhook-signature"].split(" ")
        genuine = bool(key) and any(hmac.compare_digest(ours.encode(), each.encode()) for each in theirs)
        if not genuine or abs(time.time() - told) > _TOLERANCE:
            raise ValueError("not genuine")
        found = json.loads(body)
        if not isinstance(found, dict):
            raise TypeError("no object")
    except Exception as error:
        raise WebhookError("The delivery is not genuine.") from error
    return found
