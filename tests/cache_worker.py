"""Processes that use a cache and are killed: a script that ``test_cache`` runs.

``cache_worker.py points FOLDER CLIP CLIP CLIP`` forks a child for every system call of every scenario, kills it there,
and looks at what it left. ``cache_worker.py storm FOLDER SEED CLIP...`` uses the cache at random until it is killed.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from videogen_core.cache import Cache, Entry
from videogen_core.clips import probe
from videogen_core.partials import sweep
from videogen_core.states import Video

CALLS = (
    *("mkdir", "open", "fstat", "read", "write", "copy_file_range", "fsync", "ftruncate", "close"),
    *("rename", "replace", "link", "unlink", "rmdir", "utime", "scandir", "lstat", "fchmod"),
)
DAY = 86_400.0
Cases = dict[str, tuple[Callable[[Cache], None], Callable[[Cache], Any]]]


def key_of(video: Video) -> str:
    return hashlib.sha256(video.sha256.encode()).hexdigest()


def room_for_two(videos: list[Video]) -> int:
    return sum(sorted(video.size for video in videos)[-2:]) + 1_500


def intercept(act: Callable[[int, str], None], patch: Callable[[Any, str, Any], None] = setattr) -> None:
    """Call ``act`` with a number and a name before each system call of `CALLS`."""
    count = 0

    def wrapped(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def calling(*args: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            act(count, name)
            return call(*args, **options)

        return calling

    for name in CALLS:
        if hasattr(os, name):
            patch(os, name, wrapped(name, getattr(os, name)))


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".videogen-*")]


def scenarios(folder: Path, clips: list[Video]) -> Cases:
    """What is there before, and what is done when the process is killed."""
    first, second, third = clips
    target = folder.parent / "out" / "boat.mp4"

    def hold(*videos: Video) -> Callable[[Cache], None]:
        def prepare(cache: Cache) -> None:
            for video in videos:
                assert cache.put(key_of(video), [video]) is None

        return prepare

    def old(cache: Cache) -> None:
        Cache(cache.folder, ttl=DAY, max_bytes=cache.max_bytes, clock=lambda: 0.0).put(key_of(first), [first])

    def damaged(cache: Cache) -> None:
        hold(first)(cache)
        (cache.folder / key_of(first) / "1").write_bytes(b"")

    put = lambda cache: cache.put(key_of(first), [first])  # noqa: E731
    return {
        "put": (hold(), put),
        "put instead of an old one": (old, put),
        "put instead of a damaged one": (damaged, put),
        "put where others must go": (hold(second, third), put),
        "clear": (hold(first, second), lambda cache: cache.clear()),
        "deliver": (hold(first), lambda cache: cache.deliver(present(cache.get(key_of(first))), 0, target)),
    }


def present(entry: Entry | None) -> Entry:
    assert entry is not None
    return entry


def points(folder: Path, clips: list[Video]) -> dict[str, int]:
    """Kill at every call; returns how many there were in each scenario."""
    found: dict[str, int] = {}
    cases = scenarios(folder / "cache", clips)
    for name, (prepare, act) in cases.items():
        found[name] = 0
        survived = False
        while not survived:
            shutil.rmtree(folder, ignore_errors=True)
            cache = Cache(folder / "cache", ttl=DAY, max_bytes=room_for_two(clips))
            prepare(cache)
            survived = not killed_at(found[name] + 1, lambda cache=cache, act=act: act(cache))  # type: ignore[misc]
            found[name] += not survived
            examine(cache, clips, f"{name}, call {found[name]}")
    return found


def killed_at(point: int, act: Callable[[], Any]) -> bool:
    """Whether a child that was to die at its call number ``point`` came so far."""
    child = os.fork()
    if child == 0:
        intercept(lambda count, name: os.kill(os.getpid(), signal.SIGKILL) if count == point else None)
        act()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
    return status != 0


def examine(cache: Cache, clips: list[Video], place: str) -> None:
    """Whole entries or none, whole clips or none, and nothing left once somebody has swept."""
    for video in clips:
        entry = cache.get(key_of(video))
        assert entry is None or entry.videos[0].sha256 == video.sha256, place
    for path in (cache.folder.parent / "out").glob("*.mp4"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == clips[0].sha256, place
    for video in clips:
        assert cache.put(key_of(video), [video]) is None, place
        assert cache.get(key_of(video)) is not None, place
    assert cache.usage().size <= cache.max_bytes, place
    sweep(cache.folder.parent / "out")
    assert leftovers(cache.folder.parent) == [], place


def storm(folder: Path, seed: int, clips: list[Video]) -> None:
    """Everything at random, for ever; anything wrong ends it with a traceback."""
    dice = random.Random(seed)
    target = folder / "out" / f"{os.getpid()}.mp4"
    while True:
        cache = Cache(folder / "cache", ttl=DAY, max_bytes=room_for_two(clips))
        video = dice.choice(clips)
        chance = dice.random()
        if chance < 0.03:
            cache.clear()
        elif chance < 0.06:
            for path in (folder / "cache" / key_of(video)).glob("1"):
                path.write_bytes(b"damaged")  # by a hand that is not ours
        elif chance < 0.5:
            reason = cache.put(key_of(video), [video])
            assert reason is None or "No such file" in reason or "Directory not empty" in reason, reason
        elif (entry := cache.get(key_of(video))) is not None:
            delivered = cache.deliver(entry, 0, target, overwrite=True)
            if delivered is not None:
                assert delivered.sha256 == hashlib.sha256(target.read_bytes()).hexdigest() == video.sha256
                print("delivered", flush=True)  # noqa: T201


if __name__ == "__main__":
    what, folder, *rest = sys.argv[1:]
    os.fsync = lambda fd: None  # what is written outlives a process that is killed; this is not about power cuts
    if what == "points":
        print(json.dumps(points(Path(folder), [probe(Path(path)) for path in rest])))  # noqa: T201
    else:
        storm(Path(folder), int(rest[0]), [probe(Path(path)) for path in rest[1:]])
