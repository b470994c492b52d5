"""Where we connect to: ordinary public addresses and nothing else, whatever a user, a provider or a server says.

A canary listens on every address of this machine and counts connections, not requests. It must stay at zero.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Self

import httpx
import pytest

from media_samples import clip
from videogen_core import transport
from videogen_core.downloads import save
from videogen_core.errors import DownloadError, InvalidMediaError
from videogen_core.provider import Output
from videogen_core.retry import Backoff
from videogen_core.transport import fetch_public, public_client

pytestmark = pytest.mark.promise("U1", "T13")

PUBLIC = "93.184.216.34"
once = partial(save, timeout=5, backoff=Backoff(attempts=1))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Canary:
    """Listens on all addresses, IPv4 and IPv6; answers like a metadata service."""

    def __init__(self) -> None:
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        self._socket = socket.create_server(("", 0), family=family, dualstack_ipv6=both)
        self._socket.settimeout(0.02)
        self.port: int = self._socket.getsockname()[1]
        self.hits: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def _accept(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                connection, address = self._socket.accept()
                self.hits.append(address[0])
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(1)
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nsecret")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()


@pytest.fixture(scope="module")
def listening() -> Iterator[Canary]:
    with Canary() as canary:
        with socket.create_connection(("127.0.0.1", canary.port)):
            pass
        while not canary.hits:  # it does count
            threading.Event().wait(0.01)
        canary.hits.clear()
        yield canary


@pytest.fixture
def canary(listening: Canary) -> Iterator[Canary]:
    listening.hits.clear()
    yield listening
    assert listening.hits == []


class Internet(httpx.AsyncBaseTransport):
    """Stands in for the public internet: answers for ``PUBLIC``, and truly connects to everything else."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []
        self._real = httpx.AsyncHTTPTransport(verify=transport._tls(), trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.url.host == PUBLIC:
            return self.answers.pop(0)
        return await self._real.handle_async_request(request)

    async def aclose(self) -> None:
        await self._real.aclose()


def resolving(*answers: Sequence[str]) -> transport.Resolver:
    """A resolver that gives these answers in turn, the last one for ever."""
    left = list(answers)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


# --- the corpus

_V4 = """
127.0.0.1 127.1 127.0.1 127.255.255.254 127.000.000.001 2130706433 0x7f000001 0x7f.1 0x7f.0.0.1 0x7F.0.0.0x1 0177.0.0.1
0177.1 017700000001 0 0.0.0.0 00 0x0 10.0.0.1 10.1 012.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 192.168.1 3232235521
0xc0a80001 169.254.169.254 169.254.1.1 0xa9fea9fe 2852039166 0xa9.0xfe.0xa9.0xfe 0251.0376.0251.0376 100.64.0.1
100.100.100.200 192.0.0.192 192.0.0.8 192.0.2.1 192.88.99.1 198.18.0.1 198.51.100.1 203.0.113.9 224.0.0.1
239.255.255.250 240.0.0.1 255.255.255.255
"""
_V6 = """
[::1] [::] [0:0:0:0:0:0:0:1] [0000::0001] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:0:127.0.0.1] [::ffff:8.8.8.8]
[::127.0.0.1] [fe80::1] [fe80::1%25lo] [::1%25lo] [fc00::1] [fd00:ec2::254] [fec0::1] [ff02::1] [ff05::1]
[64:ff9b::7f00:1] [64:ff9b::127.0.0.1] [64:ff9b::8.8.8.8] [64:ff9b:1::1] [2002:7f00:1::] [2002:a00:1::1]
[2002:808:808::1] [2001::1] [2001:0:7f00:1::] [2001:db8::1] [2001:10::1] [3fff::1] [100::1] [5f00::1] [4000::1]
"""
_NAMES = """
localhost LOCALHOST localhost. LocalHost ip6-localhost 127\uff610\uff610\uff611 \uff11\uff12\uff17.0.0.1
\u2460\u2461\u2466.0.0.1 127\u30020\u30020\u30021 \u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3 127.0.0.1\u3002
127.0.0.1. %31%32%37.0.0.1 127%2e0%2e0%2e1
"""
HOSTS = f"{_V4} {_V6} {_NAMES}".split()


def test_the_corpus_is_large_enough() -> None:
    assert len(set(HOSTS)) == len(HOSTS) >= 60


@pytest.mark.anyio
@pytest.mark.parametrize("host", HOSTS)
async def test_no_spelling_of_a_special_address_is_reached(canary: Canary, host: str, tmp_path: Path) -> None:
    for scheme in ("http", "https"):
        url = f"{scheme}://{host}:{canary.port}/latest/meta-data?sig=5ec2e7"
        client = partial(public_client, ports={canary.port}, allow_http=True)
        async with client() as http:
            with pytest.raises(transport.network_errors()):
                await http.get(url)
        with pytest.raises(DownloadError) as caught:
            await once(Output(url=url), tmp_path / "a.mp4", http=client)
        assert "5ec2e7" not in str(caught.value)
        with pytest.raises(InvalidMediaError):
            await fetch_public(url, max_bytes=10, timeout=5, allow_http=True)


@pytest.mark.anyio
@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.promise("D7")
async def test_no_redirect_leads_there(canary: Canary, host: str) -> None:
    for place in (f"http://{host}:{canary.port}/", f"https://{host}:{canary.port}/", f"//{host}:{canary.port}/x"):
        internet = Internet(redirect(place))
        http = public_client(
            transport=internet, ports={canary.port, 443, 80}, allow_http=True, resolver=lambda h, p: public_or(h, p)
        )
        with pytest.raises(transport.network_errors()):
            async with http, transport.following(http, "http://cdn.example/clip"):
                pass
        assert len(internet.asked) == 1  # the first hop and no other


def redirect(place: str) -> httpx.Response:
    return httpx.Response(302, headers=[(b"location", place.encode())])


def body(data: bytes) -> httpx.Response:
    return httpx.Response(200, stream=httpx.ByteStream(data))


async def public_or(host: str, port: int) -> list[str]:
    """What the system says, for all but one name."""
    from videogen_core._guard import resolve

    return [PUBLIC] if host == "cdn.example" else await resolve(host, port)


@pytest.mark.anyio
async def test_a_name_that_changes_its_address_is_looked_up_once(canary: Canary) -> None:
    """Rebinding: public when it is checked, private when it is connected to."""
    for private in (["127.0.0.1"], ["::1"], [PUBLIC, "127.0.0.1"]):
        internet = Internet(httpx.Response(200, content=b"ok"), httpx.Response(200, content=b"ok"))
        resolver = resolving([PUBLIC], private)
        http = public_client(transport=internet, ports={canary.port}, allow_http=True, resolver=resolver)
        async with http:
            url = f"http://rebinding.example:{canary.port}/"
            assert (await http.get(url)).content == b"ok"
            assert [request.url.host for request in internet.asked] == [PUBLIC]
            assert internet.asked[0].headers["host"] == f"rebinding.example:{canary.port}"
            with pytest.raises(transport.network_errors()):  # the second request looks it up again, and sees
                await http.get(url)
        assert len(internet.asked) == 1


@pytest.mark.anyio
@pytest.mark.promise("D7")
async def test_a_redirect_that_rebinds(canary: Canary) -> None:
    """The same name twice, on two hops: each is looked up and checked anew."""
    place = f"http://rebinding.example:{canary.port}/inner"
    internet = Internet(httpx.Response(307, headers={"location": place}))
    resolver = resolving([PUBLIC], ["127.0.0.1"])
    http = public_client(transport=internet, ports={canary.port}, allow_http=True, resolver=resolver)
    with pytest.raises(transport.network_errors(), match="not a public address"):
        async with http, transport.following(http, f"http://rebinding.example:{canary.port}/"):
            pass


@pytest.mark.anyio
@pytest.mark.promise("D7")
async def test_what_the_user_has_named_may_be_private_and_nothing_that_it_leads_to(canary: Canary) -> None:
    """A server of the user's own: its address is free, the next hop is not, and neither is another port of it."""
    own = "http://gpu.example:8091/clip"
    for place in (f"http://127.0.0.1:{canary.port}/", f"http://gpu.example:{canary.port}/", "https://gpu.example/"):
        heard: list[str] = []

        def answer(request: httpx.Request, place: str = place, heard: list[str] = heard) -> httpx.Response:
            heard.append(str(request.url))
            return redirect(place)

        private = httpx.MockTransport(answer)
        http = public_client(transport=private, trusted=own, resolver=resolving(["127.0.0.1"]))
        with pytest.raises(transport.network_errors()):
            async with http, transport.following(http, own):
                pass
        assert len(heard) == 1, "the next hop was asked"
    told = httpx.MockTransport(lambda request: body(b"a clip"))
    async with public_client(transport=told, trusted=own, resolver=resolving(["127.0.0.1"])) as http:
        assert (await http.get(own)).content == b"a clip"


@pytest.mark.anyio
async def test_one_private_answer_spoils_all(canary: Canary) -> None:
    for answers in (["127.0.0.1", PUBLIC], [PUBLIC, "127.0.0.1"], ["2606:4700::1111", "::1"], ["::ffff:127.0.0.1"]):
        internet = Internet()
        http = public_client(transport=internet, ports={canary.port}, allow_http=True, resolver=resolving(answers))
        async with http:
            with pytest.raises(transport.network_errors(), match="not a public address"):
                await http.get(f"http://both.example:{canary.port}/")
        assert internet.asked == []


@pytest.mark.anyio
async def test_proxies_of_the_environment_are_not_asked(
    canary: Canary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")
        monkeypatch.setenv(name.lower(), f"http://user:password@localhost:{canary.port}")
    netrc = tmp_path / "netrc"
    netrc.write_text("default login user password 5ec2e7\n")
    monkeypatch.setenv("NETRC", str(netrc))
    internet = Internet(httpx.Response(200, content=b"ok"))
    async with public_client(transport=internet, resolver=resolving([PUBLIC])) as http:
        assert (await http.get("https://cdn.example/")).content == b"ok"
    assert "authorization" not in internet.asked[0].headers
    for url in ("https://cdn.invalid/a", f"https://localhost:{canary.port}/"):
        with pytest.raises(InvalidMediaError):
            await fetch_public(url, max_bytes=10, timeout=5)
        with pytest.raises(DownloadError):
            await once(Output(url=url), tmp_path / "a.mp4")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "url",
    [
        *("http://user@127.0.0.1/", "https://user:pw@cdn.example/", "https://@cdn.example/", "https://:@cdn.example/"),
        *("http://cdn.example@127.0.0.1/", "http://cdn.example\\@127.0.0.1/", "http://127.0.0.1#@cdn.example/"),
        *("file:///etc/passwd", "ftp://cdn.example/", "gopher://cdn.example/", "data:,x", "js:1", "//127.0.0.1/"),
        *("https:///", "https://", "https:cdn.example", "http://[::1/", "http://127.0.0.1:99999/", "http://a b/"),
        *("http://127.0.0.1\r\nHost: x/", f"http://{'a' * 300}/", "https://cdn.example:22/", "https://c.example:8080/"),
        *("http://cdn.example:0/", "https://[v1.x]/", "unix:///var/run/docker.sock", "https+unix://x/"),
    ],
)  # fmt: skip
async def test_odd_addresses_are_refused(canary: Canary, url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidMediaError):
        await fetch_public(url, max_bytes=10, timeout=5, allow_http=True, resolver=resolving(["127.0.0.1"]))
    with pytest.raises(DownloadError):
        await once(Output(url=url), tmp_path / "a.mp4")


# --- https only, unless somebody opts in


@pytest.mark.anyio
@pytest.mark.promise("D7")
async def test_http_is_opt_in() -> None:
    answers = [httpx.Response(200, content=b"ok") for _ in range(2)]
    internet = Internet(*answers)
    async with public_client(transport=internet, resolver=resolving([PUBLIC])) as http:
        with pytest.raises(transport.network_errors(), match="only https") as caught:
            await http.get("http://cdn.example/")
        assert transport.is_refusal(caught.value)
        assert (await http.get("https://cdn.example/")).content == b"ok"
    async with public_client(transport=internet, resolver=resolving([PUBLIC]), allow_http=True) as http:
        assert (await http.get("http://cdn.example/")).content == b"ok"
    with pytest.raises(InvalidMediaError, match="only https"):
        await fetch_public("http://cdn.example/", max_bytes=10, timeout=5, resolver=resolving([PUBLIC]))


@pytest.mark.anyio
@pytest.mark.promise("D7")
@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("http://cdn.example/clip?sig=http://x/", f"https://{PUBLIC}/clip?sig=http://x/"),
        ("HTTP://cdn.example", f"https://{PUBLIC}"),
        ("https://cdn.example/clip", f"https://{PUBLIC}/clip"),
        ("http://cdn.example:80/clip", None),
    ],
)
async def test_a_result_offered_by_http_is_fetched_by_https(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, asked: str | None
) -> None:
    data = clip()
    internet = Internet(body(data))
    guarded = partial(public_client, transport=internet, resolver=resolving([PUBLIC]))
    monkeypatch.setattr(transport, "public_client", guarded)
    if asked is None:
        with pytest.raises(DownloadError, match="only https"):
            await save(Output(url=given), tmp_path / "a.mp4")
        return
    assert (await save(Output(url=given), tmp_path / "a.mp4")).size == len(data)
    assert [str(request.url) for request in internet.asked] == [asked]
    internet.answers = [body(data)]
    await save(Output(url=given), tmp_path / "b.mp4", allow_http=True)
    assert internet.asked[1].url.scheme == given.partition(":")[0].lower()


@pytest.mark.anyio
@pytest.mark.promise("D7")
async def test_tls_is_never_given_up_on_the_way() -> None:
    for place in ("http://cdn.example/plain", "//cdn.example:80/x", "https://u:p@cdn.example/"):
        internet = Internet(httpx.Response(302, headers={"location": place}), httpx.Response(200))
        http = public_client(transport=internet, resolver=resolving([PUBLIC]), allow_http=True)
        if place.startswith("//"):
            async with http, transport.following(http, "https://cdn.example/") as response:
                assert response.request.url.scheme == "https"
            continue
        with pytest.raises(transport.network_errors(), match=r"from https to http|user name"):
            async with http, transport.following(http, "https://cdn.example/"):
                pass
        assert len(internet.asked) == 1
