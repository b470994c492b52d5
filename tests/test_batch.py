"""Many requests in one run: checked before, made once however often it is run, within one budget and little memory."""

from __future__ import annotations

import csv
import json
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from vendor import Acme
from videogen_core import (
    AsyncClient,
    BatchReport,
    BudgetExceededError,
    Event,
    InvalidRowsError,
    RequestError,
    Result,
    ResultExpiredError,
    VideogenError,
    VideoRequest,
)
from videogen_core.batches import rows, run
from videogen_core.batches.rows import Row, rows_of_file, rows_of_list
from videogen_core.batches.tally import Tally

pytestmark = pytest.mark.anyio


def script(**what: Any) -> dict[str, Any]:
    return {"acme": {"script": what}}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # what is special about trio is tested with the engine


@pytest.fixture
def acme(tmp_path: Path) -> Acme:
    return Acme(tmp_path / "vendor")


def client(tmp_path: Path, *plugins: Acme, **overrides: Any) -> AsyncClient:
    return AsyncClient(home=tmp_path / "home", plugins=plugins, probe_in_process=True, **overrides)


class Work:
    """A folder with a file of rows, and runs of it in a client each, as a command is."""

    def __init__(self, folder: Path, vendor: Acme) -> None:
        self.folder = folder
        self.vendor = vendor
        self.file = folder / "rows.jsonl"
        self.out = folder / "out"

    def write(self, *found: Any) -> None:
        self.file.write_text("".join(json.dumps(row) + "\n" for row in found))

    async def run(self, *, check: bool = True, **options: Any) -> BatchReport:
        async with client(self.folder, self.vendor) as videogen:
            found = await videogen.batch_file(self.file, self.out, **{"model": "paper", **options})
            assert not check or videogen.ledger.check() == []
            return found

    @property
    def results(self) -> list[dict[str, Any]]:
        lines = (self.out / "results.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def work(tmp_path: Path, acme: Acme) -> Work:
    return Work(tmp_path, acme)


# --- reading rows


def read(path: Path) -> list[Row]:
    return list(rows_of_file(path)())


def test_json_lines_are_read_one_by_one_and_a_bad_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"prompt": "a boat", "duration": 2, "seed": null, "id": 7}\n\n"a cat"\n[1]\n{"prompt": \n'
        b'{"prompt": "\xff"}\n{"prompt": "last"}'
    )
    good = {row.number: dict(row.arguments) for row in read(path) if row.fault is None}
    assert good == {1: {"prompt": "a boat", "duration": 2}, 3: {"prompt": "a cat"}, 7: {"prompt": "last"}}
    assert [row.number for row in read(path) if row.fault is not None] == [4, 5, 6]
    assert read(path)[0].name == "7"


def test_cells_of_csv_mean_what_their_columns_say(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "prompt", "seed", "audio", "camera", "reference_images", "tags", "duration"])
        writer.writerow(["a", "two\nlines, and a comma", "7", "no", "push in", "x.png", '{"team": "ads"}', "2.5"])
        writer.writerow(["b", "[no list]", "", "YES", '["push in", "pan left"]', '["x.png", "y.png"]', "", ""])
        writer.writerow(["c", "boat", "seven", "perhaps", "", "", "", ""])
        writer.writerow(["d", "boat", "", "", "", "", "{", ""])
        writer.writerow(["e", "boat"])
    first, second, third, fourth, fifth = read(path)
    assert (first.number, first.name) == (2, "a")
    assert first.arguments == {
        "prompt": "two\nlines, and a comma",
        "seed": 7,
        "audio": False,
        "camera": "push in",
        "reference_images": [str(tmp_path / "x.png")],
        "tags": {"team": "ads"},
        "duration": "2.5",
    }
    assert second.number == 4  # the first row had two lines
    assert second.arguments["prompt"] == "[no list]"
    assert second.arguments["camera"] == ["push in", "pan left"]
    assert second.arguments["reference_images"] == [str(tmp_path / "x.png"), str(tmp_path / "y.png")]
    assert third.arguments == {"prompt": "boat", "seed": "seven", "audio": "perhaps"}  # for the check to refuse
    assert fourth.fault is not None
    assert fifth.fault is not None


@pytest.mark.parametrize(
    ("name", "text"), [("a.csv", 'prompt,prompt\n"a","b"\n'), ("b.csv", 'prompt\n"a\n'), ("c.csv", "prompt\n\xff\n")]
)
def test_what_is_no_csv_is_said_so(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    assert read(tmp_path / name)[-1].fault is not None


def test_a_file_that_does_not_say_what_it_is_or_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("boat")
    for name in ("rows.txt", "missing.jsonl", "."):
        with pytest.raises(RequestError):
            rows_of_file(tmp_path / name)


def test_paths_in_a_file_begin_where_the_file_is(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    row = {"prompt": "x", "image": "boat.png", "video": "https://example.com/a.mp4", "last_frame": "/abs/b.png"}
    path.write_text(json.dumps({**row, "reference_images": ["data:image/png;base64,AA==", "c/d.png"]}))
    (found,) = read(path)
    assert found.arguments["image"] == str(tmp_path / "boat.png")
    assert found.arguments["video"] == row["video"]
    assert found.arguments["last_frame"] == "/abs/b.png"
    assert found.arguments["reference_images"] == ["data:image/png;base64,AA==", str(tmp_path / "c/d.png")]


def test_a_list_takes_prompts_mappings_and_requests() -> None:
    request = VideoRequest.make("boat", duration=2, camera=["push in"], options={"acme": {"a": 1}})
    texts, mapping, third, wrong = rows_of_list(["boat", {"prompt": "boat", "id": "x"}, request, 7])
    assert texts.arguments == {"prompt": "boat"}
    assert mapping.name == "x"
    assert VideoRequest.make(**third.arguments) == request
    assert wrong.fault is not None


def test_a_tally_counts_and_starts_over() -> None:
    tally = Tally()
    assert [tally.count("a"), tally.count("a"), tally.count("b")] == [1, 2, 1]
    tally.note("a", "x")
    tally.start_over()
    assert (tally.count("a"), tally.noted("a"), tally.noted("b")) == (1, "x", None)
    tally.close()


# --- a list


async def test_answers_come_in_order_with_errors_in_place(tmp_path: Path, acme: Acme) -> None:
    seen: list[Event] = []
    requests: list[Any] = [
        {"prompt": "slow", "options": script(polls=9)},
        {"prompt": "bad", "options": script(end="failed")},
        "quick",
    ]
    async with client(tmp_path, acme) as videogen:
        found = await videogen.batch(requests, model="paper", on_event=seen.append)
        prompts = [(await videogen.job(r.job_id)).record.request.prompt for r in found if isinstance(r, Result)]
    assert [type(answer).__name__ for answer in found] == ["Result", "GenerationFailedError", "Result"]
    assert prompts == ["slow", "quick"]
    assert len(acme.creates) == 3
    assert {event.type for event in seen} >= {"created", "accepted", "settled", "failed"}


async def test_nothing_is_sent_when_one_request_is_wrong(tmp_path: Path, acme: Acme) -> None:
    requests = ["boat", {"prompt": "boat", "duration": 3}, {"promt": "boat"}, {"prompt": "x", "image": "no.png"}]
    async with client(tmp_path, acme) as videogen:
        with pytest.raises(InvalidRowsError, match="3 of 4 rows") as caught:
            await videogen.batch(requests, model="paper")
        assert await videogen.jobs() == []
    assert [fault["row"] for fault in caught.value.faults] == [2, 3, 4]
    assert [fault["type"] for fault in caught.value.faults] == [
        "UnsupportedRequestError",
        "RequestError",
        "InvalidMediaError",
    ]
    assert "prompt" in caught.value.faults[1]["hint"]
    assert acme.asked == 0


async def test_without_a_name_every_call_makes_new_clips_and_with_one_it_does_not(tmp_path: Path, acme: Acme) -> None:
    async with client(tmp_path, acme) as videogen:
        for name, made in ((None, 2), (None, 4), ("mine", 6), ("mine", 6), ("yours", 8)):
            await videogen.batch(["boat", "boat"], model="paper", name=name)
            assert len(acme.creates) == made


async def test_wrong_options_are_refused_before_anything_is_sent(tmp_path: Path, acme: Acme) -> None:
    async with client(tmp_path, acme) as videogen:
        for wrong in (
            {"max_concurrency": 0},
            {"max_concurrency": "many"},
            {"budget": "much"},
            {"name": ""},
            {"name": 7},
            {"on_event": 7},
        ):
            with pytest.raises(RequestError):
                await videogen.batch(["boat"], model="paper", **wrong)  # type: ignore[arg-type]
        for requests in ("boat", {"prompt": "boat"}, 7):
            with pytest.raises(RequestError):
                await videogen.batch(requests, model="paper")  # type: ignore[arg-type]
        for reserved in ({"tags": {"batch": "x"}}, {"idempotency_key": "x"}):
            with pytest.raises(InvalidRowsError, match="batch's own"):
                await videogen.batch([{"prompt": "boat", **reserved}], model="paper")
    assert acme.asked == 0


async def test_so_many_at_a_time(tmp_path: Path) -> None:
    acme = Acme(tmp_path / "vendor", concurrency=50)
    async with client(tmp_path, acme) as videogen:
        await videogen.batch(
            [f"boat {n}" for n in range(12)], model="paper", max_concurrency=3, options=script(polls=3)
        )
    assert acme.most_running == 3


# --- a file, again and again


async def test_the_same_row_is_the_same_job_and_a_changed_one_is_new(work: Work) -> None:
    boat, cat = {"prompt": "boat"}, {"prompt": "cat"}
    work.write(boat, cat, boat)
    first = await work.run()
    assert (first.rows, first.succeeded, first.before, first.spent) == (3, 3, 0, Decimal("0.30"))
    assert len(work.vendor.creates) == 3  # rows that are alike are clips of their own
    lines = work.results
    again = await work.run()
    assert (again.succeeded, again.before, again.spent, again.estimate) == (3, 3, Decimal("0.30"), 0)
    assert len(work.vendor.creates) == 3
    assert work.results == lines
    work.write({"prompt": "dog"}, cat, boat, {**boat, "max_cost": 9, "output": "x.mp4"}, {**boat, "duration": 2})
    changed = await work.run()
    assert (changed.rows, changed.succeeded, changed.before) == (5, 5, 3)
    assert len(work.vendor.creates) == 5
    assert changed.spent == Decimal("0.60")  # of all rows that the batch has ever had
    assert {Path(line["paths"][0]).parent for line in work.results} == {work.out}


async def test_another_folder_or_name_is_another_batch(work: Work) -> None:
    work.write("boat")
    await work.run(name="mine")
    work.out = work.folder / "elsewhere"
    await work.run(name="mine")
    assert len(work.vendor.creates) == 1
    await work.run()
    assert len(work.vendor.creates) == 2


async def test_an_image_that_was_changed_makes_a_changed_row(tmp_path: Path) -> None:
    from PIL import Image

    async with AsyncClient(home=tmp_path / "home", probe_in_process=True) as videogen:
        (tmp_path / "rows.jsonl").write_text('{"prompt": "boat", "image": "boat.png"}')
        jobs = []
        for colour in ("red", "red", "blue"):
            Image.new("RGB", (640, 360), colour).save(tmp_path / "boat.png")
            await videogen.batch_file(
                tmp_path / "rows.jsonl", tmp_path / "out", model="sandbox", duration=1, resolution="144p", fps=8
            )
            jobs.append(len(await videogen.jobs()))
    assert jobs == [1, 1, 2]


async def test_failures_are_made_again_only_when_asked(work: Work) -> None:
    work.write({"prompt": "bad", "options": script(end="failed", charged=True)}, "good")
    for retry, creates in ((False, 2), (False, 2), (True, 3), (False, 3)):
        found = await work.run(retry_failed=retry)
        assert (found.succeeded, found.failed, found.left) == (1, 1, 0)
        assert len(work.vendor.creates) == creates
    lines = work.results
    assert [line["status"] for line in lines].count("failed") == 2  # one for each job
    assert lines[0]["error"]["type"] == "GenerationFailedError"


async def test_what_was_under_way_is_gone_on_with(work: Work) -> None:
    work.write(*({"prompt": f"boat {n}", "options": script(polls=40, every=0.02)} for n in range(4)))
    stopped = await work.run(timeout=0.4)
    assert stopped.stopped is not None
    assert (stopped.stopped["type"], stopped.left + stopped.unfinished) == ("JobTimeoutError", 4)
    assert stopped.held == Decimal("0.40")
    done = await work.run()
    assert (done.succeeded, done.held) == (4, 0)
    assert len(work.vendor.creates) == 4


async def test_a_create_without_an_answer_is_told_and_not_repeated(work: Work) -> None:
    work.write({"prompt": "lost", "options": script(submit=["lost"])}, "good")
    for _ in range(2):
        found = await work.run()
        assert (found.succeeded, found.failed, found.unfinished) == (1, 0, 1)
    assert len(work.vendor.creates) == 2
    (lost,) = [line for line in work.results if line["status"] == "unknown"]
    assert lost["error"]["type"] == "SubmissionUnknownError"


async def test_a_clip_that_somebody_has_removed_is_not_called_made(work: Work) -> None:
    work.write("boat")
    await work.run()
    (line,) = work.results
    Path(line["paths"][0]).unlink()  # noqa: ASYNC240
    found = await work.run()
    assert (found.succeeded, found.unfinished, len(work.vendor.creates)) == (0, 1, 1)
    async with client(work.folder, work.vendor) as videogen:
        (answer,) = await videogen.batch(["boat"], model="paper", name="list")
        assert isinstance(answer, Result)
        assert answer.path is not None
        answer.path.unlink()
        (answer,) = await videogen.batch(["boat"], model="paper", name="list")
    assert isinstance(answer, ResultExpiredError)


# --- money


async def test_a_budget_holds_over_all_runs_and_says_what_is_left(work: Work) -> None:
    work.write(*(f"boat {n}" for n in range(9)))
    short = await work.run(budget="0.40")
    assert (short.succeeded, short.failed, short.left) == (4, 0, 5)
    assert (short.spent, short.held) == (Decimal("0.40"), 0)
    assert short.stopped is not None
    assert short.stopped["type"] == "BudgetExceededError"
    assert len(work.vendor.creates) == 4
    more = await work.run(budget="0.70")
    assert (more.succeeded, more.left, len(work.vendor.creates)) == (7, 2, 7)
    done = await work.run(budget="2")
    assert (done.succeeded, done.left, done.stopped, len(work.vendor.creates)) == (9, 0, None, 9)
    assert {line["status"] for line in work.results} == {"succeeded"}


async def test_in_a_list_what_is_left_has_the_budgets_error(tmp_path: Path, acme: Acme) -> None:
    async with client(tmp_path, acme) as videogen:
        found = await videogen.batch(["a", "b", "c", "d"], model="paper", budget="0.20", max_concurrency=1)
    assert [isinstance(answer, Result) for answer in found] == [True, True, False, False]
    assert all(isinstance(answer, BudgetExceededError) for answer in found[2:])


async def test_the_budget_of_a_list_without_a_name_ends_with_it(tmp_path: Path, acme: Acme) -> None:
    async with client(tmp_path, acme) as videogen:
        await videogen.batch(["a", "b"], model="paper", budget="5")
        assert await videogen.budgets() == []
        await videogen.batch(["a", "b"], model="paper", budget="5", name="twice")
        assert [state.budget.tags for state in await videogen.budgets()] == [{"batch": "twice"}]


async def test_the_budget_of_a_list_stays_while_it_bounds_something(tmp_path: Path, acme: Acme) -> None:
    async with client(tmp_path, acme) as videogen:
        await videogen.batch(["a", {"prompt": "b", "options": script(submit=["lost"])}], model="paper", budget="5")
        (state,) = await videogen.budgets()
        assert state.held > 0


async def test_budgets_of_batches_with_long_names_are_not_confused(tmp_path: Path, acme: Acme) -> None:
    async with client(tmp_path, acme) as videogen:
        for middle in "xy":
            await videogen.batch(["a"], model="paper", budget="5", name="n" * 60 + middle + "n" * 60)
        states = await videogen.budgets()
    assert len({state.budget.name for state in states}) == 2
    assert {len(state.budget.name) for state in states} == {99}


async def test_a_dry_run_adds_up_and_sends_nothing(work: Work) -> None:
    work.write("boat", {"prompt": "cat", "duration": 4})
    found = await work.run(dry_run=True)
    assert (found.rows, found.left, found.estimate, found.unpriced) == (2, 2, Decimal("0.50"), 0)
    assert work.vendor.asked == 0
    assert not work.out.exists()


async def test_what_every_row_would_run_into_stops_the_batch(work: Work) -> None:
    refused = {"options": script(submit=["AuthenticationError"] * 3 + ["ok"])}
    work.write(*({"prompt": f"boat {n}", **refused} for n in range(6)))
    found = await work.run(max_concurrency=1)
    assert found.stopped is not None
    assert (found.stopped["type"], found.failed, found.left) == ("AuthenticationError", 1, 5)
    assert work.vendor.asked == 1
    (work.vendor.folder / "x.ask").touch()
    (work.vendor.folder / "y.ask").touch()  # the key is right now
    assert (await work.run()).succeeded == 6  # the row was not at fault, so it is not left out
    assert len(work.vendor.creates) == 6


async def test_rows_wait_while_their_provider_rests(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_REST", 0.05)
    monkeypatch.setattr("videogen_core.planning.resting_until", lambda outcomes: 4e9 if waits else None)
    monkeypatch.setattr("videogen_core.planning._OBSERVE_EVERY", 0.0)
    waits = [1, 2, 3]
    seen: list[str] = []

    def watch(report: BatchReport) -> None:
        if report.waiting:
            seen.append(report.waiting)
            waits.pop()

    work.write("first")
    waits, kept = [], waits
    await work.run()  # somebody must have been asked before it can rest
    waits = kept
    work.write("first", "second", "third")
    found = await work.run(on_progress=watch)
    assert (found.succeeded, found.failed) == (3, 0)
    assert len(seen) == 3
    assert "keeps failing" in seen[0]


# --- the results file


async def test_a_torn_line_harms_no_other(work: Work) -> None:
    work.write("boat", "cat")
    await work.run()
    path = work.out / "results.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 40])
    work.write("boat", "cat", "dog")
    await work.run()
    good = []
    for line in path.read_text().splitlines():
        try:
            good.append(json.loads(line))
        except ValueError:
            continue
    assert sorted(line["prompt"] for line in good) == ["boat", "cat", "dog"]
    assert len(work.vendor.creates) == 3
    path.unlink()
    await work.run()
    assert sorted(line["prompt"] for line in work.results) == ["boat", "cat", "dog"]
    assert all(line["cost"] == "0.10" and line["paths"] for line in work.results)


async def test_a_results_file_that_cannot_be_written_stops_before_the_money_runs(work: Work) -> None:
    work.write("boat")
    (work.folder / "wall").write_text("")
    with pytest.raises(VideogenError, match="results file"):
        await work.run(results=work.folder / "wall" / "results.jsonl")
    assert work.vendor.asked == 0


async def test_two_rows_to_one_file_are_refused(work: Work) -> None:
    work.write({"prompt": "a", "output": "x.mp4"}, {"prompt": "b", "output": "x.mp4"})
    with pytest.raises(InvalidRowsError, match="row 2"):
        await work.run()
    work.write({"prompt": "a", "output": "x.mp4"}, {"prompt": "b", "output": "{job_id}.mp4"}, {"prompt": "c"})
    await work.run(tags={"team": "ads"})
    names = {Path(line["paths"][0]).name for line in work.results}
    assert names == {"x.mp4"} | {
        f"{line['job_id']}.mp4" if line["prompt"] == "b" else f"paper-{line['job_id']}.mp4"
        for line in work.results
        if line["prompt"] != "a"
    }


# --- memory


async def measured(work: Work, **options: Any) -> int:
    """Most bytes in use at once during a run, above those before it."""
    tracemalloc.start()
    try:
        await work.run(check=False, **options)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


PROMPT = "a boat that goes on and on " * 4000
"""A tenth of a megabyte."""


async def test_the_check_takes_the_memory_of_a_few_rows(work: Work) -> None:
    used = []
    for number in (40, 40, 200):  # the first loads what there is to load
        work.write(*(f"{n} {PROMPT}" for n in range(number)))
        used.append(await measured(work, dry_run=True))
    assert used[2] - used[1] < 2**20, used  # the rows are 20 MB


async def test_making_takes_the_memory_of_the_rows_under_way(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "AHEAD", 4)
    monkeypatch.setattr(run, "_CHUNK", 4)
    used = []
    for number in (10, 10, 60):
        work.out = work.folder / f"out-{len(used)}"
        work.write(*({"prompt": f"{n} {PROMPT}", "options": script(polls=0)} for n in range(number)))
        used.append(await measured(work))
    assert len(work.vendor.creates) == 80
    assert used[2] - used[1] < 2**20, used  # the rows are 6 MB


def test_a_line_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_MAX_LINE", 100)
    path = tmp_path / "rows.jsonl"
    path.write_text('"boat"\n"' + "x" * 1000)
    assert [row.fault is None for row in read(path)] == [True, False]
