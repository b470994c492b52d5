"""Webhook deliveries: signed as Standard Webhooks are, with the prediction as their body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from videogen_core import Notice, WebhookError
from videogen_core.webhooks import StandardWebhooks

__all__ = ["SECRET", "read"]

SECRET = "REPLICATE_WEBHOOK_SIGNING_SECRET"
"""The variable with the signing secret, or with two of them, apart by a space, while one replaces the other."""


class _Told(msgspec.Struct):
    id: str


def read(
    headers: Mapping[str, str], body: bytes, environment: Mapping[str, str], settings: Mapping[str, Any]
) -> Notice:
    """Verify a delivery and say which prediction it is about.

    Raises:
        WebhookError: It is not genuine, or no secret is set.
    """
    secrets = str(settings.get("webhook_secret") or environment.get(SECRET) or "").split()
    if not secrets:
        raise WebhookError(
            f"{SECRET} is not set, so no delivery can be verified.",
            hint="GET /v1/webhooks/default/secret tells it.",
        )
    delivery = StandardWebhooks(secrets).verify(headers, body)
    try:
        told = msgspec.json.decode(body, type=_Told)
    except msgspec.MsgspecError:
        raise WebhookError("The delivery is genuine, and is no prediction.") from None
    return Notice(provider_job_id=told.id, delivery_id=delivery)
