"""Real file systems that are too small or read-only, for tests: a tmpfs each, mounted for the length of one test.

Mounting takes root, or a user namespace of one's own. In that second way the tests reach the disk through ``/proc``,
which all calls understand but for libraries that resolve links in a path first, as SQLite does: such tests ask for
``disk.mounted`` and skip. Where there is neither, the fixtures skip and say why.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

SMALL = 512 * 1024


@dataclass(frozen=True)
class Disk:
    """A file system of its own.

    Attributes:
        path: Its root.
        mounted: Whether it is mounted for every process, rather than reached through ``/proc``.
    """

    path: Path
    mounted: bool

    @property
    def free(self) -> int:
        """Bytes."""
        return shutil.disk_usage(self.path).free

    def fill(self, leave: int = 0) -> Path:
        """Take all space but ``leave`` bytes, rounded to pages; returns the file to remove afterwards."""
        filler = self.path / "filler"
        with filler.open("ab", buffering=0) as file:
            try:
                while (left := self.free - leave) >= 4096:
                    file.write(bytes(min(left, 65536)))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        return filler


@contextmanager
def temporary_disk(folder: Path, *, size: int = SMALL, read_only: bool = False) -> Iterator[Disk]:
    """A tmpfs on ``folder``, which is created."""
    folder.mkdir()
    options = f"size={size},{'ro' if read_only else 'rw'}"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    direct = _run(mount)
    if direct is None:
        try:
            yield Disk(folder, mounted=True)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
        return
    with _namespace(mount) as (process, problem):
        if problem:
            pytest.skip(f"no file system can be mounted here: {direct}; {problem}")
        yield Disk(Path(f"/proc/{process.pid}/root{folder}"), mounted=False)


def _run(command: list[str]) -> str | None:
    """Run it; the reason if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"


@contextmanager
def _namespace(mount: list[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that has the mount in a namespace of its own, and why it has not."""
    if shutil.which("unshare") is None:
        pytest.skip("no file system can be mounted here: neither root nor unshare")
    script = '"$@" && echo mounted && exec cat'
    with subprocess.Popen(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", *mount],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        line = process.stdout.readline().strip()
        try:
            yield process, "" if line == "mounted" else line or "unshare failed"
        finally:
            with suppress(OSError):
                process.kill()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Disk]:
    """512 KiB, empty."""
    with temporary_disk(tmp_path / "small") as disk:
        yield disk


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Disk]:
    """Empty, and it stays so, for root too."""
    with temporary_disk(tmp_path / "read-only", read_only=True) as disk:
        assert not os.access(disk.path, os.W_OK) or os.geteuid() == 0
        yield disk
