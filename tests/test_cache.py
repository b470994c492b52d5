"""The cache: what it serves is what was stored, or nothing, whatever happens to it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cache_worker import CALLS, DAY, intercept, key_of, leftovers, room_for_two
from media_samples import clip
from videogen_core import DownloadError
from videogen_core.cache import Cache, Entry
from videogen_core.clips import probe, probe_file
from videogen_core.partials import Partial, sweep
from videogen_core.states import Video

WORKER = Path(__file__).with_name("cache_worker.py")


class Clock:
    """Seconds since 1970, set by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(tmp_path: Path, clock: Clock) -> Cache:
    return Cache(tmp_path / "cache", ttl=DAY, max_bytes=10**9, clock=clock)


@pytest.fixture
def video(tmp_path: Path) -> Video:
    return stored(tmp_path / "boat.mp4")


def stored(path: Path, *, seconds: float = 0.25) -> Video:
    """A clip as a job leaves it; other seconds, other bytes."""
    path.write_bytes(clip(seconds=seconds))
    return probe(path)


def present(entry: Entry | None) -> Entry:
    assert entry is not None
    return entry


def sha256(path: Path | None) -> str:
    assert path is not None
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_clip_comes_back_as_it_was(cache: Cache, video: Video, tmp_path: Path) -> None:
    key, facts = key_of(video), {"offer": "acme/paper", "cost": "0.40", "clips": [1, None, True]}
    assert cache.get(key) is None
    assert cache.put(key, [video], facts) is None
    entry = present(cache.get(key))
    assert (entry.key, entry.facts, entry.created_at.timestamp()) == (key, facts, cache._clock())
    assert msgspec.structs.replace(entry.videos[0], path=video.path) == video
    target = tmp_path / "new folder" / "again.mp4"
    delivered = cache.deliver(entry, 0, target)
    assert delivered == msgspec.structs.replace(video, path=target, integrity="checksum")
    assert sha256(target) == video.sha256
    assert leftovers(tmp_path) == []


def test_several_clips_of_one_request_stay_in_order(cache: Cache, tmp_path: Path) -> None:
    videos = [stored(tmp_path / f"{n}.mp4", seconds=0.25 + n / 8) for n in range(3)]
    assert cache.put(key_of(videos[0]), videos) is None
    entry = present(cache.get(key_of(videos[0])))
    assert [v.sha256 for v in entry.videos] == [v.sha256 for v in videos]
    for number, original in enumerate(videos):
        delivered = cache.deliver(entry, number, tmp_path / f"again-{number}.mp4")
        assert delivered is not None
        assert delivered.sha256 == original.sha256


def test_an_archive_of_frames_comes_back_as_it_was(cache: Cache, tmp_path: Path) -> None:
    path = tmp_path / "frames.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("frame_0000.png", "a picture")
    video = probe_file(path, "application/zip")
    assert cache.put(key_of(video), [video]) is None
    delivered = cache.deliver(present(cache.get(key_of(video))), 0, tmp_path / "again.zip")
    assert delivered is not None
    assert (delivered.mime_type, delivered.sha256) == ("application/zip", video.sha256)


def test_the_same_file_may_be_there_twice(cache: Cache, video: Video) -> None:
    assert cache.put(key_of(video), [video, video]) is None
    assert len(present(cache.get(key_of(video))).videos) == 2


@pytest.mark.promise("C5")
def test_users_may_do_with_their_clips_what_they_like(cache: Cache, video: Video, tmp_path: Path) -> None:
    assert cache.put(key_of(video), [video]) is None
    assert video.path is not None
    target = tmp_path / "again.mp4"
    cache.deliver(present(cache.get(key_of(video))), 0, target)
    for path in (video.path, target):
        assert path.stat().st_nlink == 1
        with path.open("r+b") as file:  # in place: a hard link would carry it into the cache
            file.write(b"mine now")
    entry = present(cache.get(key_of(video)))
    assert sha256(entry.videos[0].path) == video.sha256


@pytest.mark.promise("R3")
def test_only_the_user_can_read_it(cache: Cache, video: Video) -> None:
    before = os.umask(0)
    try:
        assert cache.put(key_of(video), [video]) is None
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (cache.folder, *cache.folder.rglob("*"))}
    assert {0o700 if path.is_dir() else 0o600 for path in modes} == {0o600, 0o700}
    assert all(mode == (0o700 if path.is_dir() else 0o600) for path, mode in modes.items())


@pytest.mark.promise("C1")
def test_it_does_not_say_where_a_clip_came_from(cache: Cache, video: Video, tmp_path: Path) -> None:
    signed = msgspec.structs.replace(video, url="https://a.example/boat.mp4?signature=canary")
    assert cache.put(key_of(video), [signed]) is None
    written = b"".join(path.read_bytes() for path in cache.folder.rglob("*") if path.is_file())
    assert b"canary" not in written
    assert str(tmp_path).encode() not in written


def _pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


# --- what may go in ---------------------------------------------------------------------------------------------


@pytest.mark.promise("C2")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda video: [],
        lambda video: [msgspec.structs.replace(video, path=None)],
        lambda video: [msgspec.structs.replace(video, sha256="")],
        lambda video: [video, msgspec.structs.replace(video, size=0)],
        lambda video: [msgspec.structs.replace(video, sha256="0" * 64)],
        lambda video: [msgspec.structs.replace(video, size=video.size - 1)],
        lambda video: [msgspec.structs.replace(video, path=video.path.with_name("gone.mp4"))],
        lambda video: [msgspec.structs.replace(video, path=video.path.parent)],
        lambda video: [msgspec.structs.replace(video, path=_pipe(video.path.with_name("p")))],
    ],
    ids=["none", "unstored", "unhashed", "empty", "other bytes", "other size", "gone", "folder", "pipe"],
)
def test_only_what_is_stored_and_verified_goes_in(
    cache: Cache, video: Video, spoil: Callable[[Video], list[Video]]
) -> None:
    reason = cache.put(key_of(video), spoil(video))
    assert reason is not None
    assert reason.endswith(".")
    assert cache.get(key_of(video)) is None
    assert cache.usage().entries == 0
    assert leftovers(cache.folder) == []


def test_a_clip_that_was_edited_is_no_longer_the_clip(cache: Cache, video: Video) -> None:
    assert video.path is not None
    with video.path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")
    assert "changed since it was stored" in (cache.put(key_of(video), [video]) or "")


def test_a_link_to_a_clip_is_followed(cache: Cache, video: Video, tmp_path: Path) -> None:
    assert video.path is not None
    (tmp_path / "link.mp4").symlink_to(video.path)
    assert cache.put(key_of(video), [msgspec.structs.replace(video, path=tmp_path / "link.mp4")]) is None
    assert present(cache.get(key_of(video))).videos[0].path == cache.folder / key_of(video) / "1"


def test_what_goes_beside_it_is_plain_data(cache: Cache, video: Video) -> None:
    assert "not plain data" in (cache.put(key_of(video), [video], {"client": object()}) or "")
    assert cache.get(key_of(video)) is None


@pytest.mark.parametrize("key", ["", "../../etc", "A" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n"])
def test_a_key_is_a_hash(cache: Cache, video: Video, key: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        cache.get(key)
    with pytest.raises(ValueError, match="not a key"):
        cache.put(key, [video])


# --- damage -----------------------------------------------------------------------------------------------------


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def _empty(entry: Path) -> None:
    for path in entry.iterdir():
        path.unlink()


def _file_instead(entry: Path) -> None:
    shutil.rmtree(entry)
    entry.write_bytes(b"x")


def _of_another_request(entry: Path) -> None:
    entry.rename(entry.with_name("f" * 64))
    shutil.copytree(entry.with_name("f" * 64), entry)
    _write_manifest(entry / "entry", {"key": "f" * 64})


def _write_manifest(path: Path, changes: dict[str, Any]) -> None:
    text = json.dumps(json.loads(path.read_bytes().partition(b"\n")[2]) | changes).encode()
    path.write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)


def _elsewhere(entry: Path) -> None:
    entry.rename(entry.parent / "moved")
    entry.symlink_to(entry.parent / "moved")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a bit": lambda entry: _flip(entry / "1"),
    "cut": lambda entry: os.truncate(entry / "1", 100),
    "longer": lambda entry: os.truncate(entry / "1", 10**6),
    "empty": lambda entry: (entry / "1").write_bytes(b""),
    "gone": lambda entry: (entry / "1").unlink(),
    "a link": lambda entry: _replace(entry / "1", lambda path: path.symlink_to(entry.parent.parent / "boat.mp4")),
    "a pipe": lambda entry: _replace(entry / "1", os.mkfifo),
    "a folder": lambda entry: _replace(entry / "1", Path.mkdir),
    "a bit of the manifest": lambda entry: _flip(entry / "entry"),
    "an empty manifest": lambda entry: (entry / "entry").write_bytes(b""),
    "a huge manifest": lambda entry: (entry / "entry").write_bytes(b"0" * 3 * 1024**2),
    "no manifest": lambda entry: (entry / "entry").unlink(),
    "a folder as manifest": lambda entry: _replace(entry / "entry", Path.mkdir),
    "a pipe as manifest": lambda entry: _replace(entry / "entry", os.mkfifo),
    "a foreign manifest": lambda entry: _write_manifest(entry / "entry", {"videos": "none"}),
    "no clips": lambda entry: _write_manifest(entry / "entry", {"videos": []}),
    "a newer version": lambda entry: _write_manifest(entry / "entry", {"version": 2}),
    "a path of its own": lambda entry: _write_manifest(entry / "entry", {"videos": [{"path": "/etc/passwd"}]}),
    "another request": _of_another_request,
    "an empty folder": _empty,
    "a file": _file_instead,
    "an entry elsewhere": _elsewhere,
}


@pytest.mark.promise("C2")
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_entry_is_a_miss_and_goes(cache: Cache, video: Video, damage: Callable[[Path], object]) -> None:
    key = key_of(video)
    assert cache.put(key, [video]) is None
    damage(cache.folder / key)
    assert cache.get(key) is None
    assert not os.path.lexists(cache.folder / key)
    assert leftovers(cache.folder) == []
    assert cache.put(key, [video]) is None
    assert sha256(present(cache.get(key)).videos[0].path) == video.sha256


@pytest.mark.promise("C2")
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_between_finding_and_delivering(
    cache: Cache, video: Video, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    """It reads the clip alone, so it may succeed where only the manifest is damaged, but never with other bytes."""
    assert cache.put(key_of(video), [video]) is None
    entry = present(cache.get(key_of(video)))
    damage(cache.folder / key_of(video))
    target = tmp_path / "out" / "again.mp4"
    delivered = cache.deliver(entry, 0, target)
    assert target.exists() == (delivered is not None)
    assert delivered is None or sha256(target) == video.sha256
    assert leftovers(tmp_path) == []


@pytest.mark.promise("C2")
def test_a_clip_that_changes_while_it_is_delivered_is_not_delivered(
    cache: Cache, video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache.put(key_of(video), [video]) is None
    entry = present(cache.get(key_of(video)))
    copy = Partial.copy

    def copying(self: Any, source: int) -> None:
        _flip(cache.folder / key_of(video) / "1")
        copy(self, source)

    monkeypatch.setattr(Partial, "copy", copying)
    assert cache.deliver(entry, 0, tmp_path / "again.mp4") is None
    assert not (tmp_path / "again.mp4").exists()
    assert cache.usage().entries == 0


def test_a_clip_that_is_removed_while_it_is_delivered_is_delivered(
    cache: Cache, video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache.put(key_of(video), [video]) is None
    entry = present(cache.get(key_of(video)))
    copy = Partial.copy

    def copying(self: Any, source: int) -> None:
        assert cache.clear() == 1
        copy(self, source)

    monkeypatch.setattr(Partial, "copy", copying)
    delivered = cache.deliver(entry, 0, tmp_path / "again.mp4")
    assert delivered is not None
    assert sha256(delivered.path) == video.sha256


def test_without_help_of_the_kernel_it_copies_by_hand(
    cache: Cache, video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def refused(source: int, target: int, count: int) -> int:
        calls.append(count)
        if len(calls) % 2:
            return os.write(target, os.read(source, 100))  # some of it, then no more
        raise OSError(errno.EXDEV, "cross-device")

    monkeypatch.setattr(os, "copy_file_range", refused, raising=False)
    assert cache.put(key_of(video), [video]) is None
    delivered = cache.deliver(present(cache.get(key_of(video))), 0, tmp_path / "again.mp4")
    assert delivered is not None
    assert sha256(delivered.path) == video.sha256


def test_a_disk_may_take_less_at_a_time_than_it_is_given(
    cache: Cache, video: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.delattr(os, "copy_file_range", raising=False)
    monkeypatch.setattr(os, "write", lambda target, data: write(target, data[:1000]))
    assert cache.put(key_of(video), [video]) is None
    assert sha256(present(cache.get(key_of(video))).videos[0].path) == video.sha256


def test_an_entry_that_cannot_be_removed_is_a_miss_all_the_same(
    cache: Cache, video: Video, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache.put(key_of(video), [video]) is None
    clock.now += 2 * DAY

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refused)
        assert cache.get(key_of(video)) is None
    assert cache.usage().entries == 0
    assert cache.put(key_of(video), [video]) is None


# --- where it goes ----------------------------------------------------------------------------------------------


@pytest.mark.promise("D1")
def test_a_file_is_replaced_only_when_asked(cache: Cache, video: Video, tmp_path: Path) -> None:
    assert cache.put(key_of(video), [video]) is None
    entry = present(cache.get(key_of(video)))
    target = tmp_path / "mine.mp4"
    target.write_text("mine")
    with pytest.raises(DownloadError, match="exists already"):
        cache.deliver(entry, 0, target)
    assert target.read_text() == "mine"
    assert leftovers(tmp_path) == []
    delivered = cache.deliver(entry, 0, target, overwrite=True)
    assert delivered is not None
    assert sha256(target) == video.sha256
    assert cache.deliver(entry, 0, target) is not None, "the same clip is there already"
    assert cache.usage().entries == 1


def test_a_full_disk_at_the_target_is_an_error_with_its_name(
    cache: Cache, video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache.put(key_of(video), [video]) is None
    entry = present(cache.get(key_of(video)))
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DownloadError, match=r"again\.mp4 cannot be written: No space left"):
        cache.deliver(entry, 0, tmp_path / "again.mp4")
    assert cache.usage().entries == 1


# --- age and size -----------------------------------------------------------------------------------------------


def test_an_entry_grows_old(cache: Cache, video: Video, clock: Clock) -> None:
    assert cache.put(key_of(video), [video]) is None
    clock.now += DAY
    assert cache.get(key_of(video)) is not None, "being used does not make it younger"
    clock.now += 1
    assert cache.get(key_of(video)) is None
    assert cache.usage().entries == 0


@pytest.mark.promise("K3")
def test_a_clock_set_back_makes_no_entry_live_longer(cache: Cache, video: Video, clock: Clock) -> None:
    assert cache.put(key_of(video), [video]) is None
    clock.now -= 60
    assert cache.get(key_of(video)) is not None, "machines that share a folder differ a little"
    clock.now -= 3 * DAY
    assert cache.get(key_of(video)) is None


def test_what_was_used_least_recently_goes_first(cache: Cache, clock: Clock, tmp_path: Path) -> None:
    videos = [stored(tmp_path / f"{n}.mp4", seconds=0.25 + n / 24) for n in range(4)]
    cache.max_bytes = sum(video.size for video in videos[:3]) + 3_000
    for video in videos[:3]:
        assert cache.put(key_of(video), [video]) is None
        clock.now += 10
    assert cache.get(key_of(videos[0])) is not None
    clock.now += 10
    assert cache.put(key_of(videos[3]), [videos[3]]) is None
    there = [video for video in videos if cache.get(key_of(video)) is not None]
    assert videos[0] in there
    assert videos[1] not in there
    assert videos[3] in there
    usage = cache.usage()
    assert usage.entries == len(there)
    assert usage.size <= usage.limit == cache.max_bytes


@pytest.mark.parametrize("limit", [0, 1, 1_000])
def test_a_clip_that_is_too_large_displaces_nothing(cache: Cache, video: Video, tmp_path: Path, limit: int) -> None:
    other = stored(tmp_path / "other.mp4", seconds=0.5)
    assert cache.put(key_of(other), [other]) is None
    cache.max_bytes = limit
    assert "takes" in (cache.put(key_of(video), [video]) or "")
    assert cache.usage().entries == 1


def test_a_clip_that_fits_exactly_stays(cache: Cache, video: Video) -> None:
    assert cache.put(key_of(video), [video]) is None
    cache.max_bytes = cache.usage().size
    assert cache.clear() == 1
    assert cache.put(key_of(video), [video]) is None
    assert cache.get(key_of(video)) is not None


def test_a_disk_that_is_nearly_full_is_left_to_the_ledger(
    cache: Cache, video: Video, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=10 * 1024**2)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert "No space left" in (cache.put(key_of(video), [video]) or "")
    assert cache.usage().entries == 0


def test_what_is_not_ours_stays(cache: Cache, video: Video) -> None:
    cache.folder.mkdir()
    foreign = [cache.folder / name for name in ("notes.txt", "F" * 64, ".videogen-notes.part", "0" * 63)]
    for path in foreign:
        path.write_text("mine")
    (cache.folder / "folder").mkdir()
    (cache.folder / ("0" * 64)).write_text("in the place of an entry")
    assert cache.put(key_of(video), [video]) is None
    assert cache.usage().entries == 2
    assert cache.clear() == 2
    assert sorted(path.name for path in cache.folder.iterdir()) == sorted(["folder", *(path.name for path in foreign)])


def test_a_folder_that_is_none(cache: Cache, video: Video) -> None:
    assert (cache.get(key_of(video)), cache.clear(), cache.usage().entries) == (None, 0, 0)
    cache.folder.write_text("a file")
    assert cache.get(key_of(video)) is None
    assert "could not be kept" in (cache.put(key_of(video), [video]) or "")
    assert (cache.clear(), cache.usage().entries) == (0, 0)


@pytest.mark.promise("T8")
def test_a_read_only_folder_still_serves(
    cache: Cache, video: Video, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write anywhere, so the calls themselves refuse."""
    assert cache.put(key_of(video), [video]) is None

    def guard(name: str) -> None:
        real = getattr(os, name)

        def guarded(path: Any, *args: Any, **options: Any) -> Any:
            writes = name != "open" or args[0] & os.O_CREAT
            if writes and not isinstance(path, int) and Path(path).is_relative_to(cache.folder):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            return real(path, *args, **options)

        monkeypatch.setattr(os, name, guarded)

    for name in ("open", "mkdir", "rename", "unlink", "rmdir", "utime"):
        guard(name)
    entry = present(cache.get(key_of(video)))
    assert cache.deliver(entry, 0, tmp_path / "again.mp4") is not None
    assert "Read-only file system" in (cache.put("0" * 64, [video]) or "")
    assert cache.clear() == 0
    clock.now += 2 * DAY
    assert cache.get(key_of(video)) is None


# --- faults, kills, and others who do the same ------------------------------------------------------------------


@pytest.mark.promise("T8", "C5")
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE], ids=errno.errorcode.get)
def test_a_call_that_fails_hurts_nobody(cache: Cache, video: Video, tmp_path: Path, code: int) -> None:
    """Every system call of a put fails in turn: a reason or an entry, never half of one, and nothing is raised."""
    key, point, failed = key_of(video), 0, True
    while failed:
        point += 1
        failed = False
        shutil.rmtree(cache.folder, ignore_errors=True)

        def act(count: int, name: str) -> None:
            nonlocal failed
            if count == point:  # noqa: B023 - called in this round only
                failed = True
                raise OSError(code, os.strerror(code))

        with pytest.MonkeyPatch.context() as patch:
            intercept(act, patch.setattr)
            reason = cache.put(key, [video])
        entry = cache.get(key)
        assert entry is not None or reason is not None, point
        assert entry is None or sha256(entry.videos[0].path) == video.sha256, point
        assert cache.put(key, [video]) is None, point
        assert cache.get(key) is not None, point
        sweep(cache.folder)
        assert len(leftovers(cache.folder)) <= 1, "only what the fault itself kept from being removed"
    assert point > 15


@pytest.mark.promise("C2", "C5")
def test_a_read_that_fails_is_a_miss(cache: Cache, video: Video, tmp_path: Path) -> None:
    key, point, failed = key_of(video), 0, True
    while failed:
        point += 1
        failed = False
        assert cache.put(key, [video]) is None

        def act(count: int, name: str) -> None:
            nonlocal failed
            if count == point:  # noqa: B023
                failed = True
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))

        with pytest.MonkeyPatch.context() as patch:
            intercept(act, patch.setattr)
            entry = cache.get(key)
            delivered = None
            if entry is not None:
                with suppress(DownloadError):  # the target's
                    delivered = cache.deliver(entry, 0, tmp_path / "again.mp4", overwrite=True)
        assert cache.get(key) is not None, "it was not damaged"
        assert delivered is None or sha256(delivered.path) == video.sha256
    assert point > 10


def run(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(WORKER), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    """Three files, made once."""
    paths = [tmp_path / f"clip-{number}.mp4" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(clip(seconds=0.25 + number / 24))
    return paths


@pytest.mark.promise("C5", "D1")
def test_kill_nine_at_every_system_call_leaves_a_whole_entry_or_none(tmp_path: Path, clips: list[Path]) -> None:
    out, err = run("points", tmp_path / "work", *clips).communicate(timeout=120)
    assert err == ""
    points = json.loads(out)
    assert set(points) >= {"put", "put where others must go", "clear", "deliver"}
    assert min(points.values()) > 5, points


def weather(tmp_path: Path, clips: list[Path], seconds: float) -> None:
    """Four processes use one cache; at random moments the oldest is killed and replaced."""
    dice, number, pause = random.Random(7), 0, 0.3
    running: list[subprocess.Popen[str]] = []
    delivered, end = 0, time.monotonic() + seconds

    def kill(victim: subprocess.Popen[str]) -> int:
        victim.kill()
        out, err = victim.communicate(timeout=30)
        assert err == ""
        return out.count("delivered")

    try:
        while time.monotonic() < end or delivered < 50:
            assert time.monotonic() < end + 120, "hardly anything happens"
            while len(running) < 4:
                number += 1
                running.append(run("storm", tmp_path, number, *clips))
            time.sleep(dice.uniform(0.5, 1.5) * pause)
            done = kill(running.pop(0))
            delivered += done
            pause *= 1 if done else 1.5  # on a busy machine they need longer to begin
    finally:
        for process in running:
            kill(process)
    videos = [probe(path) for path in clips]
    cache = Cache(tmp_path / "cache", ttl=DAY, max_bytes=room_for_two(videos))
    for video in videos:
        entry = cache.get(key_of(video))
        assert entry is None or sha256(entry.videos[0].path) == video.sha256
        assert cache.put(key_of(video), [video]) is None
    assert cache.usage().size <= cache.max_bytes
    for folder in (cache.folder, tmp_path / "out"):
        sweep(folder)
    assert leftovers(tmp_path) == []


@pytest.mark.promise("C2", "C5")
def test_processes_that_share_a_cache_and_are_killed(tmp_path: Path, clips: list[Path]) -> None:
    weather(tmp_path, clips, 3)


@pytest.mark.chaos
@pytest.mark.promise("C2", "C5")
def test_processes_that_share_a_cache_and_are_killed_for_long(tmp_path: Path, clips: list[Path]) -> None:
    weather(tmp_path, clips, 300)


def at_once(cache: Cache, videos: list[Video], monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Store all of them; each is about to be renamed when the first one is."""
    together = threading.Barrier(len(videos))
    rename = Path.rename

    def renaming(self: Path, target: Path) -> Path:
        if target.parent == cache.folder and not target.name.startswith("."):
            together.wait(10)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", renaming)
    reasons: list[str | None] = []
    threads = [
        threading.Thread(target=lambda video=video: reasons.append(cache.put(key_of(video), [video])))
        for video in videos
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return reasons


@pytest.mark.promise("C5")
def test_all_that_store_the_same_at_once_make_one_entry(
    cache: Cache, video: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert at_once(cache, [video] * 4, monkeypatch) == [None] * 4
    assert sorted(path.name for path in cache.folder.iterdir()) == [key_of(video)]
    assert cache.get(key_of(video)) is not None


def test_all_that_store_something_at_once_keep_to_the_limit(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = [stored(tmp_path / f"{n}.mp4", seconds=0.25 + n / 24) for n in range(4)]
    cache.max_bytes = room_for_two(videos)
    assert at_once(cache, videos, monkeypatch) == [None] * 4
    assert 0 < cache.usage().size <= cache.max_bytes


def test_the_calls_that_are_watched_exist() -> None:
    assert [name for name in CALLS if not hasattr(os, name) and name != "copy_file_range"] == []
