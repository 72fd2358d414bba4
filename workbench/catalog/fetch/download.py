"""One web address -> its picture in the cache, or the reason why not: redirects, limits and retries."""

from __future__ import annotations

import asyncio
import http
import socket
import ssl
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import httpcore2

from workbench import __version__
from workbench.catalog.fetch.content import Broken, Content, Incoming
from workbench.catalog.fetch.hosts import Wanted
from workbench.catalog.fetch.pace import Host, Standing, back_off, retry_after
from workbench.catalog.fetch.results import Result
from workbench.catalog.fetch.safe import Address, Allowed, Guarded, Refused, follow, parse
from workbench.recipe.schema import Fetch

REDIRECTS = 5
AGAIN = {408, 429, 500, 502, 503, 504}  # answers that another try may change
MOVED = {301, 302, 303, 307, 308}


class NoPicture(Exception):
    """There is none to be had, from a server that answers; the message is the reason."""


class Failed(Exception):
    """No answer that means anything; the message is the reason."""

    def __init__(self, reason: str, again: bool = True, after: float | None = None) -> None:
        super().__init__(reason)
        self.again, self.after = again, after  # another try may help; seconds that the server asks to wait


class Elsewhere(Exception):
    """A redirect to a host that another process may be asking."""

    def __init__(self, address: Address, redirects: int) -> None:
        super().__init__(str(address))
        self.address, self.redirects = address, redirects


@dataclass(frozen=True)
class Redirect:
    to: Address


class Downloader:
    """Asks servers for pictures by the rules of the recipe's `fetch` section, in one event loop.

    `aside` is the folder for unfinished files, in the file system of `content`. With `standings` no other hosts than
    these are asked.
    """

    def __init__(
        self,
        fetch: Fetch,
        max_pixels: int,
        content: Content,
        aside: Path,
        standings: Mapping[str, Standing] | None = None,
    ) -> None:
        self._fetch, self._max_pixels, self._content, self._aside = fetch, max_pixels, content, aside
        self._allowed = Allowed(fetch.allow_hosts)
        self._slots = asyncio.Semaphore(fetch.pace.concurrency)
        self._hosts: dict[str, Host] = defaultdict(lambda: Host(fetch.pace))
        self._hosts |= {host: Host(fetch.pace, standing) for host, standing in (standings or {}).items()}
        self._only = standings
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=httpcore2.default_ssl_context(),
            max_connections=fetch.pace.concurrency,
            keepalive_expiry=5.0,
            network_backend=Guarded(self._allowed),
        )
        idle = dict.fromkeys(("connect", "read", "write"), fetch.pace.idle)
        self._extensions = {"timeout": idle}
        self._agent = f"mlim/{__version__}" + (f" (+{fetch.contact})" if fetch.contact else "")
        self._numbers = count()
        self.received = 0  # bytes of all bodies, failed ones too

    async def close(self) -> None:
        await self._pool.aclose()

    def standings(self) -> dict[str, Standing]:
        return {name: host.standing for name, host in self._hosts.items()}

    async def get(self, wanted: Wanted) -> Result:
        """What becomes of an address; of an earlier download it is asked whether it changed. Raises Elsewhere."""
        url = wanted.url
        try:
            address = wanted.at or parse(url)
            return await self._patiently(wanted, address, self._hosts[address.host])
        except Broken as broken:
            return Result(url, "broken", str(broken))
        except (NoPicture, Refused, Failed) as reason:
            return Result(url, "absent", str(reason))

    async def _patiently(self, wanted: Wanted, address: Address, host: Host) -> Result:
        """As many tries as the recipe allows, while their failures may pass."""
        for attempt in range(self._fetch.pace.retries + 1):
            if host.given_up:
                raise Failed(host.given_up)
            try:
                result = await self._attempt(wanted, address)
            except (NoPicture, Broken, Elsewhere):
                host.answered()
                raise
            except Failed as failure:
                if not failure.again or attempt == self._fetch.pace.retries:
                    host.failed(str(failure))
                    raise
                await self._wait(wanted.url, attempt, host, failure)
            else:
                host.answered()
                return result
        raise AssertionError("the last try returns or raises")

    async def _wait(self, url: str, attempt: int, host: Host, failure: Failed) -> None:
        """As long as the server asks, for the whole host; else a growing while, for this picture."""
        if failure.after is None:
            await asyncio.sleep(back_off(self._fetch.pace, url, attempt))
        else:
            host.pause(min(failure.after, self._fetch.pace.longest))

    async def _attempt(self, wanted: Wanted, address: Address) -> Result:
        for redirects in range(wanted.redirects, REDIRECTS + 1):
            self._allowed.check(address)
            if self._only is not None and address.host not in self._only:
                raise Elsewhere(address, redirects)
            async with self._hosts[address.host].turn(), self._slots:
                answer = await self._ask(wanted.url, address, wanted.known)
            if isinstance(answer, Result):
                return answer
            address = answer.to
        raise NoPicture(f"more than {REDIRECTS} redirects")

    async def _ask(self, url: str, address: Address, known: Result | None) -> Result | Redirect:
        """One request; whatever goes wrong with the network is a Failed."""
        self._count(0)
        target = httpcore2.URL(
            scheme=address.scheme.encode(),
            host=address.host.encode(),
            port=address.port,
            target=address.target.encode(),
        )
        asked = known if known and known.final_url == str(address) else None
        try:
            async with (
                asyncio.timeout(self._fetch.pace.total),
                self._pool.stream(
                    "GET", target, headers=self._headers(address, asked), extensions=self._extensions
                ) as r,
            ):
                return await self._answer(url, address, r, asked)
        except (TimeoutError, httpcore2.TimeoutException):
            raise Failed("timed out") from None
        except socket.gaierror as error:
            raise Failed("no such host", again=error.errno == socket.EAI_AGAIN) from None
        except UnicodeError:
            raise Failed("no such host", again=False) from None
        except httpcore2.ConnectError as error:
            raise _no_connection(error.args and error.args[0]) from None
        except ssl.SSLError as error:
            raise _no_connection(error) from None
        except httpcore2.NetworkError:
            raise Failed("the connection broke") from None
        except httpcore2.ProtocolError as error:
            cut = "without sending" in str(error) or "incomplete" in str(error)
            raise Failed("the connection broke" if cut else "not an answer by HTTP", again=cut) from None

    def _headers(self, address: Address, asked: Result | None) -> list[tuple[str, str]]:
        """No cookie, no referrer; the picture as it is stored, neither compressed nor converted."""
        headers = {
            "Host": address.authority,
            "User-Agent": self._agent,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "If-None-Match": asked and asked.etag,
            "If-Modified-Since": asked and asked.modified,
        }
        return [(name, value) for name, value in headers.items() if value]

    async def _answer(
        self, url: str, address: Address, response: httpcore2.Response, asked: Result | None
    ) -> Result | Redirect:
        headers = {name.lower().decode(): value.decode(errors="replace") for name, value in response.headers}
        status = response.status
        if status == 304 and asked:
            return replace(asked, url=url)
        if status in MOVED and "location" in headers:
            return Redirect(follow(address, headers["location"]))
        if status in AGAIN:
            raise Failed(_said(status), after=retry_after(headers.get("retry-after")))
        if status != 200:
            raise NoPicture(_said(status))
        if (encoding := headers.get("content-encoding", "identity").lower()) not in ("identity", ""):
            raise Broken(f"sent compressed ({encoding[:20]}), which was not asked for")
        sha256, size, kind = await self._body(response, headers.get("content-length", ""))
        etag, modified = (_sendable(headers.get(name)) for name in ("etag", "last-modified"))
        return Result(url, "fetched", None, sha256, size, kind, etag, modified, str(address))

    async def _body(self, response: httpcore2.Response, told: str) -> tuple[str, int, str]:
        """(sha256, bytes, type) of a body, which is in the cache then."""
        aside = self._aside / f"{next(self._numbers)}.tmp"
        with aside.open("wb") as file:
            try:
                incoming = Incoming(file, self._fetch.max_bytes, self._max_pixels)
                incoming.expect(int(told[:20]) if told.isdecimal() else 0)
                async for chunk in response.aiter_stream():
                    self._count(len(chunk))
                    incoming.add(chunk)
                sha256, kind = incoming.done()
                file.flush()
                self._content.keep(aside, sha256, incoming.bytes)
            finally:
                aside.unlink(missing_ok=True)
        return sha256, incoming.bytes, kind

    def _count(self, size: int) -> None:
        if self.received >= self._fetch.most_bytes:
            raise NoPicture(reached(self._fetch))
        self.received += size


def reached(fetch: Fetch) -> str:
    return f"fetch.most_bytes ({fetch.most_bytes:,}) was reached before"


def _sendable(header: str | None) -> str | None:
    """A header that may be sent back as it came, or None."""
    return header if header and header.isascii() and header.isprintable() and len(header) < 1000 else None


def _said(status: int) -> str:
    """An answer's number and its standard name; what else a server writes there isn't repeated."""
    known = status in set(http.HTTPStatus)
    return f"{status} {http.HTTPStatus(status).phrase}" if known else f"status {status}"


def _no_connection(cause: object) -> Failed:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Failed(f"TLS: {cause.verify_message}", again=False)
    if isinstance(cause, ssl.SSLError):
        return Failed(f"TLS: {(cause.reason or 'failed').lower().replace('_', ' ')}", again=False)
    return Failed("no connection")
