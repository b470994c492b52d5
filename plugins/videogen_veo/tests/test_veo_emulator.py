"""The emulator of Google's video APIs, asked by Google's own SDK: clips, edits, files, prices, cancels."""

from __future__ import annotations

import base64
import importlib.util
import io
import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import _interactions, errors, types

from veo_emulation import (
    FAST,
    OMNI,
    PNG,
    SMALL,
    _clients as _clients,
    _served as _served,
    anyio_backend as anyio_backend,
    clip_of,
    emulator as emulator,
    finished,
    gemini as gemini,
    google as google,
    image_part,
    omni,
    shape,
    veo,
    vertex as vertex,
    vertex_client,
    vertex_global as vertex_global,
    video_part,
)
from videogen_core.testing import Script, ServerThread, owner
from videogen_veo.emulator import VeoEmulator

MILLION = 1_000_000


def _charged(google: ServerThread) -> Decimal:
    return Decimal(google.stats()["charged"])


# --- Veo ---------------------------------------------------------------------------------------------------------


def test_veo_makes_what_was_asked_for(google: ServerThread, vertex: genai.Client) -> None:
    google.script(Script(polls=2))
    operation = veo(vertex)
    assert operation.name.startswith(
        f"projects/emulated-project/locations/us-central1/publishers/google/models/{FAST}/"
    )
    assert [vertex.operations.get(operation).done for _ in range(2)] == [None, False]
    [made] = finished(vertex, operation).response.generated_videos
    assert made.video.mime_type == "video/mp4"
    assert shape(made.video.video_bytes) == (4.0, 1280, 720, 24, False)
    assert owner(made.video.video_bytes)["job"] == operation.name == google.jobs()[0]["id"]
    assert _charged(google) == Decimal("0.10") * 4


def test_veo_makes_several_with_sound_into_a_bucket(google: ServerThread, vertex: genai.Client) -> None:
    config = {"number_of_videos": 2, "generate_audio": True, "aspect_ratio": "9:16", "seed": 7}
    operation = veo(vertex, **config, output_gcs_uri="gs://my-bucket/clips/", labels={"team": "ads"})
    first, second = (made.video for made in finished(vertex, operation).response.generated_videos)
    folder = first.uri.removesuffix("sample_0.mp4")
    assert folder.startswith("gs://my-bucket/clips/")
    assert second.uri == f"{folder}sample_1.mp4"
    assert first.video_bytes is None
    assert _charged(google) == Decimal("0.10") * 4 * 2
    assert google.emulator.leftovers() == []  # an output is no leftover


def test_veo_from_images(vertex: genai.Client) -> None:
    image = types.Image(image_bytes=PNG, mime_type="image/png")
    assert veo(vertex, image=image, last_frame=image).name
    reference = types.VideoGenerationReferenceImage(image=image, reference_type="asset")
    assert veo(vertex, reference_images=[reference] * 3, duration_seconds=8).name


@pytest.mark.anyio
async def test_veo_async(google: ServerThread) -> None:
    client = vertex_client().aio
    operation = await client.models.generate_videos(
        model=FAST, source=types.GenerateVideosSource(prompt="a cat"), config={"duration_seconds": 4}
    )
    # another process has nothing but the name
    again = await client.operations.get(types.GenerateVideosOperation(name=operation.name))
    assert shape(again.response.generated_videos[0].video.video_bytes) == (4.0, 1280, 720, 24, True)
    await client.aclose()


@pytest.mark.parametrize(
    ("model", "resolution", "sound", "price"),
    [
        ("veo-3.1-generate-001", "1080p", True, "0.40"),
        ("veo-3.1-generate-001", "4k", False, "0.40"),
        ("veo-3.1-fast-generate-001", "4k", True, "0.30"),
        ("veo-3.1-lite-generate-001", "1080p", False, "0.05"),
    ],
)
def test_veo_costs_what_the_list_says(
    google: ServerThread, vertex: genai.Client, model: str, resolution: str, sound: bool, price: str
) -> None:
    veo(vertex, model=model, resolution=resolution, generate_audio=sound, duration_seconds=8, number_of_videos=2)
    assert _charged(google) == Decimal(price) * 8 * 2


# --- Omni --------------------------------------------------------------------------------------------------------


def test_omni_makes_a_clip_inline(google: ServerThread, gemini: genai.Client) -> None:
    google.script(Script(polls=2))
    made = omni(gemini, "twelve chars")
    assert made.status == "in_progress"
    assert [gemini.interactions.get(made.id).status for _ in range(2)] == ["queued", "in_progress"]
    made = gemini.interactions.get(made.id)
    assert made.status == "completed"
    assert made.model == OMNI
    assert shape(base64.b64decode(made.output_video.data)) == (3.0, 640, 360, 24, True)
    made_tokens = {each.modality: each.tokens for each in made.usage.output_tokens_by_modality}
    assert made_tokens == {"video": 5213}  # 3 s, 5792 tokens a second, three tenths of the price at 720p
    cost = made.usage.total_input_tokens * Decimal("1.5") + made.usage.total_thought_tokens * Decimal(9)
    assert _charged(google) == (cost + 5213 * Decimal("17.5")) / MILLION
    assert made.usage.total_input_tokens == 3


def test_omni_waits_when_it_is_not_in_the_background(google: ServerThread, gemini: genai.Client) -> None:
    google.script(Script(running=0.1), Script(polls=2))
    assert omni(gemini, background=False).output_video.data
    made = omni(gemini, background=False, store=False)
    assert made.status == "completed"
    assert made.id in (None, "")  # nothing to ask for later
    assert google.count("poll") == 0


@pytest.mark.parametrize(
    ("resolution", "tokens"), [("360p", 6082), ("720p", 20_272), ("1080p", 30_408), ("4k", 60_816)]
)
def test_omni_costs_what_its_tokens_cost(
    google: ServerThread, gemini: genai.Client, resolution: str, tokens: int
) -> None:
    omni(gemini, response_format={**SMALL, "resolution": resolution, "duration": "3.5s"})
    assert _charged(google) == (2 * Decimal("1.5") + 640 * 9 + tokens * Decimal("17.5")) / MILLION


def test_omni_gives_ten_seconds_of_720p_by_default(emulator: VeoEmulator, gemini: genai.Client) -> None:
    made = gemini.interactions.create(model=OMNI, input="a cat", background=True)
    clip = emulator.vendor.jobs[made.id].clip
    assert (clip.duration, clip.width, clip.height, clip.audio, clip.fps) == (10.0, 1280, 720, True, 24)


@pytest.mark.anyio
async def test_omni_async_with_files(google: ServerThread) -> None:
    client = genai.Client(enterprise=False).aio
    file = await client.files.upload(file=io.BytesIO(PNG), config={"mime_type": "image/png", "display_name": "a dot"})
    assert (file.state, file.display_name, file.size_bytes) == (types.FileState.ACTIVE, "a dot", len(PNG))
    assert google.emulator.leftovers() == [file.name]
    made = await client.interactions.create(
        model=OMNI,
        input=[{"type": "image", "uri": file.uri, "mime_type": "image/png"}, {"type": "text", "text": "go"}],
        background=True,
        response_format={**SMALL, "delivery": "uri"},
        generation_config={"video_config": {"task": "image_to_video"}, "seed": 5},
    )
    made = await client.interactions.get(made.id)
    assert made.output_video.uri.startswith("https://generativelanguage.googleapis.com/v1beta/files/")
    name = made.output_video.uri.partition(":download")[0].rpartition("/")[2]
    states = [(await client.files.get(name=name)).state for _ in range(2)]
    assert states == [types.FileState.PROCESSING, types.FileState.ACTIVE]
    data = await client.files.download(file=made.output_video.uri)
    assert shape(data) == (3.0, 640, 360, 24, True)
    await client.files.delete(name=file.name)
    assert google.emulator.leftovers() == []
    await client.aclose()


def test_omni_may_answer_with_an_address_all_the_same(google: ServerThread, gemini: genai.Client) -> None:
    google.script(Script(code="uri"))
    made = gemini.interactions.get(omni(gemini).id)
    assert made.output_video.data is None
    assert made.output_video.uri.endswith(":download?alt=media")


def test_omni_on_vertex_with_a_key(google: ServerThread) -> None:
    with genai.Client(enterprise=True, api_key="test-key") as client:
        made = omni(client, model="gemini-omni-flash-preview")  # which the Gemini API no longer has
        assert client.interactions.get(made.id).output_video.data


def test_omni_on_vertex(google: ServerThread, vertex_global: genai.Client) -> None:
    shape_ = {**SMALL, "delivery": "uri", "gcs_uri": "gs://my-bucket/omni"}
    made = omni(vertex_global, model="gemini-omni-1.1-flash-preview", response_format=shape_)
    made = vertex_global.interactions.get(made.id)
    assert made.output_video.uri.startswith("gs://my-bucket/omni/")
    assert made.output_video.uri.endswith("/sample_0.mp4")
    again = omni(vertex_global, [{"type": "video", "uri": made.output_video.uri, "mime_type": "video/mp4"},
                                 {"type": "text", "text": "make it night"}], task="edit")  # fmt: skip
    assert vertex_global.interactions.get(again.id).output_video.data


def test_edits_and_extensions(google: ServerThread, emulator: VeoEmulator, gemini: genai.Client) -> None:
    source = video_part(clip_of(2.0))
    edited = omni(gemini, [source, {"type": "text", "text": "make it night"}], task="edit")
    assert emulator.vendor.jobs[edited.id].clip.duration == 2.0
    usage = gemini.interactions.get(edited.id).usage
    read = {each.modality: each.tokens for each in usage.input_tokens_by_modality}
    assert read == {"video": 2 * 5792, "text": 4}
    assert usage.total_output_tokens == 3476  # 2 s at three tenths
    extended = omni(gemini, [{"type": "text", "text": "and then it rains"}], task="extend",
                    previous_interaction_id=edited.id)  # fmt: skip
    made = gemini.interactions.get(extended.id)
    assert made.previous_interaction_id == edited.id
    assert made.usage.total_output_tokens == 5213  # the new part alone
    assert shape(base64.b64decode(made.output_video.data))[0] == 5.0
    third = omni(gemini, "now in snow", task=None, previous_interaction_id=extended.id)
    assert emulator.vendor.jobs[third.id].clip.duration == 5.0


def test_veo_extends_a_clip_in_a_bucket(google: ServerThread, emulator: VeoEmulator, vertex: genai.Client) -> None:
    emulator.storage.put("my-bucket", "in/source.mp4", clip_of(1.5), "video/mp4")
    emulator.storage.put("my-bucket", "in/odd.mp4", b"no clip at all", "video/mp4")
    for name, seconds in (("source", 8.5), ("odd", 7.0)):
        video = types.Video(uri=f"gs://my-bucket/in/{name}.mp4", mime_type="video/mp4")
        operation = veo(vertex, video=video, duration_seconds=None)
        assert emulator.vendor.jobs[operation.name].clip.duration == seconds
    assert _charged(google) == Decimal("0.10") * 7 * 2


def test_reference_clips_and_two_frames(gemini: genai.Client) -> None:
    text = {"type": "text", "text": "both of them"}
    assert omni(gemini, [image_part(), video_part(clip_of(1.0)), text], task="reference_to_video").id
    assert omni(gemini, [image_part(), image_part(), text], task="image_to_video").id
    assert omni(gemini, [image_part(), text], task=None).id


# --- the end of jobs and files -------------------------------------------------------------------------------------


def test_an_interaction_can_be_cancelled_and_deleted(google: ServerThread, gemini: genai.Client) -> None:
    google.script(Script(running=3600))
    made = omni(gemini)
    assert gemini.interactions.cancel(made.id).status == "cancelled"
    assert gemini.interactions.get(made.id).status == "cancelled"
    assert _charged(google) == 0
    with pytest.raises(_interactions.BadRequestError, match="not running"):
        gemini.interactions.cancel(made.id)
    gemini.interactions.delete(made.id)
    with pytest.raises(_interactions.BadRequestError, match="Invalid interaction name"):
        gemini.interactions.get(made.id)


def test_big_uploads_come_in_pieces_and_clips_are_processed_first(
    google: ServerThread, emulator: VeoEmulator, gemini: genai.Client
) -> None:
    data = clip_of(1.0)
    padded = data + (10 * 2**20).to_bytes(4) + b"free" + bytes(10 * 2**20 - 8)  # two pieces of the SDK's
    file = gemini.files.upload(file=io.BytesIO(padded), config={"mime_type": "video/mp4", "name": "my-clip"})
    assert (file.name, file.state) == ("files/my-clip", types.FileState.PROCESSING)
    assert google.count("upload") == 3
    part = [{"type": "document", "uri": file.uri}, {"type": "text", "text": "at night"}]
    with pytest.raises(_interactions.BadRequestError, match="not in an ACTIVE state"):
        omni(gemini, part, task="edit")
    assert [gemini.files.get(name="my-clip").state.name for _ in range(2)] == ["PROCESSING", "ACTIVE"]
    assert emulator.vendor.jobs[omni(gemini, part, task="edit").id].clip.duration == 1.0
    with pytest.raises(ValueError, match="uploaded files can't"):
        gemini.files.download(file=gemini.files.get(name="my-clip"))
    with pytest.raises(errors.ClientError, match="Only generated files"):
        gemini.files.download(file="files/my-clip")
    google.advance(49 * 3600)
    with pytest.raises(errors.ClientError) as refused:
        gemini.files.get(name="my-clip")
    assert refused.value.code == 404


def test_a_download_may_find_the_file_gone(google: ServerThread, gemini: genai.Client) -> None:
    google.script(Script(expired=1))
    made = gemini.interactions.get(omni(gemini, response_format={**SMALL, "delivery": "uri"}).id)
    uri = made.output_video.uri
    with pytest.raises(errors.ClientError, match="not in an ACTIVE state"):
        gemini.files.download(file=uri)
    name = uri.partition(":download")[0].rpartition("/")[2]
    assert [gemini.files.get(name=name).source for _ in range(2)] == [types.FileSource.GENERATED] * 2
    with pytest.raises(errors.ClientError) as refused:
        gemini.files.download(file=uri)
    assert refused.value.code == 404
    assert len(gemini.files.download(file=uri)) > 5_000


def test_models_are_listed(gemini: genai.Client, vertex: genai.Client) -> None:
    assert [model.name for model in gemini.models.list()] == [f"models/{OMNI}", "models/gemini-omni-1.1-flash"]
    assert gemini.models.get(model=OMNI).name == f"models/{OMNI}"
    assert vertex.models.get(model=FAST).name.endswith(FAST)
    assert FAST in [model.name.rpartition("/")[2] for model in vertex.models.list()]


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1beta1"])
def test_every_version_is_served(google: ServerThread, version: str) -> None:
    options: Any = {"api_version": version}
    with genai.Client(enterprise=False, http_options=options) as client:
        assert gemini_status(client) == "completed"
    with vertex_client("us-central1") as client:
        client._api_client._http_options.api_version = version
        assert finished(client, veo(client)).response


def gemini_status(client: genai.Client) -> str:
    made = omni(client)
    return str(client.interactions.get(made.id).status)


def test_reset_forgets_all(google: ServerThread, emulator: VeoEmulator, gemini: genai.Client) -> None:
    gemini.files.upload(file=io.BytesIO(PNG), config={"mime_type": "image/png"})
    made = omni(gemini)
    google.reset()
    assert emulator.leftovers() == []
    assert google.jobs() == []
    with pytest.raises(_interactions.BadRequestError):
        gemini.interactions.get(made.id)


# --- from a shell --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(
    importlib.util.find_spec("videogen_veo.plugin") is None, reason="the plugin is not there, only its emulator"
)
def test_the_command_line_serves_it() -> None:
    command = [sys.executable, "-c", "from videogen_core.cli import main; main()", "emulate", "veo", "--seconds", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        variables = {}
        while "VIDEOGEN_ALLOW_PRIVATE_ADDRESSES" not in variables:
            line = server.stdout.readline()
            assert line, "it did not start"
            name, _, value = line.removeprefix("export ").strip().partition("=")
            variables[name] = value.strip("'")
        account = Path(variables["GOOGLE_APPLICATION_CREDENTIALS"])
        assert account.stat().st_mode & 0o777 == 0o600
        script = (
            "from google import genai; c = genai.Client(enterprise=False); v = genai.Client(enterprise=True,"
            " project='emulated-project', location='us-central1');"
            f"i = c.interactions.create(model='{OMNI}', input='a cat', background=True);"
            f"o = v.models.generate_videos(model='{FAST}', prompt='a cat'); print(i.status, o.name.split('/')[0])"
        )
        said = subprocess.run([sys.executable, "-c", script], env={**os.environ, **variables}, capture_output=True,
                              text=True, timeout=60, check=True)  # fmt: skip
        assert said.stdout.split() == ["in_progress", "projects"]
        server.send_signal(signal.SIGINT)
    assert not account.exists()
