"""Replicate's HTTP API on this machine: models with their schemas, predictions, files, webhooks.

``videogen emulate replicate`` serves it; with the variables that it prints, the official client and the plugin run
against it unchanged.
"""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from videogen_core.testing import Emulator, Refusal, Traits, VendorJob

from ..access import rates
from .answers import error_answer
from .files import Files
from .models import models
from .predictions import Predictions
from .reading import price_of
from .schemas import shown_model

__all__ = ["ReplicateEmulator"]

_LETTERS = string.ascii_lowercase + string.digits


class ReplicateEmulator(Emulator):
    """Replicate: the API on one address, the clips on another.

    It takes the models of ``models.toml``, each as strictly as its schema, and delivers what was asked for. A prompt
    that holds "forbidden" ends as flagged.

    How a prediction ends is up to `videogen_core.testing.Script`:

    ===========  ==========  ==========================================================================================
    ending       code        what shows
    ===========  ==========  ==========================================================================================
    blocked      any         ``failed``, flagged as sensitive (E005), or with that code
    failed       any         ``failed``, with an E1000, or with that code
    empty        any         ``succeeded`` without any output
    cancelled    ""          ``aborted``: it never began
    cancelled    "canceled"  ``canceled``
    ===========  ==========  ==========================================================================================

    ``message`` replaces the words, ``word`` is a status of one that is running. Input and output are removed an hour
    after the end; change the trait ``retention`` for another time. Faults with ``refusal`` take a word of the
    harness's, ``disabled`` (a version that may not be called), ``invalid_input`` or ``billing``.

    Attributes:
        resets_in: Seconds that a 429 names in its words.
        deadlines: Whether predictions are ended at the time that their create named.
    """

    name = "replicate"
    traits = Traits(kind="C", list_lag=1.0, retention=3600.0)

    def __init__(self, **options: Any) -> None:
        self.resets_in = 1
        self.deadlines = False
        self.files, self.predictions = Files(self), Predictions(self)
        super().__init__(**options)

    def routes(self) -> Sequence[BaseRoute]:
        """All of them."""
        return [
            *self.predictions.routes(),
            *self.files.routes(),
            self.route("other", "GET", "/v1/models/{owner}/{name}", self._model),
            self.route("other", "GET", "/v1/account", self._account),
            self.route("other", "GET", "/v1/webhooks/default/secret", self._secret_of_webhooks),
            self.file_route(),
        ]

    async def _model(self, request: Request) -> Response:
        model = models().get("{owner}/{name}".format(**request.path_params))
        if model is None:
            raise Refusal(404, "not_found", "The requested resource could not be found.")
        return JSONResponse(shown_model(model, delivery=self.delivery_url))

    async def _account(self, request: Request) -> Response:
        return JSONResponse({"type": "user", "username": "emulated", "name": "Emulated", "github_url": None})

    async def _secret_of_webhooks(self, request: Request) -> Response:
        return JSONResponse({"key": self.webhook_secret})

    def refusal(self, refusal: Refusal) -> Response:
        return error_answer(refusal, self.resets_in)

    def new_id(self, number: int, chance: Random) -> str:
        """26 letters and digits."""
        return "".join(chance.choices(_LETTERS, k=26))

    def price(self, job: VendorJob) -> Decimal:
        """By the second, by the clip, or by the time of work."""
        order = self.predictions.orders[job.id]
        if order.model.hardware:
            return rates()[order.model.hardware] * Decimal(str(job.script.running))
        return price_of(order.model, order.values, job.clip.duration)

    def webhook_body(self, job: VendorJob) -> bytes:
        """The prediction."""
        return json.dumps(self.predictions.shown(job)).encode()

    def environment(self) -> dict[str, str]:
        """For the official client and for the plugin."""
        return {
            "REPLICATE_BASE_URL": self.api_url,
            "REPLICATE_API_TOKEN": self.key,
            "REPLICATE_WEBHOOK_SIGNING_SECRET": self.webhook_secret,
        }

    def leftovers(self) -> list[str]:
        """What clients uploaded and have not deleted."""
        return self.files.names()

    def stamp(self, moment: float) -> str:
        """A time as the API writes it."""
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds").replace("+00:00", "00Z")

    def reset(self, *, seed: int | None = None) -> None:
        """As if it had just been made."""
        super().reset(seed=seed)
        self.predictions.orders.clear()
        self.files.clear()
        self.resets_in, self.deadlines = 1, False
