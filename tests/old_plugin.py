"""A plugin as one was written for plugin API 1, and as it is to go on working. Do not bring it up to date.

It says nothing of its version, marks an address that may be kept with ``keep_url``, and a `RequestError` of its
``submit`` says nothing about whether the vendor has the job.
"""

import uuid

from videogen_core import (
    Context,
    JobStatus,
    MissingCredentialsError,
    ModelSpec,
    Output,
    Provider,
    ProviderJob,
    RequestError,
    Session,
    Snapshot,
    Submission,
    SubmitCall,
    hookimpl,
)
from videogen_core.catalog import parse_catalog

CATALOG = """
source = "https://old.example/pricing"
as_of = 2026-11-20

[[models]]
id = "old/reel"
title = "Old reel"
maker = "Old"
first_party = true
latency = { typical = 1 }
default = { duration = 1 }
prices = [{ amount = 0.10 }]

[[models.modes]]
tasks = ["text_to_video"]
durations = [1, 2]
"""


class OldSession(Session):
    def __init__(self, context: Context) -> None:
        self.url = context.environment["OLD_URL"]

    async def submit(self, call: SubmitCall) -> Submission:
        if call.request.prompt == "a mistake":
            raise RequestError("The reply made no sense.")
        return Submission(provider_job_id=uuid.uuid4().hex)

    async def poll(self, job: ProviderJob) -> Snapshot:
        return Snapshot(status=JobStatus.SUCCEEDED, outputs=(Output(url=self.url, keep_url=True),))


class OldProvider(Provider):
    name = "old"
    title = "Old"
    setup = "Set OLD_URL."

    def models(self) -> tuple[ModelSpec, ...]:
        return parse_catalog(CATALOG, origin="old").models

    def check_ready(self, environment, settings):  # type: ignore[no-untyped-def]
        if not environment.get("OLD_URL"):
            raise MissingCredentialsError("OLD_URL is not set.")

    def connect(self, context: Context) -> Session:
        return OldSession(context)


@hookimpl
def videogen_provider() -> Provider:
    return OldProvider()
