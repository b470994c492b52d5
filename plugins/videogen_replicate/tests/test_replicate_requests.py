"""What is sent: paths, the models' own names, inputs; and what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from PIL import Image

from videogen_core import (
    AsyncClient,
    MissingCredentialsError,
    ModelNotFoundError,
    NoRouteError,
    UnsupportedRequestError,
    VideoRequest,
)
from videogen_core.capabilities import check, resolve
from videogen_core.testing import Script, ServerThread
from videogen_replicate.arguments import model_input
from videogen_replicate.emulator import ReplicateEmulator
from videogen_replicate.plugin import ReplicateProvider

pytestmark = pytest.mark.anyio
Clients = Callable[..., AsyncClient]
SPECS = {spec.id.partition("/")[2]: spec for spec in ReplicateProvider().models()}


def picture(folder: Path, size: tuple[int, int] = (64, 36), *, noise: bool = False) -> Path:
    """A PNG; noise does not compress."""
    path = folder / f"{size[0]}{noise}.png"
    image = Image.effect_noise(size, 100) if noise else Image.new("RGB", size, "teal")
    image.save(path)
    return path


def told(emulator: ReplicateEmulator) -> dict[str, Any]:
    """The body of the last create."""
    body: dict[str, Any] = json.loads(emulator.journal.entries("create")[-1].body)
    return body


def as_input(model: str, media: dict[str, str] | None = None, **arguments: Any) -> dict[str, Any]:
    """What a request becomes, without any network."""
    spec = SPECS[model]
    request = resolve(spec, VideoRequest.make("A boat", **arguments)).request
    defaults = {name: option.default for name, option in spec.options.items() if option.default is not None}
    return model_input(spec, request, {**defaults, **request.options.get("replicate", {})}, media or {})


def refusals(model: str, **arguments: Any) -> set[str]:
    """The fields that a request is refused for, without any network."""
    return {violation.field for violation in check(SPECS[model], VideoRequest.make("A boat", **arguments))}


# --- 1, 2: how models are called


async def test_an_official_model_is_called_by_its_name(client: Clients, emulator: ReplicateEmulator) -> None:
    async with client() as videogen:
        result = await videogen.generate(
            "A boat", model="replicate/kwaivgi/kling-v3-video", duration=3, resolution="720p", audio=True
        )
    (entry,) = emulator.journal.entries("create")
    assert entry.path == "/v1/models/kwaivgi/kling-v3-video/predictions"
    assert entry.headers["cancel-after"] == "30m"
    assert entry.headers["user-agent"].startswith("replicate-python/1.")
    assert told(emulator) == {
        "input": {
            "prompt": "A boat",
            "duration": 3,
            "mode": "standard",
            "aspect_ratio": "16:9",
            "generate_audio": True,
        }
    }
    assert (result.provider, result.model, result.cost) == ("replicate", "kling-3.0", None)


async def test_a_versioned_model_is_called_by_its_version(client: Clients, emulator: ReplicateEmulator) -> None:
    async with client() as videogen:
        await videogen.generate("A boat", model="hunyuan-video", duration=1)
    (entry,) = emulator.journal.entries("create")
    assert entry.path == "/v1/predictions"
    assert told(emulator)["version"].startswith("6c9132ae")
    assert told(emulator)["input"]["video_length"] == 25


async def test_the_time_after_which_it_is_cancelled_can_be_set(client: Clients, emulator: ReplicateEmulator) -> None:
    async with client(providers={"replicate": {"cancel_after_minutes": 5}}) as videogen:
        await videogen.submit("A boat", model="replicate/google/veo-2")
    assert emulator.journal.entries("create")[0].headers["cancel-after"] == "5m"
    async with client(providers={"replicate": {"cancel_after_minutes": 90}}) as videogen:
        with pytest.raises(NoRouteError, match="from 1 to 30"):
            await videogen.submit("A boat", model="replicate/google/veo-2")


# --- 15: inputs


async def test_an_address_goes_as_it_is(client: Clients, emulator: ReplicateEmulator) -> None:
    async with client() as videogen:
        await videogen.submit("A boat", model="replicate/minimax/hailuo-2.3-fast", image="https://example.com/boat.png")
    assert told(emulator)["input"]["first_frame_image"] == "https://example.com/boat.png"


async def test_a_small_file_goes_within_the_request(
    client: Clients, emulator: ReplicateEmulator, tmp_path: Path
) -> None:
    path = picture(tmp_path, (280, 280), noise=True)
    assert 60_000 < path.stat().st_size < 256 * 1024
    async with client() as videogen:
        await videogen.submit("A boat", model="replicate/minimax/hailuo-2.3-fast", image=str(path))
    assert emulator.journal.entries("upload") == []
    assert '"first_frame_image":"data:image/png;base64,iVBOR' in emulator.journal.entries("create")[0].body


async def test_a_large_file_is_uploaded_and_removed_when_the_job_is_over(
    client: Clients, emulator: ReplicateEmulator, tmp_path: Path
) -> None:
    path = picture(tmp_path, (1500, 1000), noise=True)
    assert path.stat().st_size > 1_000_000
    async with client() as videogen:
        job = await videogen.submit("A boat", model="replicate/minimax/hailuo-2.3-fast", image=str(path))
        (name,) = emulator.leftovers()
        assert told(emulator)["input"]["first_frame_image"] == f"{emulator.api_url}/v1/files/{name}"
        await job.wait()
    assert emulator.leftovers() == []


async def test_many_small_files_do_not_make_an_answer_that_is_too_long_to_read(
    client: Clients, vendor: ServerThread, emulator: ReplicateEmulator, tmp_path: Path
) -> None:
    """Replicate's answers repeat the whole input; what cannot be read is a job that is paid for and lost."""
    paths = [picture(tmp_path, (500 + n, 500), noise=True) for n in range(9)]
    assert all(200_000 < path.stat().st_size <= 256 * 1024 for path in paths)
    async with client() as videogen:
        result = await videogen.generate(
            "A boat", model="replicate/bytedance/seedance-2.0", reference_images=paths, resolution="480p", duration=4
        )
    assert (vendor.created, len(result.videos)) == (1, 1)
    given = told(emulator)["input"]["reference_images"]
    assert [address.startswith("data:") for address in given] == [True] + [False] * 8
    assert emulator.leftovers() == []


async def test_an_upload_that_was_made_before_the_next_one_failed_is_removed(
    client: Clients, vendor: ServerThread, emulator: ReplicateEmulator, tmp_path: Path
) -> None:
    from videogen_core import AuthenticationError
    from videogen_core.testing import Fault

    paths = [str(picture(tmp_path, size, noise=True)) for size in ((1500, 1000), (1501, 1000))]
    vendor.inject(Fault("status", on="upload", at="before", status=401, skip=1))
    async with client() as videogen:
        with pytest.raises(AuthenticationError):
            await videogen.generate("A boat", model="replicate/google/veo-3.1", reference_images=paths)
    assert (emulator.leftovers(), emulator.journal.entries("create")) == ([], [])


# --- 18: refused here


def test_what_a_model_cannot_do_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    frame = "https://example.com/boat.png"
    either = ({"duration"}, {"resolution"})  # each can be moved to where the other is possible
    assert refusals("minimax/hailuo-2.3", resolution="1080p", duration=10) in either
    assert refusals("minimax/hailuo-2.3-fast") == {"task"}
    assert refusals("google/veo-3.1-lite", resolution="1080p", duration=4) in either
    assert refusals("pixverse/pixverse-v5.6", resolution="1080p", duration=10) in either
    assert refusals("bytedance/seedance-2.0", last_frame=frame) == {"inputs"}
    assert refusals("google/veo-3.1", reference_images=[frame], duration=4) == {"duration"}
    assert refusals("google/veo-3.1", reference_images=[frame], aspect_ratio="9:16") == {"aspect_ratio"}
    assert refusals("kwaivgi/kling-v3-video", image=frame, aspect_ratio="9:16") == {"aspect_ratio"}
    assert refusals("minimax/hailuo-2.3", seed=3) == {"seed"}


async def test_a_refusal_reaches_no_network(client: Clients, emulator: ReplicateEmulator) -> None:
    async with client() as videogen:
        with pytest.raises(UnsupportedRequestError, match="duration"):
            await videogen.generate("A boat", model="replicate/minimax/hailuo-2.3", resolution="1080p", duration=10)
    assert emulator.journal.counts()["requests"] == 0


# --- 19, 23: names and values


def test_each_model_is_told_by_its_own_names() -> None:
    assert as_input("wan-video/wan-2.5-t2v", aspect_ratio="9:16", resolution="720p")["size"] == "720*1280"
    assert as_input("kwaivgi/kling-v3-video", resolution="1080p")["mode"] == "pro"
    assert as_input("pixverse/pixverse-v5", resolution="720p")["quality"] == "720p"
    assert as_input("minimax/hailuo-02", resolution="512p")["resolution"] == "512p"
    assert as_input("bytedance/seedance-2.0", aspect_ratio="adaptive")["aspect_ratio"] == "adaptive"
    assert as_input("google/veo-3.1", seed=7)["seed"] == 7
    frames = as_input("wan-video/wan-2.2-t2v-fast", duration=5.25)
    assert (frames["num_frames"], frames["frames_per_second"]) == (85, 16)
    assert "duration" not in frames
    sides = as_input("tencent/hunyuan-video", resolution="720p", aspect_ratio="9:16")
    assert (sides["width"], sides["height"]) == (720, 1280)


@pytest.mark.parametrize(
    ("model", "fields", "names"),
    [
        ("kwaivgi/kling-v3-video", {"image": "a", "last_frame": "b"}, {"start_image": "a", "end_image": "b"}),
        ("minimax/hailuo-02", {"image": "a", "last_frame": "b"}, {"first_frame_image": "a", "last_frame_image": "b"}),
        ("wan-video/wan-2.2-i2v-fast", {"image": "a", "last_frame": "b"}, {"image": "a", "last_image": "b"}),
        ("google/veo-3.1", {"image": "a", "last_frame": "b"}, {"image": "a", "last_frame": "b"}),
        ("google/veo-3.1", {"reference_images[0]": "a", "reference_images[1]": "b"}, {"reference_images": ["a", "b"]}),
        ("minimax/video-01", {"reference_images[0]": "a"}, {"subject_reference": "a"}),
        ("runwayml/gen4-aleph", {"video": "a", "reference_images[0]": "b"}, {"video": "a", "reference_image": "b"}),
    ],
)
def test_inputs_have_the_model_s_names(model: str, fields: dict[str, str], names: dict[str, Any]) -> None:
    request = VideoRequest.make("A boat")
    assert {k: v for k, v in model_input(SPECS[model], request, {}, fields).items() if k != "prompt"} == names


def test_what_is_none_is_not_told() -> None:
    request = VideoRequest.make("")
    assert model_input(SPECS["xai/grok-imagine-video"], request, {"strength": None}, {}) == {}


# --- 22: costs


@pytest.mark.parametrize(
    ("model", "arguments", "cost"),
    [
        ("google/veo-3.1", {"duration": 8, "audio": True}, "3.20"),
        ("google/veo-3.1", {"duration": 8, "audio": False}, "1.60"),
        ("minimax/hailuo-2.3", {"resolution": "768p", "duration": 10}, "0.56"),
        ("bytedance/seedance-2.0", {"resolution": "720p", "duration": 5}, "0.90"),
        ("alibaba/wan-3", {"resolution": "1080p", "duration": 10}, "2.00"),
        ("wan-video/wan-2.2-t2v-fast", {"resolution": "720p"}, "0.11"),
        (
            "wan-video/wan-2.2-t2v-fast",
            {"resolution": "720p", "options": {"replicate": {"interpolate_output": True}}},
            "0.145",
        ),
        (
            "wan-video/wan-2.2-t2v-fast",
            {"resolution": "480p", "options": {"replicate": {"interpolate_output": True}}},
            None,
        ),
        ("kwaivgi/kling-v3-video", {}, None),
        ("bytedance/seedance-1.5-pro", {"audio": True}, None),
    ],
)
async def test_costs(client: Clients, model: str, arguments: dict[str, Any], cost: str | None) -> None:
    async with client() as videogen:
        quote = await videogen.estimate("A boat", model=f"replicate/{model}", **arguments)
    assert quote.amount == (None if cost is None else Decimal(cost))


async def test_an_image_model_costs_by_the_clip(client: Clients) -> None:
    async with client() as videogen:
        quote = await videogen.estimate(
            "A boat", model="wan-2.2-i2v-fast", image="https://example.com/boat.png", resolution="720p"
        )
    assert quote.amount == Decimal("0.11")


# --- names


@pytest.mark.parametrize(
    "name", ["veo-3.1-fast", "google/veo-3.1-fast", "replicate/veo-3.1-fast", "replicate/google/veo-3.1-fast"]
)
async def test_a_model_answers_to_all_its_names(client: Clients, name: str) -> None:
    async with client() as videogen:
        route = await videogen.route("A boat", model=name)
    assert [candidate.offer for candidate in (*route.candidates, *route.rejected)] == ["replicate/google/veo-3.1-fast"]


async def test_an_id_with_two_slashes_is_one_everywhere(client: Clients, vendor: ServerThread, tmp_path: Path) -> None:
    offer = "replicate/google/veo-2"
    mine = tmp_path / "mine.toml"
    mine.write_text(f'[aliases]\nold = "{offer}"\n[override."{offer}"]\nprices = [{{ amount = 0.40 }}]\n')
    async with client(catalog=mine) as videogen:
        await videogen.set_budget("old", limit=5, period="total", timezone="UTC", model=offer)
        result = await videogen.generate("A boat", model="old", duration=5, output=tmp_path / "{provider}-{model}.mp4")
        (budget,) = await videogen.budgets()
        (line,) = await videogen.costs(by="offer")
    assert result.videos[0].path == tmp_path / "replicate-google-veo-2.mp4"
    assert (result.cost, budget.settled, line.spent) == (Decimal("2.00"),) * 3
    assert (line.key, result.attempts[0].offer) == (offer, offer)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("haiper-v2", "2026-11-20"),
        ("kling-v1.6-pro", "kling-2.5-turbo-pro"),
        ("kuaishou/kling-v2.1", "kling-3.0"),
        ("replicate/openai/sora-2", "2026-09-24"),
    ],
)
async def test_what_is_gone_says_so(client: Clients, name: str, said: str) -> None:
    async with client() as videogen:
        with pytest.raises(ModelNotFoundError) as caught:
            await videogen.route("A boat", model=name)
    assert said in str(caught.value)


async def test_an_old_short_name_still_resolves(client: Clients) -> None:
    async with client() as videogen:
        (spec,) = [spec for spec in await videogen.models() if "veo-2" in spec.aliases]
    assert (spec.id, spec.lifecycle.stage) == ("replicate/google/veo-2", "deprecated")


async def test_one_name_routes_across_vendors(vendor: ServerThread, client: Clients) -> None:
    veo = pytest.importorskip("videogen_veo.plugin")
    async with client(plugins=[ReplicateProvider(), veo.VeoProvider()]) as videogen:
        route = await videogen.route("A boat", model="veo-3.1-fast", duration=8)
        offers = {each.offer for each in (*route.candidates, *route.rejected)}
    assert offers == {"replicate/google/veo-3.1-fast", "veo/veo-3.1-fast"}


# --- 24, 25: tokens and loops


def test_two_event_loops_one_after_the_other(client: Clients, vendor: ServerThread) -> None:
    async def make() -> None:
        async with client() as videogen:
            await videogen.generate("A boat", model="replicate/google/veo-2")

    anyio.run(make)
    anyio.run(make)
    assert vendor.created == 2


def test_it_works_under_trio(client: Clients, vendor: ServerThread) -> None:
    async def make() -> None:
        async with client() as videogen:
            await videogen.generate("A boat", model="replicate/google/veo-2")

    anyio.run(make, backend="trio")
    assert vendor.created == 1


@pytest.mark.parametrize("token", [None, "", "  "])
async def test_without_a_token_nothing_is_sent(
    client: Clients, emulator: ReplicateEmulator, token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REPLICATE_API_TOKEN")
    if token is not None:
        monkeypatch.setenv("REPLICATE_API_TOKEN", token)
    with pytest.raises(MissingCredentialsError, match="REPLICATE_API_TOKEN"):
        ReplicateProvider().check_ready({} if token is None else {"REPLICATE_API_TOKEN": token}, {})
    async with client() as videogen:
        with pytest.raises(NoRouteError, match="REPLICATE_API_TOKEN"):
            await videogen.generate("A boat", model="replicate/google/veo-2")
    assert emulator.journal.counts()["requests"] == 0


@pytest.mark.parametrize("token", ["r8_one\nr8_two", "r8_\u00e9r8_two", "r8_one r8_two"])
async def test_what_is_no_token_is_never_sent(
    client: Clients, emulator: ReplicateEmulator, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    """Nor does it leave a job of which nobody knows whether it was accepted."""
    monkeypatch.setenv("REPLICATE_API_TOKEN", token)
    async with client(patience=0.1) as videogen:
        with pytest.raises(NoRouteError, match="REPLICATE_API_TOKEN holds characters") as caught:
            await videogen.generate("A boat", model="replicate/google/veo-2")
        with pytest.raises(MissingCredentialsError, match="REPLICATE_API_TOKEN holds characters"):
            await videogen.route("A boat", model="replicate/emulated/lagoon")
        assert await videogen.jobs() == []
    assert "r8_two" not in str(caught.value)
    assert emulator.journal.counts()["requests"] == 0


async def test_the_client_of_the_sdk_takes_nothing_of_ours_to_write_into(
    client: Clients, emulator: ReplicateEmulator
) -> None:
    """It writes the token into a dict of headers that it is given; so it is given none."""
    settings = {"cancel_after_minutes": 9}
    async with client(providers={"replicate": settings}) as videogen:
        await videogen.submit("A boat", model="replicate/google/veo-2")
    assert settings == {"cancel_after_minutes": 9}
    assert emulator.journal.entries("create")[0].headers["cancel-after"] == "9m"


async def test_the_clip_is_the_one_that_was_asked_for(client: Clients, vendor: ServerThread) -> None:
    vendor.script(Script(queued=1, running=2, match="boat"))
    vendor.run(50)
    async with client() as videogen:
        result = await videogen.generate(
            "A boat", model="pixverse-v5.6", duration=5, resolution="360p", aspect_ratio="9:16", audio=True
        )
    (video,) = result.videos
    assert (video.width, video.height, video.has_audio) == (360, 640, True)
    assert video.duration == pytest.approx(5, abs=0.1)
