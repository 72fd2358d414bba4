"""A web server on loopback that answers as it is told, byte by byte: rightly or in any wrong way."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

Handler = Callable[[asyncio.StreamWriter, "Request"], Awaitable[None]]


@dataclass(frozen=True)
class Request:
    path: str
    headers: Mapping[str, str]
    nth: int  # 1 for the first request of this path


def answer(body: bytes = b"", status: int = 200, **headers: str) -> bytes:
    """A whole answer; keyword `etag="x"` is the header `etag: x`, `_` stands for `-`."""
    lines = {"content-length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} whatever\r\n{head}\r\n".encode("latin-1") + body


@dataclass
class Web:
    """Answers by path: bytes to write (the connection stays open after a whole answer), or a handler."""

    answers: dict[str, bytes | Handler] = field(default_factory=dict)
    default: bytes | Handler = b"HTTP/1.1 404 whatever\r\ncontent-length: 0\r\n\r\n"
    asked: list[Request] = field(default_factory=list)
    most_at_once: int = 0
    port: int = 0
    _now: int = 0
    _count: Counter[str] = field(default_factory=Counter)

    def url(self, path: str, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.asked]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line, *rest = head.decode("latin-1").rstrip().split("\r\n")
                path = line.split()[1]
                self._count[path] += 1
                pairs = (text.split(": ", 1) for text in rest)
                request = Request(path, {name.lower(): value for name, value in pairs}, self._count[path])
                self.asked.append(request)
                self._now += 1
                self.most_at_once = max(self.most_at_once, self._now)
                try:
                    made = self.answers.get(path, self.default)
                    if not isinstance(made, bytes):
                        await made(writer, request)
                        break
                    writer.write(made)
                    await writer.drain()
                finally:
                    self._now -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@contextmanager
def serving(web: Web, tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    """Run the server in a thread of its own; its port is known inside."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def main() -> None:
        server = await asyncio.start_server(web.serve, "127.0.0.1", 0, ssl=tls, limit=2**20)
        web.port = server.sockets[0].getsockname()[1]
        ready.set()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(lambda *_: None)  # of handlers that a client left
        loop.run_until_complete(main())
        loop.run_forever()
        for task in (tasks := asyncio.all_tasks(loop)):
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait()
    try:
        yield web
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
