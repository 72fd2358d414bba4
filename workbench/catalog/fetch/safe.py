"""Which addresses may be asked: web addresses as feeds write them, and the IP addresses behind a host's name.

A name is resolved where a connection is opened, every address it resolves to is judged, and the socket is connected to
one of those very addresses. So no redirect, retry or second answer of a name server leads anywhere unjudged.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import quote, urljoin, urlsplit

import httpcore2

PORTS = {"http": 80, "https": 443}
_OWN = {  # what a host of `allow_hosts` may be
    "loopback": ("127.0.0.0/8", "::1/128"),
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
    "shared by a provider's customers": ("100.64.0.0/10",),
}
_NEVER = {  # the special-purpose registries of IANA; metadata services of clouds, of which one has a public address
    "a cloud's metadata service": (
        "169.254.169.254/32",
        "168.63.129.16/32",
        "100.100.100.200/32",
        "192.0.0.192/32",
        "fd00:ec2::/32",
        "fd20:ce::/32",
    ),
    "link-local": ("169.254.0.0/16", "fe80::/10"),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
    "an IPv4 address in disguise": ("::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16"),
    "reserved": (
        "0.0.0.0/8",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
    ),
}
_KINDS = [
    (kind, ip_network(net), own)
    for table, own in ((_NEVER, False), (_OWN, True))
    for kind, nets in table.items()
    for net in nets
]
UNNAMED = "not in fetch.allow_hosts"  # ends the reason where a name there would do
_GLOBAL = ip_network("2000::/3")  # no other IPv6 address is given to public hosts


class Refused(Exception):
    """An address that is not asked; the message is the reason."""


@dataclass(frozen=True)
class Address:
    """A web address, ready to be asked for: ASCII, percent-encoded, without fragment."""

    scheme: str
    host: str
    port: int
    target: str  # path and query

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def own(self) -> bool:
        """Whether it is written as one of one's own network, which is asked only if `fetch.allow_hosts` names it."""
        try:
            if kind_of(self.host):
                return kind_of(self.host, own=True) is None
        except ValueError:  # a name, no IP address
            pass
        return self.port not in PORTS.values() or not re.search("[.:]", self.host)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def parse(text: str) -> Address:
    """A web address as a feed or a server writes it: spaces, umlauts and `//host/…` (then https) are understood.

    Raises Refused for another scheme, for a user name in it, and for what is no address.
    """
    try:
        parts = urlsplit(f"https:{text}" if text.startswith("//") else text)
        if parts.scheme not in PORTS:
            raise Refused(f"{parts.scheme or 'no'} address: only http and https are fetched")
        if "@" in parts.netloc:
            raise Refused("a user name in the address")
        host = (parts.hostname or "").rstrip(".")
        host = host if ":" in host else host.encode("idna").decode()
        if not re.fullmatch(r"[a-z0-9._-]{1,253}|[0-9a-f:.]+", host):
            raise Refused("not a web address: its host is no host's name")
        target = _quoted(parts.path or "/") + (f"?{_quoted(parts.query)}" if parts.query else "")
        return Address(parts.scheme, host, PORTS[parts.scheme] if parts.port is None else parts.port, target)
    except ValueError:  # of urlsplit, of idna, of a lone surrogate
        raise Refused("not a web address") from None


def _quoted(text: str) -> str:
    return quote(re.sub("%(?![0-9A-Fa-f]{2})", "%25", text), safe="/?%:@!$&'()*+,;=~")


def follow(address: Address, location: str) -> Address:
    """Where a redirect leads. Raises Refused as `parse` does, and for a step from https down to http."""
    to = parse(urljoin(str(address), location.strip()))
    if address.scheme == "https" and to.scheme == "http":
        raise Refused("a redirect from https to http")
    return to


class Allowed:
    """What may be asked: public addresses at ports 80 and 443, and the hosts that the user calls their own."""

    def __init__(self, own: Iterable[str]) -> None:
        self._own = set()
        for entry in own:
            host, port = re.fullmatch(r"\[?(.*?)\]?(?::([0-9]+))?", entry.lower()).groups()  # type: ignore[union-attr]
            self._own |= {(host, int(p)) for p in ([port] if port else PORTS.values())}

    def check(self, address: Address) -> None:
        """Raises Refused for a port that is not the web's."""
        if address.port not in PORTS.values() and (address.host, address.port) not in self._own:
            raise Refused(f"port {address.port}, {UNNAMED}")

    async def resolve(self, host: str, port: int) -> list[str]:
        """The IP addresses of a host. Raises Refused if any of them is, socket.gaierror if there is none."""
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        ips = list(dict.fromkeys(str(place[0]) for *_, place in found))
        for ip in ips:
            if kind := kind_of(ip, own=(host, port) in self._own):
                raise Refused(
                    f"its host has the address {ip}: {kind}" + ("" if kind_of(ip, own=True) else f", {UNNAMED}")
                )
        return ips


def kind_of(ip: str, own: bool = False) -> str | None:
    """What kind of address it is that must not be asked, or None. `own`: of a host in `fetch.allow_hosts`."""
    address: IPv4Address | IPv6Address = ip_address(ip.partition("%")[0])
    for kind, network, own_may in _KINDS:
        if address in network:
            return None if own and own_may else kind
    return "not a public one" if address.version == 6 and address not in _GLOBAL else None


class Guarded(httpcore2.AsyncNetworkBackend):
    """Opens connections to judged addresses only: the one door of the fetcher to the network."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed, self._inner = allowed, httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        return await self._first(await self._allowed.resolve(host, port), port, timeout)

    async def _first(self, ips: Sequence[str], port: int, timeout: float | None) -> httpcore2.AsyncNetworkStream:
        """A connection to the first address that takes one."""
        for ip in ips[:-1]:
            try:
                return await self._inner.connect_tcp(ip, port, timeout)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(ips[-1], port, timeout)
