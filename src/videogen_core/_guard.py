"""The address guard: an HTTP transport that connects to public addresses only.

Imported by ``transport`` alone, and only when a client is made, because it needs httpx.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence

import anyio
import httpx

__all__ = [
    "PUBLIC_PORTS",
    "PublicTransport",
    "RefusedAddress",
    "RefusedAnswer",
    "Resolver",
    "is_public",
    "origin",
    "resolve",
]

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Turns a host and a port into the addresses to try, in order."""

PUBLIC_PORTS = (80, 443)
_RESOLVE_SECONDS = 10.0

# ``is_global`` calls these public although they lead inside: cloud metadata services and relays live here.
_SPECIAL_V4 = tuple(map(ipaddress.IPv4Network, ("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15")))
# All that is routed today. It leaves out IPv4-mapped and NAT64 addresses, which carry a private IPv4 address unseen.
_UNICAST_V6 = ipaddress.IPv6Network("2000::/3")
# Inside it: Teredo and other protocol assignments, documentation, 6to4.
_SPECIAL_V6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))


class RefusedAddress(httpx.UnsupportedProtocol):
    """The address is not one that we connect to; nothing was sent to it."""


class RefusedAnswer(httpx.RequestError):
    """The server sent compressed data, or sent us on to somewhere we do not go."""


def origin(url: httpx.URL) -> tuple[str, str, int]:
    """Scheme, host and port."""
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


def is_public(address: str) -> bool:
    """Whether an IP address, in its canonical text, is an ordinary address of the public internet."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if not ip.is_global or ip.is_multicast or ip.is_reserved or ip.is_unspecified:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in network for network in _SPECIAL_V4)
    return ip.scope_id is None and ip in _UNICAST_V6 and not any(ip in network for network in _SPECIAL_V6)


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system knows them; ``127.1`` and other spellings come back canonical."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class PublicTransport(httpx.AsyncBaseTransport):
    """Resolves each host once, refuses it unless every address is public, and connects to what was checked.

    Host header and TLS name stay those of the URL. The inner transport must keep no idle connections: its pool would
    know them by address only, and hand a connection to one host to another host that shares the address.

    Args:
        inner: Makes the connections.
        allow_private: Skip the checks of scheme, address and port, for emulators on this machine.
        allow_http: Take http addresses, too: what is fetched can be read and changed on the way.
        ports: Ports that may be connected to.
        resolver: Resolves names; None = the system.
        trusted: An address whose scheme, host and port the user has named: those are not checked.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        *,
        allow_private: bool = False,
        allow_http: bool = False,
        ports: Collection[int] = PUBLIC_PORTS,
        resolver: Resolver | None = None,
        trusted: str | None = None,
    ) -> None:
        self._inner = inner
        self._allow_private = allow_private
        self._allow_http = allow_http or allow_private
        self._ports = ports
        self._resolver = resolver or resolve
        self._trusted = None if trusted is None else origin(httpx.URL(trusted))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        free = self._allow_private or origin(request.url) == self._trusted
        host, port = self._endpoint(request.url, free)
        addresses = await self._addresses(host, port, free)
        for address in addresses[:-1]:
            try:
                return await self._inner.handle_async_request(_aimed_at(request, host, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue  # nothing was sent, so the next address may be tried
        return await self._inner.handle_async_request(_aimed_at(request, host, addresses[-1]))

    async def aclose(self) -> None:
        await self._inner.aclose()

    def _endpoint(self, url: httpx.URL, free: bool) -> tuple[str, int]:
        """Host and port of a URL, or the refusal of it; ``free`` = it may be anywhere."""
        if url.scheme not in ("http", "https"):
            raise RefusedAddress(f"only http and https addresses are fetched, not {url.scheme or 'a relative one'}")
        if url.userinfo:
            raise RefusedAddress("the address holds a user name or password")
        if url.scheme == "http" and not (free or self._allow_http):
            raise RefusedAddress("only https addresses are fetched, not http ones, which anybody on the way can change")
        host = url.raw_host.decode("ascii", "replace")
        port = origin(url)[2]
        if not host:
            raise RefusedAddress("the address names no host")
        if not free and port not in self._ports:
            raise RefusedAddress(f"port {port} of {host} is not one that media is fetched from")
        return host, port

    async def _addresses(self, host: str, port: int, free: bool) -> list[str]:
        """Every address of the host, once all of them are known to be allowed."""
        try:
            with anyio.fail_after(_RESOLVE_SECONDS):
                found = list(await self._resolver(host, port))
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"{host} was not resolved within {_RESOLVE_SECONDS:g} s") from error
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(f"{host} cannot be resolved") from error
        if not found:
            raise httpx.ConnectError(f"{host} has no address")
        if not free and not all(map(is_public, found)):
            raise RefusedAddress(f"{host} is not a public address")
        return found


def _aimed_at(request: httpx.Request, host: str, address: str) -> httpx.Request:
    """The same request, to a fixed address; the Host header is already in its headers."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )
