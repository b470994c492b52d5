"""The plugin against the emulated Google, over real sockets and through Google's own SDK: what goes well.

The names of the tests say which case of the plan they are.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from veo_emulation import (
    _clients as _clients,
    _served as _served,
    anyio_backend as anyio_backend,
    emulator as emulator,
    google as google,
)
from veo_pictures import clip, picture
from videogen_core import AsyncClient, Client, Job, Result
from videogen_core.testing import Entry, Fault, Script, ServerThread, owner
from videogen_veo.emulator import VeoEmulator

pytestmark = pytest.mark.anyio
FAST, OMNI = "veo-3.1-fast", "gemini-omni-1.1-flash"
SHORT = {"duration": 4, "audio": False}
SMALL = {"duration": 3, "resolution": "360p"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home from which jobs are asked for often."""
    monkeypatch.setenv("VIDEOGEN_ALLOW_PRIVATE_ADDRESSES", "1")
    monkeypatch.setenv("VIDEOGEN_POLL_INTERVAL", "0.05")
    monkeypatch.setenv("VIDEOGEN_PROBE_IN_PROCESS", "1")
    return tmp_path / "home"


@pytest.fixture
def videogen(google: ServerThread, home: Path) -> Iterator[Client]:
    with Client(home=home) as client:
        yield client


def made(client: Client, tmp_path: Path, model: str, **wanted: Any) -> Result:
    return client.generate("a paper boat", model=model, output=tmp_path / "boat.mp4", overwrite=True, **wanted)


def sent(google: ServerThread) -> dict[str, Any]:
    """The body of the only create."""
    (entry,) = google.journal("create")
    body: dict[str, Any] = json.loads(entry.body)
    return body


def kinds(entries: list[Entry], kind: str) -> list[Entry]:
    return [entry for entry in entries if entry.kind == kind]


# --- Veo


def test_01_text_to_video_into_a_bucket(google: ServerThread, videogen: Client, tmp_path: Path) -> None:
    google.script(Script(polls=2))
    result = made(videogen, tmp_path, FAST, duration=8, options={"veo": {"output_gcs_uri": "gs://mine/out/"}})
    (video,) = result.videos
    assert (video.duration, video.width, video.height, video.has_audio) == (8.0, 1280, 720, True)
    assert (video.url or "").startswith("gs://mine/out/"), "where it stays is on record, to be extended from"
    assert result.cost == Decimal("0.80") == Decimal(google.stats()["charged"])
    assert google.count("poll") == 3
    (create,) = google.journal("create")
    assert create.path.startswith("/v1beta1/projects/emulated-project/locations/us-central1/publishers/google/models/")
    assert sent(google)["parameters"] == {
        "sampleCount": 1,
        "durationSeconds": 8,
        "aspectRatio": "16:9",
        "resolution": "720p",
        "generateAudio": True,
        "storageUri": "gs://mine/out/",
    }


def test_02_text_to_video_inline(google: ServerThread, videogen: Client, tmp_path: Path) -> None:
    result = made(videogen, tmp_path, FAST, **SHORT)
    assert result.path is not None
    assert owner(result.path.read_bytes())["job"] == result.attempts[0].provider_job_id
    assert result.videos[0].url is None
    assert kinds(google.journal(), "download") == []


def test_09_first_and_last_frame(google: ServerThread, videogen: Client, tmp_path: Path) -> None:
    made(videogen, tmp_path, FAST, image=picture(1), last_frame=picture(2), **SHORT)
    (instance,) = sent(google)["instances"]
    assert sorted(instance) == ["image", "lastFrame", "prompt"]
    assert instance["image"]["mimeType"] == instance["lastFrame"]["mimeType"] == "image/png"
    assert instance["image"] != instance["lastFrame"]


def test_09_two_ordered_images_for_omni(google: ServerThread, videogen: Client, tmp_path: Path) -> None:
    made(videogen, tmp_path, OMNI, image=picture(1), last_frame=picture(2), **SMALL)
    body = sent(google)
    content = body["input"][0]["content"]
    assert [item["type"] for item in content] == ["image", "image", "text"]
    assert content[2]["text"] == "[# Sources <FIRST_FRAME>@Image1 <LAST_FRAME>@Image2]\na paper boat"
    assert body["generation_config"] == {"video_config": {"task": "image_to_video"}}


def test_a_prompt_that_names_its_images_itself_is_sent_as_it_is(google: ServerThread, videogen: Client) -> None:
    prompt = "From <FIRST_FRAME> to <LAST_FRAME>, slowly"
    videogen.submit(prompt, model=OMNI, image=picture(1), last_frame=picture(2), **SMALL)
    assert sent(google)["input"][0]["content"][-1]["text"] == prompt


def test_10_negative_prompt(google: ServerThread, videogen: Client) -> None:
    videogen.submit("a boat", model=FAST, negative_prompt="rain", **SHORT)
    assert sent(google)["parameters"]["negativePrompt"] == "rain"
    google.reset()
    folded: Any = {"veo": {"fold_negative_prompt": True}}
    videogen.submit("a boat", model=OMNI, negative_prompt="rain", options=folded, **SMALL)
    assert sent(google)["input"][0]["content"][-1]["text"] == "a boat\nAvoid: rain"


def test_11_silence_is_asked_for_and_priced(google: ServerThread, videogen: Client, tmp_path: Path) -> None:
    result = made(videogen, tmp_path, "veo-3.1-lite", **SHORT)
    assert sent(google)["parameters"]["generateAudio"] is False
    assert (result.cost, result.videos[0].has_audio) == (Decimal("0.12"), False)


def test_12_a_clip_that_was_filtered_is_not_paid_for(google: ServerThread, videogen: Client, tmp_path: Path) -> None:
    google.script(Script(ending="blocked", code="filtered", outputs=1))
    events: list[str] = []
    result = videogen.generate(
        "boats",
        model=FAST,
        count=2,
        output=f"{tmp_path}/",
        on_event=lambda event: events.append(event.message),
        **SHORT,
    )
    assert len(result.videos) == 1
    assert result.cost == Decimal("0.40") == Decimal(google.stats()["charged"])
    assert any("1 of 2 clips were withheld. Filtered:" in message for message in events)


def test_provider_options_go_where_google_has_them(google: ServerThread, videogen: Client) -> None:
    options = {
        "person_generation": "dont_allow",
        "enhance_prompt": True,
        "compression_quality": "LOSSLESS",
        "resize_mode": "PAD",
        "pubsub_topic": "projects/p/topics/t",
        "labels": {"team": "ads"},
    }
    videogen.submit("a boat", model=FAST, image=picture(1), seed=7, options={"veo": options}, **SHORT)
    body = sent(google)
    assert body["labels"] == {"team": "ads"}
    assert body["parameters"] == {
        "sampleCount": 1, "durationSeconds": 4, "aspectRatio": "16:9", "resolution": "720p", "generateAudio": False,
        "seed": 7, "personGeneration": "dont_allow", "enhancePrompt": True, "compressionQuality": "LOSSLESS",
        "resizeMode": "PAD", "pubsubTopic": "projects/p/topics/t",
    }  # fmt: skip


def test_veo_extends_a_clip_of_a_bucket_by_seven_seconds(
    emulator: VeoEmulator, google: ServerThread, videogen: Client, tmp_path: Path
) -> None:
    emulator.storage.put("mine", "four.mp4", clip(4), "video/mp4")
    result = made(videogen, tmp_path, FAST, video="gs://mine/four.mp4", task="extend_video")
    assert result.videos[0].duration == pytest.approx(11, abs=0.1)
    assert result.cost == Decimal("0.70"), "the new seconds alone"
    (instance,) = sent(google)["instances"]
    assert instance["video"] == {"gcsUri": "gs://mine/four.mp4", "mimeType": "video/mp4"}


def test_a_local_clip_is_staged_in_the_bucket_and_removed(
    emulator: VeoEmulator, google: ServerThread, videogen: Client, tmp_path: Path
) -> None:
    (tmp_path / "source.mp4").write_bytes(clip(2))
    to: Any = {"veo": {"output_gcs_uri": "gs://mine/out"}}
    made(videogen, tmp_path, FAST, video=tmp_path / "source.mp4", task="extend_video", options=to)
    (instance,) = sent(google)["instances"]
    assert instance["video"]["gcsUri"].startswith("gs://mine/out/videogen-")
    assert emulator.leftovers() == []


# --- Omni


def test_04_in_the_background_and_by_the_files_api(google: ServerThread, videogen: Client, tmp_path: Path) -> None:
    google.script(Script(polls=2))
    result = made(videogen, tmp_path, OMNI, **SMALL)
    body = sent(google)
    assert (body["background"], body["store"]) == (True, True)
    assert body["response_format"]["delivery"] == "uri"
    (download,) = kinds(google.journal(), "download")
    assert (download.path.startswith("/v1/files/"), download.origin, download.credentials) == (True, "api", True)
    assert result.path is not None
    assert owner(result.path.read_bytes())["job"] == result.attempts[0].provider_job_id
    assert [entry for entry in google.journal() if entry.origin == "delivery"] == []


def test_04_the_key_goes_nowhere_else(google: ServerThread, videogen: Client, tmp_path: Path) -> None:
    """Even when the download is redirected to another origin, which has the file."""
    job = videogen.submit("a boat", model=OMNI, output=tmp_path / "boat.mp4", **SMALL)
    name = _file_of(google, job)
    there = f"{google.delivery_url}/delivered/{name}"
    google.inject(Fault("redirect", on="download", location=there))
    job.wait()
    (elsewhere,) = [entry for entry in google.journal() if entry.origin == "delivery"]
    assert (elsewhere.path, elsewhere.credentials, elsewhere.status) == (f"/delivered/{name}", False, 200)


def _file_of(google: ServerThread, job: Job) -> str:
    """The id of the file that a job will give, asked for with the SDK."""
    from google import genai

    with genai.Client(enterprise=False) as client:
        while True:
            found: Any = client.interactions.get(str(job.provider_job_id))
            if found.status == "completed":
                return str(found.output_video.uri).rpartition("/")[2].partition(":")[0]


def test_05_inline(google: ServerThread, videogen: Client, tmp_path: Path) -> None:
    result = made(videogen, tmp_path, OMNI, options={"veo": {"delivery": "inline"}}, **SMALL)
    assert kinds(google.journal(), "download") == []
    assert result.path is not None
    assert owner(result.path.read_bytes())["job"] == result.attempts[0].provider_job_id


@pytest.mark.parametrize(("duration", "wire"), [(8, "8s"), (3.5, "3.5s"), (10, "10s")])
def test_06_duration_on_the_wire(google: ServerThread, videogen: Client, duration: float, wire: str) -> None:
    videogen.submit("a boat", model=OMNI, duration=duration, resolution="360p")
    assert sent(google)["response_format"]["duration"] == wire


def test_25_the_actual_cost_comes_from_the_tokens(google: ServerThread, videogen: Client, tmp_path: Path) -> None:
    result = made(videogen, tmp_path, OMNI, **SMALL)
    assert result.cost == Decimal(google.stats()["charged"])
    assert result.attempts[0].cost_origin == "provider"
    quote = result.attempts[0].quote
    assert quote.low is not None
    assert quote.high is not None
    assert quote.low < result.cost < quote.high


def test_omni_edits_and_extends_what_was_uploaded_and_removes_it(
    emulator: VeoEmulator, google: ServerThread, videogen: Client, tmp_path: Path
) -> None:
    (tmp_path / "source.mp4").write_bytes(clip(3))
    edited = made(videogen, tmp_path, OMNI, video=tmp_path / "source.mp4", resolution="360p")
    assert edited.videos[0].duration == pytest.approx(3, abs=0.1)
    extended = made(videogen, tmp_path, OMNI, video=tmp_path / "source.mp4", task="extend_video", **SMALL)
    assert extended.videos[0].duration == pytest.approx(6, abs=0.1)
    bodies = [json.loads(entry.body) for entry in google.journal("create")]
    assert [body["generation_config"]["video_config"]["task"] for body in bodies] == ["edit", "extend"]
    assert google.count("upload") > 0
    assert emulator.leftovers() == []


def test_28_an_earlier_job_is_edited_and_extended_by_its_id(
    google: ServerThread, videogen: Client, tmp_path: Path
) -> None:
    first = made(videogen, tmp_path, OMNI, **SMALL)
    earlier = first.attempts[0].provider_job_id
    made(videogen, tmp_path, OMNI, video=f"interaction://{earlier}", resolution="360p")
    made(videogen, tmp_path, OMNI, video=f"interaction://{earlier}", task="extend_video", **SMALL)
    bodies = [json.loads(entry.body) for entry in google.journal("create")][1:]
    assert [body["previous_interaction_id"] for body in bodies] == [earlier, earlier]
    assert [body["generation_config"]["video_config"]["task"] for body in bodies] == ["edit", "extend"]
    assert google.count("upload") == 0


def test_omni_on_vertex_speaks_to_global_with_a_token(
    google: ServerThread, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GEMINI_API_KEY")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "europe-west4")
    to: Any = {"veo": {"output_gcs_uri": "gs://mine/out/"}}
    with Client(home=home) as videogen:
        inline = made(videogen, tmp_path, OMNI, image=picture(1), **SMALL)
        into = made(videogen, tmp_path, OMNI, options=to, **SMALL)
        veo = made(videogen, tmp_path, FAST, **SHORT)
    assert (inline.videos[0].url, veo.provider) == (None, "veo")
    assert (into.videos[0].url or "").startswith("gs://mine/out/")
    paths = [entry.path for entry in google.journal("create")]
    assert [path.split("/locations/")[1].split("/")[0] for path in paths] == ["global", "global", "us-central1"]
    assert json.loads(google.journal("create")[0].body)["model"] == "gemini-omni-1.1-flash-preview"


# --- whoever asks, and however often


async def test_27_sync_and_async_say_the_same(google: ServerThread, home: Path, tmp_path: Path) -> None:
    wanted: Any = {"image": picture(1), "seed": 3, **SHORT}
    async with AsyncClient(home=home) as client:
        await client.submit("a boat", model=FAST, **wanted)
    with Client(home=home) as videogen:
        videogen.submit("a boat", model=FAST, **wanted)
    first, second = (json.loads(entry.body) for entry in google.journal("create"))
    assert first == second


_KILLED = """
import os, signal, sys, videogen
job = videogen.submit("a boat", model=sys.argv[1], output=sys.argv[2], duration=int(sys.argv[3]))
print(job.id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("model", "seconds"), [(FAST, 4), (OMNI, 3)])
def test_20_killed_and_resumed_by_another_process(
    google: ServerThread, home: Path, tmp_path: Path, model: str, seconds: int
) -> None:
    google.script(Script(polls=1))
    command = [sys.executable, "-c", _KILLED, model, str(tmp_path / "boat.mp4"), str(seconds)]
    done = subprocess.run(command, env={**os.environ, "VIDEOGEN_HOME": str(home)}, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with Client(home=home) as videogen:
        result = videogen.job(done.stdout.strip()).wait(timeout=60)
    assert result.path == tmp_path / "boat.mp4"
    assert (google.count("create"), google.created) == (1, 1)


def test_20_a_job_is_asked_for_where_it_was_made_whatever_is_set_today(
    google: ServerThread, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(home=home) as videogen:
        on_gemini = videogen.submit("a boat", model=OMNI, output=tmp_path / "omni.mp4", **SMALL)
        on_vertex = videogen.submit("a boat", model=FAST, output=tmp_path / "veo.mp4", **SHORT)
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "asia-east1")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "another")
    with Client(home=home) as videogen:
        assert videogen.job(on_gemini.id).wait(timeout=60).path == tmp_path / "omni.mp4"
        assert videogen.job(on_vertex.id).wait(timeout=60).path == tmp_path / "veo.mp4"
    assert google.created == 2


def test_a_ping_tries_the_key_and_the_credentials(google: ServerThread, home: Path) -> None:
    script = [str(Path(sys.executable).with_name("videogen")), "doctor", "--online", "--json"]
    done = subprocess.run(script, env={**os.environ, "VIDEOGEN_HOME": str(home)}, capture_output=True, text=True)
    (row,) = [row for row in json.loads(done.stdout)["plugins"] if row["name"] == "veo"]
    assert row["online"] == {"ok": True, "message": "the Gemini API takes the key, Google gives a token for Vertex AI"}
