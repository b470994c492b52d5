"""Signed webhooks in the usual scheme (Standard Webhooks, Svix), for `Provider.notice`.

    def notice(self, headers, body, environment, settings):
        hooks = StandardWebhooks([environment["ACME_WEBHOOK_SECRET"]])
        delivery = hooks.verify(headers, body)
        return Notice(provider_job_id=json.loads(body)["id"], delivery_id=delivery)

The ``standardwebhooks`` library knows the secret's format and what is signed. Its own ``verify`` is not used: it takes
``1614265330.7`` for a time, stops at the first malformed signature although a good one follows, knows one secret and
one window, and raises four kinds of exception for what strangers may send.
"""

from __future__ import annotations

import base64
import hmac
import re
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from .errors import ConfigurationError, WebhookError
from .secret import Secret

if TYPE_CHECKING:
    from standardwebhooks import Webhook

__all__ = ["StandardWebhooks"]

_PREFIX = "whsec_"
# The parts of what is signed are joined with dots, so an id with one could pass for another id, time and body.
_ID = re.compile(r"[\x21-\x2d\x2f-\x7e]{1,256}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{4,}={0,2}")
_TIME = re.compile(r"\d{1,11}", re.ASCII)
_MOST_SIGNATURES = 16


class StandardWebhooks:
    """Verifies deliveries. It keeps no state: that a delivery comes twice is seen by its id, by whoever keeps those.

    Args:
        secrets: The secrets that are valid now, one or, while they are being changed, several: ``whsec_`` and base64,
            or the bytes themselves.
        tolerance: Seconds by which the time of a delivery may differ from the clock, either way.
        prefix: What the three headers ``id``, ``timestamp`` and ``signature`` begin with.
        max_bytes: A longer body is refused unread.
        clock: Seconds since the epoch.

    Raises:
        ConfigurationError: There is no secret, one is malformed, or the extra ``webhooks`` is not installed.
    """

    def __init__(
        self,
        secrets: str | bytes | Secret | Iterable[str | bytes | Secret],
        *,
        tolerance: float = 300.0,
        prefix: Literal["webhook-", "svix-"] = "webhook-",
        max_bytes: int = 1024**2,
        clock: Callable[[], float] = time.time,
    ) -> None:
        several = [secrets] if isinstance(secrets, (str, bytes, Secret)) else secrets
        self._secrets = tuple(map(_checked, several))
        if not self._secrets:
            raise ConfigurationError("A webhook cannot be verified without a secret.")
        _hook(self._secrets[0])  # says so now when the library is missing
        self._tolerance = tolerance
        self._prefix = prefix
        self._max_bytes = max_bytes
        self._clock = clock

    def verify(self, headers: Mapping[str, str], body: bytes) -> str:
        """The id of a genuine delivery. The body is verified as it came; it is not parsed.

        Nothing tells a stranger how far he got: answer with the error's status alone.

        Args:
            headers: Of the delivery.
            body: As it came.

        Raises:
            WebhookError: It is not genuine, too old, from the future, malformed (400), or too large (413).
        """
        try:
            if len(body) > self._max_bytes:
                raise WebhookError(f"The delivery is larger than {self._max_bytes:,} bytes.", status_code=413)
            delivery, sent, signatures = self._parts(headers)
            text = body.decode()
            genuine = self._genuine(delivery, sent, text, signatures)
        except WebhookError:
            raise
        except Exception:  # whatever a stranger sends is his mistake, never ours
            raise WebhookError("The delivery is malformed.") from None
        if not genuine:
            raise WebhookError("No signature of the delivery is made with our secret.")
        return delivery

    def _parts(self, headers: Mapping[str, str]) -> tuple[str, int, list[bytes]]:
        """Id, time and signatures.

        Raises:
            WebhookError: One is missing or malformed, or the time is out of the window.
        """
        given = {name.lower(): value for name, value in headers.items()}
        delivery, sent, signatures = (given.get(self._prefix + name, "") for name in ("id", "timestamp", "signature"))
        if not (_ID.fullmatch(delivery) and _TIME.fullmatch(sent) and signatures):
            raise WebhookError(f"The delivery's {self._prefix}… headers are missing or malformed.")
        age = self._clock() - int(sent)
        if not abs(age) <= self._tolerance:
            raise WebhookError(f"The delivery is {age:.0f} s old by this machine's clock.", hint="Is the clock right?")
        made = [text.encode("ascii") for text in signatures.split(" ", _MOST_SIGNATURES)[:_MOST_SIGNATURES]]
        return delivery, int(sent), made

    def _genuine(self, delivery: str, sent: int, text: str, signatures: list[bytes]) -> bool:
        """Whether one of the signatures is right. Every pair is compared, in constant time."""
        moment, genuine = datetime.fromtimestamp(sent, UTC), False
        for secret in self._secrets:
            expected = _hook(secret).sign(delivery, moment, text).encode()
            for signature in signatures:
                genuine |= hmac.compare_digest(expected, signature)
        return genuine


def _checked(secret: str | bytes | Secret) -> Secret:
    """The secret, once the library is known to take it.

    Raises:
        ConfigurationError: See `StandardWebhooks`.
    """
    if isinstance(secret, bytes):
        secret = Secret(_PREFIX + base64.b64encode(secret).decode())
    kept = secret if isinstance(secret, Secret) else Secret(secret)
    del secret
    if not _BASE64.fullmatch(kept.reveal().removeprefix(_PREFIX)):  # the library skips what is none
        raise ConfigurationError("A webhook secret is malformed: expected whsec_ and base64.")
    return kept


def _hook(secret: Secret) -> Webhook:
    try:
        from standardwebhooks import Webhook
    except ImportError as error:
        raise ConfigurationError(
            "Webhooks need the library standardwebhooks.", hint="Run: pip install 'videogen-core[webhooks]'"
        ) from error
    return Webhook(secret.reveal())
