"""Webhooks from the vendor's signature to our own GET, which alone changes a job."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rig
from acme.emulator import AcmeEmulator
from acme.plugin import AcmeProvider
from history import check, gather
from rig import Application
from videogen_core import Client, Job, ProviderError, SubmissionUnknownError, WebhookError
from videogen_core.testing import Fault, Script, ServerProcess, serve_process, sign_webhook

SECRET = AcmeEmulator.webhook_secret


@pytest.fixture(scope="module")
def vendor() -> Iterator[ServerProcess]:
    with serve_process("acme.emulator:AcmeEmulator") as found:
        yield found


@pytest.fixture
def acme(vendor: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> ServerProcess:
    monkeypatch.setenv("ACME_WEBHOOK_SECRET", SECRET)
    rig.hurry(monkeypatch)
    vendor.reset()
    vendor.change(kind="N")
    vendor.script_all(Script(running=0.1, times=None))
    return vendor


@pytest.fixture
def application() -> Iterator[Application]:
    with Application() as found:
        yield found


@pytest.fixture
def videogen(acme: ServerProcess, application: Application, tmp_path: Path) -> Iterator[Client]:
    with rig.sync_client(tmp_path / "home", acme.url, webhook_url=application.url) as found:
        application.videogen = found
        yield found
        application.videogen = None


def signed(body: bytes, message_id: str = "msg_1") -> dict[str, str]:
    now = int(time.time())
    signature = sign_webhook(SECRET, message_id, now, body)
    return {"Webhook-Id": message_id, "Webhook-Timestamp": str(now), "Webhook-Signature": signature}


def reference(job: Job) -> str:
    return job.record.attempt.client_ref


def history(tmp_path: Path, acme: ServerProcess) -> Any:
    return check(str(tmp_path / "home" / "ledger.db"), acme, "N")


@pytest.mark.promise("W5", "B5")
def test_a_delivery_brings_a_job_to_its_end(
    acme: ServerProcess, videogen: Client, application: Application, tmp_path: Path
) -> None:
    job = videogen.submit("boat", model="paper")
    rig.within(5, lambda: application.answers == [200])
    assert (videogen.job(job.id).status, videogen.job(job.id).money) == ("succeeded", "settled")
    assert acme.count("poll") == 1
    assert job.wait(10).path is not None
    history(tmp_path, acme)


@pytest.mark.promise("W4", "S3", "S5")
def test_a_delivery_is_proof_of_a_create_without_an_answer(
    acme: ServerProcess, videogen: Client, application: Application, tmp_path: Path
) -> None:
    acme.script_all(Script(running=0.4, times=None))
    acme.inject(Fault("reset", on="create"))
    with pytest.raises(SubmissionUnknownError) as caught:
        videogen.generate("boat", model="paper")
    job = videogen.job(caught.value.job_id or "")
    assert job.status == "unknown"
    rig.within(5, lambda: application.answers == [200])
    assert job.wait(10).path is not None
    found = history(tmp_path, acme)
    assert len(found.creates) == 1


@pytest.mark.promise("W4", "W6", "S3")
def test_a_delivery_before_the_answer_of_the_create(
    acme: ServerProcess, videogen: Client, application: Application, tmp_path: Path
) -> None:
    acme.script_all(Script(times=None))  # done at once
    acme.inject(Fault("hang", on="create", seconds=0.6))
    assert videogen.generate("boat", model="paper").path is not None
    assert application.answers[0] == 200
    found = history(tmp_path, acme)
    (job,) = found.jobs
    kinds = [event.type for event in found.events[job.id]]
    assert kinds.count("accepted") == kinds.count("settled") == 1
    assert "orphan" not in kinds


@pytest.mark.promise("W2", "W6")
def test_a_replay_is_refused(acme: ServerProcess, videogen: Client, application: Application, tmp_path: Path) -> None:
    job = videogen.submit("boat", model="paper")
    rig.within(5, lambda: application.answers == [200])
    body = json.dumps({"id": job.provider_job_id, "status": "done"}).encode()
    headers = signed(body, f"msg_{job.provider_job_id}")
    with pytest.raises(WebhookError, match="before") as caught:
        videogen.webhook("acme", headers=headers, body=body, reference=reference(job))
    assert caught.value.status_code == 409
    polled = acme.count("poll")
    for number in range(3):  # news of what is known, out of order: nothing changes
        videogen.webhook("acme", headers=signed(body, f"late_{number}"), body=body, reference=reference(job))
    assert acme.count("poll") == polled
    history(tmp_path, acme)


@pytest.mark.promise("W5")
@pytest.mark.parametrize("status", ["done", "failed", "stopped", "queued", "whatever"])
def test_what_a_delivery_claims_changes_nothing(
    acme: ServerProcess, videogen: Client, tmp_path: Path, status: str
) -> None:
    acme.script_all(Script(running=60, times=None))
    job = videogen.submit("boat", model="paper")
    body = json.dumps({"id": job.provider_job_id, "status": status, "charge": "9.99", "videos": []}).encode()
    answer = videogen.webhook("acme", headers=signed(body), body=body, reference=reference(job))
    assert (answer.status, answer.money) == ("running", "held")
    history(tmp_path, acme)


@pytest.mark.promise("W1", "W3", "W4")
def test_what_is_not_for_us_is_refused(acme: ServerProcess, videogen: Client) -> None:
    acme.script_all(Script(running=60, times=None))
    job = videogen.submit("boat", model="paper")
    body = json.dumps({"id": job.provider_job_id}).encode()
    garbage = b"\xff{not json"
    large = b" " * (2**20 + 1)
    cases: list[tuple[int, dict[str, str], bytes, str]] = [
        (404, signed(body), body, "0" * 32),
        (404, signed(body), body, ""),
        (413, signed(large), large, reference(job)),
        (400, signed(garbage), garbage, reference(job)),
        (400, {}, body, reference(job)),
        (400, {**signed(body), "Webhook-Signature": "v1"}, body, reference(job)),
        (400, {**signed(body), "Webhook-Signature": "v1,ä"}, body, reference(job)),
        (400, {**signed(body), "Webhook-Timestamp": "now"}, body, reference(job)),
        (400, signed(body + b" "), body, reference(job)),
    ]
    for status, headers, sent, ref in cases:
        with pytest.raises(WebhookError) as caught:
            videogen.webhook("acme", headers=headers, body=sent, reference=ref)
        assert caught.value.status_code == status, (headers, sent[:40], ref)
    assert acme.count("poll") == 0
    assert videogen.job(job.id).status == "queued"


@pytest.mark.promise("W2", "W5")
def test_a_delivery_that_could_not_be_dealt_with_may_come_again(
    acme: ServerProcess, videogen: Client, application: Application, tmp_path: Path
) -> None:
    acme.inject(Fault("status", status=503, on="poll", at="before", times=1))
    job = videogen.submit("boat", model="paper")
    rig.within(5, lambda: len(application.answers) >= 2)
    assert application.answers == [503, 200]
    assert videogen.job(job.id).status == "succeeded"
    history(tmp_path, acme)


@pytest.mark.promise("W4", "S3")
def test_a_delivery_cannot_give_one_job_the_id_of_another(
    acme: ServerProcess, videogen: Client, application: Application, tmp_path: Path
) -> None:
    acme.script_all(Script(running=60, times=None))
    other = videogen.submit("boat", model="paper")
    acme.inject(Fault("reset", on="create", at="before"))
    with pytest.raises(SubmissionUnknownError) as caught:
        videogen.generate("boat", model="paper")
    lost = videogen.job(caught.value.job_id or "")
    body = json.dumps({"id": other.provider_job_id}).encode()
    videogen.webhook("acme", headers=signed(body), body=body, reference=reference(lost))
    assert videogen.job(lost.id).status == "unknown"
    assert videogen.job(other.id).provider_job_id == other.provider_job_id
    found = gather(str(tmp_path / "home" / "ledger.db"), acme, "N")
    assert not found.faults()


@pytest.mark.promise("W1", "W4")
def test_where_nothing_is_signed_only_our_reference_counts(
    acme: ServerProcess, videogen: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AcmeProvider, "signed_webhooks", False)
    acme.script_all(Script(running=60, times=None))
    job = videogen.submit("boat", model="paper")
    body = json.dumps({"id": job.provider_job_id}).encode()
    with pytest.raises(WebhookError, match="only with our reference"):
        videogen.webhook("acme", headers=signed(body), body=body)
    assert acme.count("poll") == 0
    assert videogen.webhook("acme", headers=signed(body), body=body, reference=reference(job)).id == job.id
    assert acme.count("poll") == 1


@pytest.mark.promise("W4", "S3")
def test_where_nothing_is_signed_an_id_is_looked_up_before_it_is_believed(
    acme: ServerProcess, videogen: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AcmeProvider, "signed_webhooks", False)
    acme.script_all(Script(running=60, times=None))
    other = videogen.submit("boat", model="paper")
    acme.inject(Fault("reset", on="create"))
    with pytest.raises(SubmissionUnknownError) as caught:
        videogen.submit("boat", model="paper")
    lost = videogen.job(caught.value.job_id or "")

    def deliver(name: str, number: int) -> Job:
        body = json.dumps({"id": name}).encode()
        videogen.webhook("acme", headers=signed(body, f"msg_{number}"), body=body, reference=reference(lost))
        return videogen.job(lost.id)

    for number, lie in enumerate(("made-up", str(other.provider_job_id))):
        with pytest.raises(WebhookError, match="about no job of ours") as refused:
            deliver(lie, number)
        assert refused.value.status_code == 404
        assert (videogen.job(lost.id).status, videogen.job(lost.id).money) == ("unknown", "held")
    (mine,) = [job["id"] for job in acme.jobs() if job["id"] != other.provider_job_id]
    acme.inject(Fault("status", status=503, on="poll", at="before", times=1))
    with pytest.raises(ProviderError):
        deliver(mine, 8)
    assert videogen.job(lost.id).status == "unknown"
    assert deliver(mine, 8).provider_job_id == mine
