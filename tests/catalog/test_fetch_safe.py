"""Addresses that may be asked and those that may not, in every spelling."""

import asyncio
import random
import socket
from ipaddress import IPv4Address, IPv6Address

import httpcore2
import pytest

from workbench.catalog.fetch.safe import Allowed, Guarded, Refused, follow, kind_of, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://shop.test/a.jpg", "http://shop.test/a.jpg"),
        ("HTTPS://Shop.TEST:443", "https://shop.test/"),
        ("http://shop.test:443/", "http://shop.test:443/"),
        ("//cdn.shop.test/a.jpg", "https://cdn.shop.test/a.jpg"),
        ("http://shop.test./a b.jpg?w=1&n=ä#top", "http://shop.test/a%20b.jpg?w=1&n=%C3%A4"),
        ("http://shop.test/50%off%20.jpg", "http://shop.test/50%25off%20.jpg"),
        ("http://bücher.test/ü,1.jpg", "http://xn--bcher-kva.test/%C3%BC,1.jpg"),
        ("http://１２７。0。0。1/", "http://127.0.0.1/"),
        ("http://[2606:4700::1111]/x", "http://[2606:4700::1111]/x"),
    ],
)
def test_addresses_as_feeds_write_them(text, address):
    assert str(parse(text)) == address


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ftp://shop.test/a.jpg", "ftp address: only http and https are fetched"),
        ("file:///etc/passwd", "file address"),
        ("data:image/png;base64,AAAA", "data address"),
        ("shop.test/a.jpg", "no address"),
        ("http://me:secret@shop.test/a.jpg", "a user name in the address"),
        ("http://good.test\\@evil.test/", "user name|no host's name"),
        ("http:///a.jpg", "no host's name"),
        ("http://shop.test:99999/", "not a web address"),
        ("http://sh op.test/", "no host's name"),
        ("http://a..b/", "not a web address"),
        ("http://[::1/", "not a web address"),
        ("http://[fe80::1%25eth0]/", "no host's name"),
        ("http://shop.test/\udc80", "not a web address"),
        (f"http://{'a' * 64}.ä/", "not a web address"),
    ],
)
def test_what_is_no_address_to_fetch(text, reason):
    with pytest.raises(Refused, match=reason) as refused:
        parse(text)
    assert "secret" not in str(refused.value)


def test_redirects_are_relative_and_never_down_to_http():
    here = parse("https://shop.test/a/b.jpg?x=1")
    assert str(follow(here, " ../c.jpg ")) == "https://shop.test/c.jpg"
    assert str(follow(here, "//cdn.test/ö")) == "https://cdn.test/%C3%B6"
    for location in ("http://shop.test/c.jpg", "file:///etc/passwd", "gopher://x/", "https://u@shop.test/"):
        with pytest.raises(Refused):
            follow(here, location)


@pytest.mark.parametrize(
    ("ip", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("10.1.2.3", "private"),
        ("172.31.0.1", "private"),
        ("192.168.1.1", "private"),
        ("fc00::1", "private"),
        ("100.64.0.1", "shared by a provider's customers"),
        ("169.254.169.254", "a cloud's metadata service"),
        ("fd00:ec2::254", "a cloud's metadata service"),
        ("100.100.100.200", "a cloud's metadata service"),
        ("168.63.129.16", "a cloud's metadata service"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("0.0.0.0", "reserved"),
        ("255.255.255.255", "reserved"),
        ("192.0.2.1", "reserved"),
        ("2001:db8::1", "reserved"),
        ("::", "not a public one"),
        ("fec0::1", "not a public one"),
        ("::7f00:1", "not a public one"),  # IPv4-compatible
        ("::ffff:8.8.8.8", "an IPv4 address in disguise"),
        ("::ffff:127.0.0.1", "an IPv4 address in disguise"),
        ("64:ff9b::7f00:1", "an IPv4 address in disguise"),
        ("2002:7f00:1::", "an IPv4 address in disguise"),
        ("2001:0:7f00:1::", "an IPv4 address in disguise"),
        ("8.8.8.8", None),
        ("172.32.0.1", None),
        ("100.128.0.1", None),
        ("2606:4700::1111", None),
        ("2a00:1450::1", None),
    ],
)
def test_kinds_of_ip_addresses(ip, kind):
    assert kind_of(ip) == kind
    own = kind in ("loopback", "private", "shared by a provider's customers")
    assert kind_of(ip, own=True) == (None if own else kind)


def test_nothing_that_python_calls_private_is_asked():
    draw = random.Random(0)
    v4 = [IPv4Address(draw.getrandbits(32)) for _ in range(20_000)]
    v6 = [IPv6Address(draw.getrandbits(128) >> draw.choice([0, 3, 64, 96])) for _ in range(20_000)]
    for ip in (*v4, *v6):
        assert kind_of(str(ip)) or (ip.is_global and not ip.is_multicast), ip


def test_ports_and_hosts_of_one_s_own():
    allowed = Allowed(["CDN.intern:8080", "images.intern", "[::1]:81"])
    for url in (
        "http://cdn.intern:8080/",
        "http://images.intern/",
        "https://images.intern/",
        "http://[::1]:81/",
        "http://x/",
    ):
        allowed.check(parse(url))
    for url in ("http://cdn.intern:8081/", "http://images.intern:8080/", "http://x:22/"):
        with pytest.raises(Refused, match=r"port \d+, not in fetch.allow_hosts"):
            allowed.check(parse(url))


@pytest.mark.parametrize("host", ["localhost", "localhost.", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0"])
def test_names_and_numbers_that_resolve_inside(host):
    with pytest.raises(Refused, match=r"its host has the address .*: (loopback|reserved)"):
        asyncio.run(Allowed([]).resolve(parse(f"http://{host}/").host, 80))


def test_the_address_judged_is_the_address_connected_to(monkeypatch):
    """A name server that answers otherwise the second time is not asked twice; one bad answer among many is enough."""
    answers = [["93.184.215.14", "8.8.8.8"], ["127.0.0.1"], ["8.8.8.8", "10.0.0.1"]]
    connected = []

    def resolve(host, port, *_, **__):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in answers.pop(0)]

    async def connect(self, host, port, *_, **__):
        connected.append((host, port))
        raise httpcore2.ConnectError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", connect)
    guarded = Guarded(Allowed([]))
    with pytest.raises(httpcore2.ConnectError):
        asyncio.run(guarded.connect_tcp("rebind.test", 80))
    for _ in range(2):
        with pytest.raises(Refused):
            asyncio.run(guarded.connect_tcp("rebind.test", 80))
    assert connected == [("93.184.215.14", 80), ("8.8.8.8", 80)]
