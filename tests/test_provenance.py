"""How a clip was made goes with it, inside or beside; it tells no secret, and notices when the clip is another."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import av
import msgspec
import pytest
from hypothesis import given, strategies as st

from media_samples import clip as sample
from vendor import Acme, offer
from videogen_core import AsyncClient, Event, Provenance, RequestError, Result, read_provenance, xmp
from videogen_core.provenance import sidecar_of, write_sidecar
from videogen_core.testing import Clip, make_clip

anyio = pytest.mark.anyio
C2PA = (24).to_bytes(4) + b"uuid" + bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


def client(tmp_path: Path, vendor: Acme, **settings: Any) -> AsyncClient:
    return AsyncClient(home=tmp_path / "home", plugins=[vendor], **settings)


def acme(tmp_path: Path, **facts: Any) -> Acme:
    return Acme(tmp_path / "vendor", offers=(offer("acme", seed=2**31, marks=("SynthID",), **facts),))


async def make(videogen: AsyncClient, output: Path, **changes: Any) -> Result:
    arguments: dict[str, Any] = {"model": "paper", "seed": 7, "output": output} | changes
    return await videogen.generate('a <paper> & a "boat"\nin Ø', **arguments)


@anyio
@pytest.mark.parametrize("where", ["sidecar", "embed"])
async def test_it_goes_with_the_clip_and_can_be_made_again(tmp_path: Path, where: str) -> None:
    vendor = acme(tmp_path)
    async with client(tmp_path, vendor) as videogen:
        result = await make(videogen, tmp_path / "a.mp4", provenance=where, tags={"team": "ads"})
        found = read_provenance(tmp_path / "a.mp4")
        again = await videogen.generate(**found.arguments(), output=tmp_path / "b.mp4", provenance=where)
        other = read_provenance(tmp_path / "b.mp4")
    assert found.request["prompt"] == 'a <paper> & a "boat"\nin Ø'
    assert (found.job_id, found.offer, found.model, found.cost) == (result.job_id, "acme/paper", "paper", result.cost)
    assert (found.marks, found.placeholder, found.cached) == (("SynthID",), False, False)
    assert found.versions["videogen-core"]
    assert found.finished_at is not None
    assert found.accepted_at is not None
    assert found.created_at <= found.accepted_at <= found.finished_at
    assert other.request == found.request
    assert other.job_id == again.job_id != found.job_id
    (video,) = result.videos
    data = (tmp_path / "a.mp4").read_bytes()
    assert (video.sha256, video.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert sidecar_of(tmp_path / "a.mp4").exists() == (where == "sidecar")


@anyio
async def test_no_is_the_default_and_a_setting_changes_it(tmp_path: Path) -> None:
    vendor = acme(tmp_path)
    async with client(tmp_path, vendor) as videogen:
        await make(videogen, tmp_path / "a.mp4")
        with pytest.raises(RequestError, match="provenance: 'inside'"):
            await make(videogen, tmp_path / "x.mp4", provenance="inside")
    async with client(tmp_path, vendor, provenance="sidecar") as videogen:
        await make(videogen, tmp_path / "b.mp4")
        await make(videogen, tmp_path / "c.mp4", provenance="no")
    beside = [sidecar_of(tmp_path / f"{name}.mp4").exists() for name in "abc"]
    assert beside == [False, True, False]
    with pytest.raises(RequestError, match="does not say how it was made"):
        read_provenance(tmp_path / "a.mp4")


@anyio
async def test_the_picture_is_not_touched_and_other_readers_find_the_packet(tmp_path: Path) -> None:
    async with client(tmp_path, acme(tmp_path)) as videogen:
        await make(videogen, tmp_path / "plain.mp4")
        await make(videogen, tmp_path / "a.mp4", provenance="embed")
    data = (tmp_path / "a.mp4").read_bytes()
    found = read_provenance(tmp_path / "a.mp4")
    assert data[: found.size] == (tmp_path / "plain.mp4").read_bytes()
    with av.open(tmp_path / "a.mp4", options={"export_xmp": "1"}) as file:
        packet = file.metadata["xmp"]
        assert sum(1 for _ in file.decode(video=0)) > 0
    tree = ElementTree.fromstring(packet.partition("?>")[2].rpartition("<?xpacket")[0])
    (description,) = tree.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    assert msgspec.json.decode(description.attrib["{urn:x-videogen:provenance:1:}provenance"], type=Provenance) == found
    kind = description.attrib["{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"]
    assert kind.endswith("/trainedAlgorithmicMedia")


@anyio
async def test_several_clips_each_have_their_own(tmp_path: Path) -> None:
    async with client(tmp_path, acme(tmp_path)) as videogen:
        result = await make(videogen, tmp_path / "a.mp4", count=3, provenance="embed")
    assert [read_provenance(video.path or "").clip for video in result.videos] == [1, 2, 3]


@anyio
async def test_a_clip_from_the_cache_says_so(tmp_path: Path) -> None:
    async with client(tmp_path, acme(tmp_path)) as videogen:
        first = await make(videogen, tmp_path / "a.mp4", cache=True, provenance="embed")
        second = await make(videogen, tmp_path / "b.mp4", cache=True, provenance="embed")
        third = await make(videogen, tmp_path / "c.mp4", cache=True, provenance="sidecar")
    assert (first.cached, second.cached, third.cached) == (False, True, True)
    found = read_provenance(tmp_path / "b.mp4")
    assert (found.job_id, found.cached, found.cost, found.model) == (second.job_id, True, 0, "paper")
    assert json.loads(sidecar_of(tmp_path / "c.mp4").read_text())["job_id"] == third.job_id
    assert second.videos[0].sha256 == hashlib.sha256((tmp_path / "b.mp4").read_bytes()).hexdigest()
    plain = (tmp_path / "c.mp4").read_bytes()  # as the vendor made it: nothing of the job whose clip was kept
    assert xmp.survey(tmp_path / "c.mp4").packet is None
    assert (tmp_path / "a.mp4").read_bytes().startswith(plain)
    assert (tmp_path / "b.mp4").read_bytes().startswith(plain)


@anyio
async def test_a_signed_clip_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = make_clip(Clip(duration=1)) + C2PA
    monkeypatch.setattr("vendor.clip", lambda duration: signed)
    async with client(tmp_path, acme(tmp_path)) as videogen:
        await make(videogen, tmp_path / "a.mp4", provenance="embed")
    assert (tmp_path / "a.mp4").read_bytes() == signed
    assert read_provenance(tmp_path / "a.mp4").marks == ("C2PA", "SynthID")


@pytest.mark.parametrize("kind", ["webm", "matroska", "mov", "mp4"])
def test_only_an_mp4_is_written_to(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "clip"
    path.write_bytes(sample(container=kind, codec="libvpx" if kind == "webm" else "libx264"))
    assert xmp.survey(path).extensible == (kind == "mp4")


def test_a_box_without_an_end_and_an_index_that_must_be_last_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    whole = sample(faststart=True)
    at = whole.rindex(b"mdat") - 4
    path.write_bytes(whole[:at] + bytes(4) + whole[at + 4 :])
    assert not xmp.survey(path).extensible
    path.write_bytes(whole + (8).to_bytes(4) + b"mfra")
    assert not xmp.survey(path).extensible


@anyio
async def test_a_clip_that_was_changed_is_told(tmp_path: Path) -> None:
    async with client(tmp_path, acme(tmp_path)) as videogen:
        await make(videogen, tmp_path / "a.mp4", provenance="embed")
        await make(videogen, tmp_path / "b.mp4", provenance="sidecar")
    whole = (tmp_path / "a.mp4").read_bytes()
    turned = bytearray(whole)
    turned[600] ^= 1
    for data in (whole + bytes(8), bytes(turned)):
        (tmp_path / "a.mp4").write_bytes(data)
        with pytest.raises(RequestError, match="has been changed since"):
            read_provenance(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_bytes(whole[:1000])
    with pytest.raises(RequestError, match="has been changed since"):
        read_provenance(tmp_path / "b.mp4")


@anyio
async def test_the_file_of_somebody_else_is_not_replaced_and_the_clip_is_none_the_worse(tmp_path: Path) -> None:
    events: list[Event] = []
    (tmp_path / "a.mp4.json").write_text("my notes")
    async with client(tmp_path, acme(tmp_path)) as videogen:
        await make(videogen, tmp_path / "a.mp4", provenance="sidecar", on_event=events.append)
        assert (tmp_path / "a.mp4.json").read_text() == "my notes"
        await make(videogen, tmp_path / "a.mp4", provenance="sidecar", overwrite=True)
    assert read_provenance(tmp_path / "a.mp4").request["seed"] == 7
    assert [event.message for event in events if event.type == "warning"] == [
        "How a.mp4 was made is not written beside it: there is another file of that name."
    ]


@anyio
async def test_a_job_that_is_taken_up_again_says_the_same(tmp_path: Path) -> None:
    vendor = acme(tmp_path)
    async with client(tmp_path, vendor) as videogen:
        await make(videogen, tmp_path / "a.mp4", provenance="embed")
        before = (tmp_path / "a.mp4").read_bytes()
        found = read_provenance(tmp_path / "a.mp4")
        write_sidecar(found, tmp_path / "a.mp4")
        write_sidecar(found, tmp_path / "a.mp4")
        shutil.copy(tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert read_provenance(tmp_path / "b.mp4") == found
    assert (tmp_path / "a.mp4").read_bytes() == before


@anyio
async def test_no_secret_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", "sk-very-secret-0123456789")
    async with client(
        tmp_path, acme(tmp_path), providers={"acme": {"api_key": "sk-very-secret-0123456789"}}
    ) as videogen:
        await make(videogen, tmp_path / "a.mp4", provenance="embed")
        await make(videogen, tmp_path / "b.mp4", provenance="sidecar")
    for name in ("a.mp4", "b.mp4", "b.mp4.json"):
        assert b"sk-very-secret" not in (tmp_path / name).read_bytes()


def provenance(**changes: Any) -> Provenance:
    facts: dict[str, Any] = {
        "job_id": "vg-1",
        "model": "paper",
        "offer": "acme/paper",
        "request": {"task": "image_to_video", "prompt": "boat", "image": "boat.png"},
        "sha256": "0",
        "size": 1,
        "created_at": "2026-11-21T12:00:00Z",
    }
    return msgspec.convert(facts | changes, Provenance)


def test_an_input_that_is_gone_or_another_is_refused_before_anything_is_spent(tmp_path: Path) -> None:
    image = tmp_path / "boat.png"
    asked = {"image": str(image)}
    with pytest.raises(RequestError, match="is no longer there"):
        provenance(request=asked).arguments()
    image.write_bytes(b"a picture")
    digest = hashlib.sha256(b"a picture").hexdigest()
    assert provenance(request=asked, inputs={"image": digest}).arguments() == {"model": "acme/paper", **asked}
    image.write_bytes(b"another")
    with pytest.raises(RequestError, match="is another file now"):
        provenance(request=asked, inputs={"image": digest}).arguments()
    with pytest.raises(RequestError, match="had a query"):
        provenance(request={"image": "https://example.com/boat.png"}, shortened=["image"]).arguments()


@pytest.mark.parametrize("text", ["", "{}", "[1]", "{" * 10_000, '{"format": "other/1"}', "\x00\xff"])
def test_garbage_beside_a_clip_is_told(tmp_path: Path, text: str) -> None:
    clip = tmp_path / "a.mp4"
    clip.write_bytes(b"x")
    sidecar_of(clip).write_text(text)
    with pytest.raises(RequestError, match="cannot be read"):
        read_provenance(clip)


def test_what_a_newer_version_adds_is_ignored(tmp_path: Path) -> None:
    clip = tmp_path / "a.mp4"
    clip.write_bytes(b"x")
    facts = provenance(sha256=hashlib.sha256(b"x").hexdigest()).to_dict()
    sidecar_of(clip).write_text(json.dumps({**facts, "format": "videogen.provenance/2", "mood": "good"}))
    assert read_provenance(clip).job_id == "vg-1"


@given(text=st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=200), junk=st.binary(max_size=64))
def test_any_text_comes_back_from_any_file(tmp_path_factory: pytest.TempPathFactory, text: str, junk: bytes) -> None:
    path = tmp_path_factory.mktemp("xmp") / "clip.mp4"
    front = (16).to_bytes(4) + b"ftypisom" + bytes(4) + (8 + len(junk)).to_bytes(4) + b"moov" + junk
    path.write_bytes(front + xmp.box(text, tool="t", generated=True))
    size = path.stat().st_size
    assert xmp.read_packet(path) == (text, len(front), size)


@given(data=st.binary(max_size=300))
def test_garbage_is_no_clip_and_breaks_nothing(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("xmp") / "clip.mp4"
    path.write_bytes(data)
    assert xmp.read_packet(path) is None
    path.write_bytes((8).to_bytes(4) + b"ftyp" + data)
    xmp.survey(path)


@anyio
async def test_killed_between_the_clip_and_its_record_it_is_stored_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from videogen_core.engine.fetching import Fetcher

    record = Fetcher._record

    async def dies(*args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt

    async with client(tmp_path, acme(tmp_path)) as videogen:
        monkeypatch.setattr(Fetcher, "_record", dies)
        with pytest.raises(KeyboardInterrupt):
            await make(videogen, tmp_path / "a.mp4", provenance="embed")
        monkeypatch.setattr(Fetcher, "_record", record)
        (job,) = await videogen.jobs()
        assert (await job.wait()).path == tmp_path / "a.mp4"
    assert read_provenance(tmp_path / "a.mp4").job_id == job.id
