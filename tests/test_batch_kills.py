"""A batch that is killed, stopped and run again: every row is made once, as the vendor's own books say."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

import rig
from history import check
from rig import Zygote
from videogen_core.testing import Fault, Script, ServerProcess, serve_process

SEED = int(os.environ.get("VIDEOGEN_TEST_SEED", "1"))
ROWS = 40


@pytest.fixture(scope="module")
def acme() -> Iterator[ServerProcess]:
    with serve_process("acme.emulator:AcmeEmulator") as found:
        yield found


@pytest.fixture(scope="module")
def zygote(acme: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    with Zygote("test_batch_kills") as found:
        found.warm("test_kills:warm", url=acme.url, home=str(tmp_path_factory.mktemp("warm")))
        yield found


def drive(url: str, home: str, kind: str, file: str, out: str) -> int:
    """What the command does, without its reading of options."""
    rig.hurry()
    with rig.sync_client(home, url, kind=kind, submit_timeout=1.0) as videogen:
        found = videogen.batch_file(file, out, model="paper", fallback=False, budget=1000, max_concurrency=12)
    sys.stdout.write(json.dumps(found.to_dict()) + "\n")
    return 0 if found.done else 4


def rows(folder: Path) -> Path:
    """Forty rows, each second one the same as another, as takes of one prompt are."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"boat {n // 2}", "duration": 1}) + "\n" for n in range(ROWS)))
    return path


def results(out: Path) -> dict[int, dict[str, object]]:
    """The last whole line of each row."""
    found: dict[int, dict[str, object]] = {}
    for line in (out / "results.jsonl").read_text().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # torn by a kill
        found[row["row"]] = row
    return found


@pytest.mark.parametrize("kind", ["A", "B"])
def test_kill_nine_at_random_instants(zygote: Zygote, acme: ServerProcess, tmp_path: Path, kind: str) -> None:
    dice = random.Random(f"{SEED}/{kind}")
    acme.reset(seed=SEED)
    acme.change(kind=kind)
    acme.script_all(Script(polls=2, times=None))
    file, out, home = rows(tmp_path), tmp_path / "out", tmp_path / "home"
    told = {"url": acme.url, "home": str(home), "kind": kind, "file": str(file), "out": str(out)}
    killed = 0
    for _ in range(30):
        driver = zygote.start("test_batch_kills:drive", tmp_path, **told)
        time.sleep(dice.uniform(0.15, 0.7))
        if driver.kill() != -9:
            break
        killed += 1
    assert killed >= 3, "it ended before it could be killed"
    last = zygote.start("test_batch_kills:drive", tmp_path, **told)
    assert last.wait() == 0, f"seed {SEED}\n{last.output}"
    report = json.loads(last.output.splitlines()[-1])
    assert (report["rows"], report["succeeded"]) == (ROWS, ROWS)
    history = check(str(home / "ledger.db"), acme, kind)  # no job made twice, no charge unbooked
    assert (len(history.jobs), len(history.made)) == (ROWS, ROWS)
    assert Decimal(report["spent"]) == history.charged == history.settled
    kept = results(out)
    assert sorted(kept) == list(range(1, ROWS + 1))
    assert {row["status"] for row in kept.values()} == {"succeeded"}
    clips = {path for row in kept.values() for path in row["paths"]}  # type: ignore[attr-defined]
    assert len(clips) == ROWS == len(list(out.glob("*.mp4")))


def test_ctrl_c_says_how_to_go_on_and_it_does(acme: ServerProcess, tmp_path: Path) -> None:
    number = signal.SIGINT
    acme.reset(seed=SEED)
    acme.change(kind="N")
    acme.script_all(Script(running=0.3, times=None))
    acme.inject(Fault("hang", on="create", seconds=0.1, times=None))  # so that some are being asked for
    file, home = rows(tmp_path), tmp_path / "home"
    environment = {**os.environ, **rig.installed(tmp_path / "site", acme.url, home), "VIDEOGEN_POLL_INTERVAL": "0.2"}
    script = Path(sys.executable).with_name("videogen")
    command = [str(script), "batch", str(file), "-o", str(tmp_path / "out"), "-m", "paper", "--max-concurrency", "16"]
    first = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    rig.within(60, lambda: acme.created > 3)
    first.send_signal(number)
    sent = time.monotonic()
    _, said = first.communicate(timeout=60)
    assert first.returncode == 128 + number, said
    assert time.monotonic() - sent < 20  # seconds, on a machine that does much else
    assert "The same command goes on where this one stopped" in said
    assert "Traceback" not in said
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stdout + again.stderr
    history = check(str(home / "ledger.db"), acme, "N")
    assert (len(history.jobs), len(history.made)) == (ROWS, ROWS)
    assert len(results(tmp_path / "out")) == ROWS
