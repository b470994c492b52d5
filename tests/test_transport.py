"""HTTP: the address guard, and what a failure proves."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from loopback import RESET, Request, head, serving, whole
from videogen_core import errors, outcomes, transport
from videogen_core._guard import Resolver, is_public
from videogen_core.errors import InvalidMediaError
from videogen_core.transport import fetch_public, public_client


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def resolving(*answers: Sequence[str]) -> Resolver:
    """A resolver that gives these answers in turn, the last one for ever."""
    left = list(answers)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


def test_importing_it_imports_no_http_library() -> None:
    script = "import sys, videogen_core.transport, videogen_core.media, videogen_core.downloads; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout.split()
    assert not {"httpx", "PIL", "av", "stamina", "ssl_"} & set(loaded)


# --- the guard

_LIST = """
127.0.0.1 127.1 127.0.1 127.255.255.254 2130706433 0x7f000001 0x7f.1 0x7f.0.0.1 0177.0.0.1 017700000001 0 0.0.0.0
localhost LOCALHOST localhost. 10.0.0.1 10.1 172.16.0.1 172.31.255.255 192.168.0.1 192.168.1 169.254.169.254
169.254.1.1 0xa9fea9fe 2852039166 100.64.0.1 100.100.100.200 192.0.0.192 192.0.0.8 192.0.2.1 192.88.99.1 198.18.0.1
198.51.100.1 203.0.113.9 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
[::1] [::] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:8.8.8.8] [::127.0.0.1] [fe80::1] [fe80::1%25lo]
[fc00::1] [fd00:ec2::254] [fec0::1] [ff02::1] [64:ff9b::7f00:1] [64:ff9b::8.8.8.8] [64:ff9b:1::1] [2002:7f00:1::]
[2002:a00:1::1] [2001::1] [2001:0:7f00:1::] [2001:db8::1] [3fff::1] [100::1] [5f00::1]
127\uff610\uff610\uff611 \uff11\uff12\uff17.0.0.1 \u2460\u2461\u2466.0.0.1 \u24db\u24de\u24d2\u24d0\u24dbhost
127.0.0.1\u3002
"""
PRIVATE_HOSTS = _LIST.split()
WITH_TRAPS = [
    *("http://user@127.0.0.1/", "http://example.com@127.0.0.1/", "http://example.com\\@127.0.0.1/"),
    *("file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "//127.0.0.1/", "http:///", "http://"),
    *("http://127.0.0.1:22/", "http://[::1/", "http://127.0.0.1:99999/", "http://a b/", "http://127.0.0.1\r\nHost: x/"),
    f"http://{'a' * 300}/",
]


def test_the_corpus_is_large_enough() -> None:
    assert len(set(PRIVATE_HOSTS)) + len(WITH_TRAPS) >= 60


@pytest.mark.promise("U1")
@pytest.mark.anyio
@pytest.mark.parametrize("host", PRIVATE_HOSTS)
async def test_no_spelling_of_a_private_address_is_reached(host: str) -> None:
    with serving(canary=whole(b"secret")) as server:
        async with public_client(ports={server.port}, allow_http=True) as http:
            with pytest.raises(transport.network_errors()) as caught:
                await http.get(f"http://{host}:{server.port}/canary")
        with pytest.raises(InvalidMediaError):
            await fetch_public(f"http://{host}/canary?sig=1", max_bytes=10, timeout=5, allow_http=True)
    assert server.requests == []
    assert transport.never_sent(caught.value)


@pytest.mark.promise("U1")
@pytest.mark.anyio
@pytest.mark.parametrize("url", WITH_TRAPS)
async def test_odd_urls_are_refused(url: str) -> None:
    with pytest.raises(InvalidMediaError):
        await fetch_public(url, max_bytes=10, timeout=5, allow_http=True, resolver=resolving(["93.184.216.34"]))


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::8a"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)
    assert not is_public(f"{address}%eth0")
    assert not is_public("cdn.example")


@pytest.mark.promise("U1")
@pytest.mark.anyio
async def test_one_private_answer_among_public_ones_is_enough_to_refuse() -> None:
    for answers in (["93.184.216.34", "127.0.0.1"], ["2606:4700::1111", "::1"], []):
        with pytest.raises(InvalidMediaError, match=r"not a public address|cannot be fetched"):
            await fetch_public("https://cdn.example/a", max_bytes=10, timeout=5, resolver=resolving(answers))


@pytest.mark.promise("U1")
@pytest.mark.anyio
async def test_it_connects_to_what_it_checked_and_keeps_host_and_tls_name() -> None:
    seen: list[httpx.Request] = []

    def record(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=b"ok")

    rebinding = resolving(["2606:4700::1111"], ["127.0.0.1"])
    async with public_client(transport=httpx.MockTransport(record), resolver=rebinding) as http:
        assert (await http.get("https://cdn.example/a?b=1")).content == b"ok"
        with pytest.raises(httpx.UnsupportedProtocol, match="not a public address"):
            await http.get("https://cdn.example/a")
    assert len(seen) == 1
    assert str(seen[0].url) == "https://[2606:4700::1111]/a?b=1"
    assert seen[0].headers["host"] == "cdn.example"
    assert seen[0].extensions["sni_hostname"] == "cdn.example"


@pytest.mark.anyio
async def test_the_next_address_is_tried_and_proxies_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(a=whole(b"ok"), proxy=whole(b"evil")) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.9:1")
        got = await fetch_public(
            f"http://cdn.example:{server.port}/a",
            max_bytes=10,
            timeout=5,
            allow_private=True,
            resolver=resolving(["127.0.0.3", "127.0.0.1"]),
        )
    assert got == b"ok"
    assert server.requests[0].headers["host"] == f"cdn.example:{server.port}"


@pytest.mark.promise("D7", "U1")
@pytest.mark.anyio
async def test_redirects_pass_the_guard_and_never_lose_tls() -> None:
    hops = iter(["https://127.0.0.1/x", "http://cdn.example/plain", "https://u:p@cdn.example/"])

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"location": next(hops)})

    for message in ("not a public address", "from https to http", "user name"):
        http = public_client(
            transport=httpx.MockTransport(answer), resolver=lambda host, port: _literal_or(host, "93.184.216.34")
        )
        with pytest.raises(transport.network_errors(), match=message) as caught:
            async with http, transport.following(http, "https://cdn.example/a", headers={}):
                pass
        assert transport.is_refusal(caught.value)


async def _literal_or(host: str, other: str) -> list[str]:
    return [host if host[0].isdigit() else other]


# --- fetch_public


@pytest.mark.promise("D7")
@pytest.mark.anyio
async def test_fetching_follows_five_redirects_and_no_more() -> None:
    def hop(request: Request) -> list[object]:
        left = int(request.path.partition("?")[2])
        return [head("302 Found", location=f"?{left - 1}")] if left else [head(), b"done"]

    with serving(hop=hop) as server:
        assert await fetch_public(f"{server.url}/hop?5", max_bytes=10, timeout=5, allow_private=True) == b"done"
        with pytest.raises(InvalidMediaError, match="more than 5 redirects"):
            await fetch_public(f"{server.url}/hop?6", max_bytes=10, timeout=5, allow_private=True)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([head(content_length=10**9), b"x"], "larger than 1,000 bytes"),
        ([head(), *[bytes(500)] * 3], "larger than 1,000 bytes"),
        ([head(content_encoding="gzip", content_length=3), b"abc"], "compressed"),
        ([head("404 Not Found"), b""], "HTTP status 404"),
        ([head(content_length=100), b"abc"], "broke off"),
        ([0.05, RESET], "reset|broke off"),
        ([head(content_length=100), *[b"a", 0.05] * 60], r"within 0\.5 s"),
    ],
)
async def test_fetching_is_bounded(answer: list[object], message: str) -> None:
    with serving(a=lambda _: answer) as server, pytest.raises(InvalidMediaError, match=message) as caught:
        await fetch_public(f"{server.url}/a?sig=5ec2e7", max_bytes=1000, timeout=0.5, allow_private=True)
    assert "5ec2e7" not in str(caught.value)


# --- what a failure proves


@pytest.mark.anyio
@pytest.mark.promise("P1", "P2")
async def test_never_sent_and_unavailable_on_real_sockets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    cases = [
        (f"http://127.0.0.1:{closed}/", {}, True, "refused"),
        ("http://no-such-host.invalid/", {}, True, "DNS"),
        ("ftp://example.com/", {}, True, "not an http"),
        ("http://[::1/", {}, True, "not valid"),
        ("{}/reset", {}, False, "reset|broke off"),
        ("{}/garbage", {}, False, "broke off"),
        ("{}/stall", {"timeout": 0.1}, False, "no answer"),
        ("{}/reset", {"headers": {"x-api-key": "5ec2e7\n"}}, True, "line break"),
    ]
    answers = {"reset": lambda _: [RESET], "garbage": lambda _: [b"what?\r\n\r\n"], "stall": lambda _: [2.0]}
    with serving(**answers) as server:  # type: ignore[arg-type]
        async with transport.client(trust_env=False) as http:
            for url, options, unsent, message in cases:
                with pytest.raises(transport.network_errors()) as caught:
                    await http.post(url.format(server.url), content=b"{}", **options)  # type: ignore[arg-type]
                error = outcomes.unavailable(caught.value, provider="veo", action="submit")
                assert transport.never_sent(caught.value) is unsent, url
                assert error.accepted is (False if unsent else None)
                with pytest.raises(errors.ProviderUnavailableError, match=message):
                    raise error
                assert "5ec2e7" not in str(error)
    assert not transport.never_sent(ValueError())


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server's side of TLS that no client trusts."""
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    places = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    try:
        subprocess.run([*made, *places], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.mark.anyio
@pytest.mark.promise("P1")
async def test_tls_failures_are_named_and_never_sent() -> None:
    with serving() as server:
        async with transport.client(trust_env=False) as http:
            with pytest.raises(httpx.ConnectError) as caught:
                await http.get(f"https://127.0.0.1:{server.port}/")
    assert transport.never_sent(caught.value)
    assert "TLS" in transport.describe(caught.value) or "connection" in transport.describe(caught.value)


@pytest.mark.anyio
@pytest.mark.promise("P1")
async def test_a_certificate_that_is_not_trusted_gets_no_byte_of_the_request(tmp_path: Path) -> None:
    context, heard = self_signed(tmp_path), []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                with context.wrap_socket(connection, server_side=True) as secured:
                    heard.append(secured.recv(1))
            except (ssl.SSLError, OSError):
                heard.append(b"")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        async with transport.client(trust_env=False) as http:
            with pytest.raises(httpx.ConnectError) as caught:
                await http.post(f"https://localhost:{listener.getsockname()[1]}/", content=b"paid")
        thread.join(5)
    assert transport.never_sent(caught.value)
    assert "not trusted" in transport.describe(caught.value)
    assert heard == [b""]


@pytest.mark.anyio
@pytest.mark.promise("P1")
async def test_waiting_for_a_connection_is_not_sending_and_stopping_amid_the_body_is() -> None:
    with serving(slow=lambda _: [1.0, head()]) as server:
        limits = httpx.Limits(max_connections=1)
        async with (
            transport.client(trust_env=False, limits=limits, timeout=httpx.Timeout(5, pool=0.1)) as http,
            anyio.create_task_group() as group,
        ):
            group.start_soon(http.get, f"{server.url}/slow")
            await anyio.sleep(0.2)
            with pytest.raises(httpx.PoolTimeout) as busy:
                await http.post(f"{server.url}/slow")
    assert transport.never_sent(busy.value)
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # accepts, and never reads
        async with transport.client(trust_env=False, timeout=httpx.Timeout(5, write=0.2)) as http:
            with pytest.raises(httpx.WriteTimeout) as stuck:
                await http.post(f"http://127.0.0.1:{deaf.getsockname()[1]}/", content=bytes(32 * 1024**2))
    assert not transport.never_sent(stuck.value)


@pytest.mark.anyio
@pytest.mark.promise("P1")
async def test_every_request_gets_a_connection_of_its_own() -> None:
    callers: list[object] = []

    class Patient(BaseHTTPRequestHandler):
        """Would serve any number of requests on one connection."""

        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            callers.append(self.client_address)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Patient) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        async with transport.client(trust_env=False) as http:
            for _ in range(3):
                await http.post(f"http://127.0.0.1:{server.server_port}/")
        async with transport.client(trust_env=False, limits=httpx.Limits()) as http:
            for _ in range(3):
                await http.post(f"http://127.0.0.1:{server.server_port}/")
        await anyio.to_thread.run_sync(server.shutdown)
    assert len(callers) == 6
    assert len(set(callers[:3])) == 3
    assert len(set(callers[3:])) == 1


# --- lines at a host


async def under_way(count: int, **kwargs: Any) -> int:
    """The most requests under way at once of so many that were started together."""
    now = most = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await anyio.sleep(0.005)
        now -= 1
        return httpx.Response(200, content=b"{}")

    async with (
        transport.client(transport=httpx.MockTransport(answer), **kwargs) as http,
        anyio.create_task_group() as group,
    ):
        for number in range(count):
            group.start_soon(http.get, f"https://{number % 2}.example.com/")
    return most


@pytest.mark.anyio
async def test_only_some_requests_are_under_way_at_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_AT_ONCE", 3)
    assert await under_way(40) == 2 * 3


@pytest.mark.anyio
async def test_a_place_is_held_until_the_answer_is_read_and_given_back_whatever_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "_AT_ONCE", 1)
    monkeypatch.setattr(transport, "_POOL", 0.05)

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/broken":
            raise httpx.ConnectError("no")
        if request.url.path == "/slow":
            await anyio.sleep(10)
        return httpx.Response(200, stream=Slowly())

    class Slowly(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"{"
            yield b"}"

    async with transport.client(transport=httpx.MockTransport(answer)) as http:
        async with http.stream("GET", "https://example.com/"):
            with pytest.raises(httpx.PoolTimeout) as late:
                await http.get("https://example.com/")
            assert transport.never_sent(late.value)
        with pytest.raises(httpx.ConnectError):
            await http.get("https://example.com/broken")
        with anyio.move_on_after(0.01):
            await http.get("https://example.com/slow")
        assert (await http.get("https://example.com/")).content == b"{}"
        assert (await http.get("https://example.com/")).content == b"{}"
