"""Webhook deliveries, with the published scheme and a vector of it."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any

import pytest

from videogen_core import AsyncClient, WebhookError, webhooks
from videogen_core.testing import ServerThread, sign_webhook
from videogen_replicate.emulator import ReplicateEmulator
from videogen_replicate.plugin import ReplicateProvider

pytestmark = pytest.mark.anyio
SECRET = "whsec_" + base64.b64encode(b"videogen-test-key-00000000").decode()
SIGNATURE = "v1,kG/ORi8tReGn9EtpY3ykl0WCsDz4pFOXWIX1udEnmFk="
BODY = b'{"id":"abc","status":"succeeded"}'
SENT = 1_700_000_000


def headers(**changes: str) -> dict[str, str]:
    plain = {"webhook-id": "msg_test_0001", "webhook-timestamp": str(SENT), "webhook-signature": SIGNATURE}
    return {**plain, **changes}


def read(given: dict[str, str], body: bytes = BODY, secret: str = SECRET) -> Any:
    return ReplicateProvider().notice(given, body, {"REPLICATE_WEBHOOK_SIGNING_SECRET": secret}, {})


@pytest.fixture
def at_that_time(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults: Any = webhooks.StandardWebhooks.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "clock", lambda: float(SENT))


@pytest.mark.usefixtures("at_that_time")
def test_the_published_vector_is_genuine() -> None:
    notice = read(headers())
    assert (notice.provider_job_id, notice.delivery_id) == ("abc", "msg_test_0001")


@pytest.mark.usefixtures("at_that_time")
def test_an_altered_body_is_not() -> None:
    with pytest.raises(WebhookError):
        read(headers(), BODY + b" ")


@pytest.mark.usefixtures("at_that_time")
def test_one_of_two_signatures_is_enough() -> None:
    assert read(headers(**{"webhook-signature": f"v1,AAAA {SIGNATURE}"})).provider_job_id == "abc"


@pytest.mark.usefixtures("at_that_time")
def test_one_of_two_secrets_is_enough() -> None:
    other = "whsec_" + base64.b64encode(b"another-key-of-24-bytes!").decode()
    assert read(headers(), secret=f"{other} {SECRET}").provider_job_id == "abc"


def test_a_stale_one_is_refused() -> None:
    with pytest.raises(WebhookError, match="old"):
        read(headers())


@pytest.mark.usefixtures("at_that_time")
def test_a_genuine_one_that_is_no_prediction_is_refused() -> None:
    body = b"[]"
    given = headers(**{"webhook-signature": sign_webhook(SECRET, "msg_test_0001", SENT, body)})
    with pytest.raises(WebhookError, match="no prediction"):
        read(given, body)


def test_without_a_secret_nothing_is_verified() -> None:
    with pytest.raises(WebhookError, match="REPLICATE_WEBHOOK_SIGNING_SECRET"):
        read(headers(), secret="")


def test_the_official_client_agrees_about_the_vector() -> None:
    from replicate.webhook import Webhooks, WebhookSigningSecret

    key = WebhookSigningSecret(key=SECRET)
    assert Webhooks.validate(headers=headers(), body=BODY.decode(), secret=key) is None


async def test_a_delivery_brings_a_job_up_to_date(
    client: Callable[..., AsyncClient], vendor: ServerThread, emulator: ReplicateEmulator
) -> None:
    async with client(webhook_url="http://127.0.0.1:9/hooks") as videogen:
        job = await videogen.submit("A boat", model="replicate/google/veo-2")
        create = emulator.journal.entries("create")[0]
        assert f'"webhook":"http://127.0.0.1:9/hooks/replicate/{job.record.attempt.client_ref}"' in create.body
        assert '"webhook_events_filter":["completed"]' in create.body
        (theirs,) = emulator.vendor.jobs.values()
        body = emulator.webhook_body(theirs)
        signed = emulator.webhook_headers("msg_1", int(time.time()), body)
        taken = await videogen.webhook("replicate", headers=signed, body=body)
        assert (taken.id, taken.status) == (job.id, "succeeded")
