"""Keys, access tokens and buckets of the emulated Google, for google-auth and google-cloud-storage."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import NotFound, PreconditionFailed
from google.auth import default
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import Request as Transport
from google.cloud import storage
from google.genai import Client, _interactions, errors, types
from google.oauth2 import credentials as user_credentials, service_account
from requests import Session

from veo_emulation import (
    PROJECT,
    _clients as _clients,
    _served as _served,
    clip_of,
    emulator as emulator,
    finished,
    gemini as gemini,
    google as google,
    omni,
    once,
    shape,
    veo,
    vertex as vertex,
    vertex_client,
)
from videogen_core.testing import Script, ServerThread
from videogen_veo.emulator import VeoEmulator

CLOUD = "https://www.googleapis.com/auth/cloud-platform"
READ_ONLY = "https://www.googleapis.com/auth/devstorage.read_only"


@pytest.fixture
def transport() -> Iterator[Transport]:
    with Session() as session:
        yield Transport(session)


@pytest.fixture
def buckets(google: ServerThread) -> Iterator[storage.Client]:
    with storage.Client(project=PROJECT) as client:  # STORAGE_EMULATOR_HOST is set, and so it drops its credentials
        yield client


def account(google: ServerThread) -> Path:
    return Path(google.environment["GOOGLE_APPLICATION_CREDENTIALS"])


def token_of(transport: Transport, google: ServerThread, *scopes: str) -> str:
    credentials = service_account.Credentials.from_service_account_file(str(account(google)), scopes=list(scopes))
    credentials.refresh(transport)
    return str(credentials.token)


# --- who may ask -----------------------------------------------------------------------------------------------------


def test_a_service_account_gets_a_token(google: ServerThread, transport: Transport) -> None:
    assert account(google).stat().st_mode & 0o777 == 0o600
    credentials, project = default(scopes=[CLOUD])
    assert project == PROJECT
    credentials.refresh(transport)
    assert credentials.valid
    assert not credentials.expired
    assert token_of(transport, google, CLOUD).startswith("ya29.")


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    script = "from videogen_veo.emulator.auth import credentials_file as f; print(f('http://127.0.0.1:1'))"

    def run(code: str) -> Path:
        said = subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, text=True,
                              stdout=subprocess.PIPE, check=True)  # fmt: skip
        return Path(said.stdout.strip())

    killed = run(f"{script}; import os, sys; sys.stdout.flush(); os._exit(0)")
    assert killed.exists()
    assert not run(script).exists()
    assert killed.exists()  # it is not old enough to be sure
    os.utime(killed.parent, (1, 1))
    run(script)
    assert list(tmp_path.iterdir()) == []


def test_the_token_server_checks_what_it_is_shown(google: ServerThread, transport: Transport) -> None:
    info = json.loads(account(google).read_text())
    other_email = service_account.Credentials.from_service_account_info(
        {**info, "client_email": "other@emulated-project.iam.gserviceaccount.com"}, scopes=[CLOUD]
    )
    with pytest.raises(RefreshError, match="account not found"):
        other_email.refresh(transport)
    for scopes in ([], ["https://www.googleapis.com/auth/drive"]):
        with pytest.raises(RefreshError, match="invalid_scope"):
            service_account.Credentials.from_service_account_info(info, scopes=scopes).refresh(transport)
    other_key = {**info, "private_key": _another_key()}
    with pytest.raises(RefreshError, match="Invalid JWT"):
        service_account.Credentials.from_service_account_info(other_key, scopes=[CLOUD]).refresh(transport)


def _another_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode()


def test_vertex_wants_a_token_that_is_good(google: ServerThread, emulator: VeoEmulator, transport: Transport) -> None:
    good = token_of(transport, google, CLOUD)
    for token in ("ya29.nonsense", good[:-1], f"{good}0", "test-key"):
        with vertex_client("us-central1", credentials=user_credentials.Credentials(token)) as client:
            with pytest.raises(errors.ClientError) as refused:
                veo(client)
            assert (refused.value.code, refused.value.status) == (401, "UNAUTHENTICATED")
    nobody = user_credentials.Credentials("ya29.nonsense")
    with vertex_client("global", credentials=nobody) as client, pytest.raises(_interactions.AuthenticationError):
        omni(client)
    narrow = user_credentials.Credentials(token_of(transport, google, READ_ONLY))
    with vertex_client("us-central1", credentials=narrow) as client, pytest.raises(errors.ClientError) as refused:
        veo(client)
    assert (refused.value.code, refused.value.details["error"]["details"][0]["reason"]) == (
        403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
    )  # fmt: skip
    with vertex_client("us-central1", credentials=user_credentials.Credentials(good)) as client:
        operation = veo(client)
        emulator.auth.expire_tokens()
        with pytest.raises(errors.ClientError) as refused:
            client.operations.get(operation)
    assert refused.value.code == 401
    assert google.created == 1


def test_the_gemini_api_wants_its_key(google: ServerThread, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(enterprise=False, api_key="AIza-wrong", http_options=once()) as client:
        with pytest.raises(errors.ClientError, match="API key not valid") as classic:
            client.files.upload(file=io.BytesIO(b"x"), config={"mime_type": "image/png"})
        assert (classic.value.code, classic.value.status) == (400, "INVALID_ARGUMENT")
        with pytest.raises(_interactions.BadRequestError, match="API key not valid") as modern:
            omni(client)
    for error in (classic.value.details["error"], modern.value.body["error"]):
        assert error["details"][0]["reason"] == "API_KEY_INVALID"
    assert google.created == 0


def test_an_api_key_may_create_on_vertex_and_not_poll(google: ServerThread) -> None:
    with Client(enterprise=True, api_key="test-key", http_options=once()) as client:
        operation = veo(client)
        assert operation.name.startswith(f"projects/{PROJECT}/locations/us-central1/")
        with pytest.raises(errors.ClientError, match="API keys are not supported by this API") as refused:
            client.operations.get(types.GenerateVideosOperation(name=operation.name))
        assert refused.value.code == 401
    wrong = Client(enterprise=True, api_key="wrong", http_options=once())
    with wrong as client, pytest.raises(errors.ClientError, match="API key not valid"):
        veo(client)


# --- buckets ---------------------------------------------------------------------------------------------------------


def test_objects_go_in_and_out(google: ServerThread, buckets: storage.Client) -> None:
    bucket = buckets.bucket("my-bucket")
    blob = bucket.blob("in/a b/ü.bin")
    blob.metadata = {"made-by": "us"}
    blob.upload_from_string(b"0123456789" * 100, content_type="application/x-thing", checksum="crc32c")
    assert google.emulator.leftovers() == ["gs://my-bucket/in/a b/ü.bin"]
    assert blob.download_as_bytes(checksum="crc32c") == b"0123456789" * 100
    assert blob.download_as_bytes(start=10, end=14) == b"01234"
    found = bucket.get_blob("in/a b/ü.bin")
    assert (found.size, found.content_type, found.metadata) == (1000, "application/x-thing", {"made-by": "us"})
    assert blob.exists()
    assert [each.name for each in buckets.list_blobs("my-bucket", prefix="in/")] == ["in/a b/ü.bin"]
    assert [each.name for each in buckets.list_blobs("my-bucket", prefix="out/")] == []
    blob.delete()
    assert not blob.exists()
    for call in (blob.delete, blob.download_as_bytes):
        with pytest.raises(NotFound):
            call()
    assert google.emulator.leftovers() == []
    assert buckets.get_bucket("my-bucket").name == "my-bucket"


@pytest.mark.parametrize(("size", "requests"), [(2**20, 1), (None, 6)])
def test_large_objects_go_in_piece_by_piece(
    google: ServerThread, buckets: storage.Client, size: int | None, requests: int
) -> None:
    data = bytes(range(256)) * 4096  # 1 MiB, in four pieces
    blob = buckets.bucket("my-bucket").blob("large.bin", chunk_size=256 * 1024)
    blob.upload_from_file(io.BytesIO(data), size=size, content_type="video/mp4")
    assert google.count("upload") == requests
    assert blob.download_as_bytes() == data
    assert blob.content_type == "video/mp4"


def test_an_object_is_not_overwritten_unawares(buckets: storage.Client) -> None:
    blob = buckets.bucket("my-bucket").blob("one.txt")
    blob.upload_from_string("first", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        blob.upload_from_string("second", if_generation_match=0)
    blob.upload_from_string("third", if_generation_match=blob.generation)
    assert blob.download_as_text() == "third"


def test_veo_reads_and_writes_buckets(
    google: ServerThread, buckets: storage.Client, vertex: Client, emulator: VeoEmulator
) -> None:
    buckets.bucket("my-bucket").blob("in/source.mp4").upload_from_string(clip_of(1.0), content_type="video/mp4")
    video = types.Video(uri="gs://my-bucket/in/source.mp4", mime_type="video/mp4")
    operation = veo(vertex, video=video, duration_seconds=None, output_gcs_uri="gs://my-bucket/out")
    assert emulator.vendor.jobs[operation.name].clip.duration == 8.0
    google.script(Script(expired=1))
    [made] = finished(vertex, veo(vertex, output_gcs_uri="gs://my-bucket/out")).response.generated_videos
    blob = storage.Blob.from_uri(made.video.uri, client=buckets)
    with pytest.raises(NotFound):
        blob.download_as_bytes()
    assert shape(blob.download_as_bytes()) == (4.0, 1280, 720, 24, False)
    assert google.emulator.leftovers() == ["gs://my-bucket/in/source.mp4"]


def test_plain_requests_need_a_token(google: ServerThread, emulator: VeoEmulator, transport: Transport) -> None:
    emulator.storage.put("my-bucket", "out/sample_0.mp4", b"0123456789", "video/mp4")
    url = f"{google.url}/storage/v1/b/my-bucket/o/out%2Fsample_0.mp4?alt=media"

    def get(**headers: str) -> Any:
        return transport(url, headers=headers)

    bearer = {"authorization": f"Bearer {token_of(transport, google, READ_ONLY)}"}
    whole = get(**bearer)
    assert (whole.status, whole.data, whole.headers["content-type"]) == (200, b"0123456789", "video/mp4")
    part = get(**bearer, range="bytes=4-")
    assert (part.status, part.data, part.headers["content-range"]) == (206, b"456789", "bytes 4-9/10")
    assert get().status == 401
    assert get(authorization="Bearer ya29.wrong").status == 401
    denied = transport(url.partition("?")[0], method="DELETE", headers=bearer)
    assert (denied.status, json.loads(denied.data)["error"]["errors"][0]["reason"]) == (403, "forbidden")
    gone = transport(url.replace("sample_0", "sample_1"), headers=bearer)
    assert (gone.status, json.loads(gone.data)["error"]["code"]) == (404, 404)
    shown = transport(url.partition("?")[0], headers=bearer)
    assert json.loads(shown.data)["size"] == "10"
    assert google.count("download") == 5  # the look at it is none
