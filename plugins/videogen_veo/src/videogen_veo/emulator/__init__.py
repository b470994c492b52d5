"""Google's video APIs on this machine: Veo on Vertex AI, Gemini Omni on the Gemini API and on Vertex AI.

``videogen emulate veo`` serves them; with the variables that it prints, the official SDK and the plugin run against
them unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from random import Random
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from videogen_core.testing import Clip, Emulator, Refusal, Script, VendorJob, current_entry

from .answers import GoogleRefusal, error_answer
from .auth import PROJECT, Auth, credentials_file
from .endings import adjusted, refuse_at_create
from .files import Files
from .interactions import Interactions, OmniOrder
from .listing import Listing
from .storage import Storage
from .vertex import Operations, VeoOrder

__all__ = ["VeoEmulator"]

VERSIONS = frozenset({"v1", "v1beta", "v1beta1"})


class VeoEmulator(Emulator):
    """Google: the Gemini API, Vertex AI, Cloud Storage and a token server, on one address.

    It refuses what Google refuses, in Google's words as far as they are known, and delivers what was asked for. A
    prompt that holds "forbidden" is refused; a bucket whose name holds it may not be written to. Other buckets exist.

    How a job ends is up to `videogen_core.testing.Script`, whose ``code`` says how that shows:

    ===========  =====================  ================================================================================
    ending       code                   what shows
    ===========  =====================  ================================================================================
    blocked      ``create``             400 at create, and no job
    blocked      "", ``operation``      Veo: an error 3 with support codes
    blocked      ``filtered``           Veo: a count and reasons; with ``outputs``, so many videos come all the same
    blocked      "", ``text``           Omni: completed, with text only
    blocked      ``step``               Omni: failed, and the last step has an error
    blocked      ``SAFETY`` or another  Omni: failed, with that code among its errors
    succeeded    ``uri``                Omni: an address of a file although the bytes were asked for
    empty        ""                     Veo: done and nothing else; Omni: completed without any output
    empty        ``response``           Veo: done with an empty response
    empty        ``shape``              a video is paid for, but there are no bytes and no address of it
    failed       ""                     Veo: an error 13; Omni: failed, with ``internal_error``
    failed       a number               Veo: an error of that canonical code
    failed       ``incomplete``, …      Omni: that status (``budget_exceeded``, ``requires_action``)
    failed       any other              Omni: failed, with that code
    cancelled    any                    Veo: an error 1; Omni: that status
    ===========  =====================  ================================================================================

    ``message`` replaces the words, ``word`` is a status of an Omni job that is running, and ``outputs`` below the
    number asked for means that the others were filtered out. Veo takes no money for what it refuses, unless ``charged``
    says so; Omni takes it for the tokens that its usage report tells.

    Faults with ``refusal`` take a word of the harness's, ``FAILED_PRECONDITION``, ``API_KEY_INVALID`` or
    ``API_KEY_SERVICE_BLOCKED`` as their code; with ``[]`` at its end the error comes as the one element of a list. A
    download that is to be redirected finds the file at ``{delivery_url}/delivered/{id}``, where no key is asked for.

    Attributes:
        auth: The token server; `Auth.expire_tokens` makes all access tokens expired ones.
        storage: The buckets; `Storage.put` puts an object there.
        files: The Files API.
        orders: What is known of each job besides what the harness keeps.
    """

    name = "veo"
    request_id_header = "x-goog-request-id"

    def __init__(self, **options: Any) -> None:
        self.orders: dict[str, VeoOrder | OmniOrder] = {}
        self._prefix = ""
        self.auth, self.storage, self.files = Auth(self), Storage(self), Files(self)
        super().__init__(**options)

    def routes(self) -> Sequence[BaseRoute]:
        """All of them."""
        parts = (Operations(self), Interactions(self), Listing(self), self.files, self.storage, self.auth)
        return [route for part in parts for route in part.routes()]

    def refusal(self, refusal: Refusal) -> Response:
        """In the shape of the API that was asked."""
        entry = current_entry.get()
        return error_answer(refusal, "" if entry is None else entry.path)

    def authorize(self, request: Request) -> None:
        """Ask for a key or an access token, as the path has it."""
        if request.path_params.get("version", "v1") not in VERSIONS:
            raise GoogleRefusal(404, "not_found", f"There is no {request.url.path}.")
        self.auth.check(request)

    def new_id(self, number: int, chance: Random) -> str:
        """A whole operation name, or the id of an interaction."""
        return f"{self._prefix}{chance.getrandbits(128):032x}"

    def price(self, job: VendorJob) -> Decimal:
        """By the second for Veo, by the token for Omni."""
        return self.orders[job.id].price(job)

    def environment(self) -> dict[str, str]:
        """For the official SDK, for google-auth, for google-cloud-storage and for the plugin. No location is set."""
        return {
            "GOOGLE_GEMINI_BASE_URL": self.api_url,
            "GOOGLE_VERTEX_BASE_URL": self.api_url,
            "GEMINI_API_KEY": self.key,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "GOOGLE_APPLICATION_CREDENTIALS": str(credentials_file(self.api_url)),
            "STORAGE_EMULATOR_HOST": self.api_url,
        }

    def leftovers(self) -> list[str]:
        """What clients uploaded and have not deleted."""
        return [*self.files.uploaded(), *self.storage.uploaded()]

    async def take_script(self, request: Request, family: str) -> Script:
        """The life of the job that a create is about to make.

        Raises:
            GoogleRefusal: 400: its script says that there is to be no job.
        """
        text = f"{request.url.path}\n{(await request.body()).decode('utf-8', 'replace')}"
        return adjusted(refuse_at_create(self.vendor.take_script(text)), family)

    def accept(
        self,
        prefix: str,
        clip: Clip,
        order: VeoOrder | OmniOrder,
        script: Script,
        *,
        count: int = 1,
        webhook: str = "",
    ) -> VendorJob:
        """A new job, whose id begins with ``prefix``."""
        self._prefix = prefix
        body = {"prompt": order.prompt, "seconds": clip.duration, "count": count}
        job = self.vendor.create(clip, count=count, model=order.model, body=body, webhook=webhook, script=script)
        self.orders[job.id] = order
        return job

    def webhook_body(self, job: VendorJob) -> bytes:
        """An event about an interaction."""
        state = job.look(self.clock.now())[0]
        word = "completed" if state in ("succeeded", "empty") else "failed"
        return json.dumps({"type": f"interaction.{word}", "version": "v1", "data": {"id": job.id}}).encode()

    def reset(self, *, seed: int | None = None) -> None:
        """As if it had just been made; access tokens stay good."""
        super().reset(seed=seed)
        self.orders.clear()
        self.files.clear()
        self.storage.clear()
