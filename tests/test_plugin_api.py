"""The version of the plugin interface: this one and the one before are served, and a later one is refused in words."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import old_plugin
from vendor import Acme, AcmeSession, clip
from videogen_core import (
    PLUGIN_API,
    Client,
    Context,
    Output,
    Provider,
    RequestError,
    Session,
    Submission,
    SubmissionUnknownError,
    SubmitCall,
)
from videogen_core.plugins import Plugins
from videogen_core.provider import OLDEST_PLUGIN_API


@pytest.fixture
def bucket() -> Iterator[str]:
    """The address of a clip."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(clip())))
            self.end_headers()
            self.wfile.write(clip())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/clip.mp4"
    server.shutdown()
    server.server_close()


def client(folder: Path, *plugins: Provider) -> Client:
    return Client(home=folder / "home", plugins=plugins, allow_private_addresses=True)


def test_a_plugin_of_the_version_before_works(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLD_URL", bucket)
    made = old_plugin.videogen_provider()
    assert made.plugin_api == 1 == PLUGIN_API - 1
    with client(tmp_path, made) as videogen:
        with pytest.warns(DeprecationWarning, match="kept_at"):
            result = videogen.generate("a boat", model="old/reel", output=tmp_path / "boat.mp4")
        assert result.videos[0].url == bucket, "what API 1 called keep_url"
        with pytest.raises(SubmissionUnknownError):
            videogen.generate("a mistake", model="old/reel")
        (job,) = videogen.jobs(status="unknown")
        assert job.money == "held", "in API 1, no RequestError of submit says that nothing was sent"


def test_a_plugin_of_this_version_says_that_nothing_was_sent(tmp_path: Path) -> None:
    class Strict(Acme):
        plugin_api = PLUGIN_API

        def connect(self, context: Context) -> Session:
            return StrictSession(self)

    class StrictSession(AcmeSession):
        async def submit(self, call: SubmitCall) -> Submission:
            raise RequestError("Not with this account.")

    with client(tmp_path, Strict(tmp_path)) as videogen:
        with pytest.raises(RequestError, match="Not with this account"):
            videogen.generate("a boat", model="paper")
        (job,) = videogen.jobs()
        assert (job.status, job.money) == ("failed", "released")


@pytest.mark.promise("T10")
@pytest.mark.parametrize(
    ("api", "says"),
    [
        (
            PLUGIN_API + 1,
            rf"API {PLUGIN_API + 1}, which is newer .* \({PLUGIN_API}\): `pip install --upgrade videogen-core`",
        ),
        (OLDEST_PLUGIN_API - 1, "serves no more .* upgrade the plugin"),
        ("2", "its plugin_api is '2'; it is a whole number"),
        (None, "its plugin_api is None"),
        (True, "its plugin_api is True"),
    ],
)
def test_another_version_is_refused_in_words(tmp_path: Path, api: Any, says: str) -> None:
    strange = Acme(tmp_path)
    strange.plugin_api = api
    with pytest.raises(Exception, match=says):
        Plugins(entry_points=[], extra=[strange])


def test_the_page_says_what_each_version_changed() -> None:
    page = (Path(__file__).parents[1] / "docs" / "reference" / "plugin-api.md").read_text(encoding="utf-8")
    told = [int(number) for number in re.findall(r"^### API (\d+)", page, re.MULTILINE)]
    assert told == list(range(PLUGIN_API, 0, -1))
    assert f"`PLUGIN_API` is {PLUGIN_API}" in page


def test_an_output_says_where_it_stays() -> None:
    assert Output(url="gs://bucket/clip.mp4", kept_at="gs://bucket/clip.mp4").kept_at == "gs://bucket/clip.mp4"
    assert Output(url="https://x/y?sig=1").kept_at is None
