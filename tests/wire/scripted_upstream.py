"""An upstream that does exactly as told, byte by byte, and keeps exactly what it was sent."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Received:
    """One request as it came over the wire."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


@dataclass(kw_only=True)
class Reply:
    """One answer. `pieces` are written one by one; `gate` is waited for before the last; then `ending`."""

    status: str = "200 OK"
    headers: Sequence[tuple[str, str]] = (("Content-Type", "application/json"),)
    pieces: Sequence[bytes] = (b"{}",)
    chunked: bool = False
    """Transfer-Encoding: chunked, one chunk per piece; else Content-Length."""
    pause: float = 0.0
    gate: threading.Event | None = None
    before: threading.Event | None = None
    """Waited for before the headers are sent."""
    ending: str = "keep"
    """`keep` the connection, `break` it before the body is complete, or `hang` until the other side closes."""


@dataclass(kw_only=True)
class ScriptedUpstream:
    """Answers requests from `script` in order (the last one again and again), or by calling it."""

    script: list[Reply] | Callable[[Received], Reply] = field(default_factory=lambda: [Reply()])
    received: list[Received] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    """Set when the other side closed a connection that was still being answered."""
    port: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        buffer = b""
        with contextlib.suppress(OSError):
            while True:
                while b"\r\n\r\n" not in buffer:
                    more = connection.recv(65536)
                    if not more:
                        return
                    buffer += more
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                line, *rows = head.split(b"\r\n")
                headers = [(name, value) for name, _, value in (row.partition(b": ") for row in rows)]
                if any(name.lower() == b"transfer-encoding" for name, _ in headers):
                    body, buffer = self._chunked(connection, buffer)
                else:
                    size = next((int(value) for name, value in headers if name.lower() == b"content-length"), 0)
                    body, buffer = _exactly(connection, buffer, size)
                request = Received(line=line, headers=headers, body=body)
                self.received.append(request)
                if not self._reply(connection, self._next(request)):
                    return

    def _chunked(self, connection: socket.socket, buffer: bytes) -> tuple[bytes, bytes]:
        """(a chunked body, what came after it)."""
        pieces = []
        while True:
            while b"\r\n" not in buffer:
                buffer += connection.recv(65536)
            line, _, buffer = buffer.partition(b"\r\n")
            piece, buffer = _exactly(connection, buffer, int(line, 16) + 2)
            if piece == b"\r\n":
                return b"".join(pieces), buffer
            pieces.append(piece[:-2])

    def _next(self, request: Received) -> Reply:
        if callable(self.script):
            return self.script(request)
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    def _reply(self, connection: socket.socket, reply: Reply) -> bool:
        """Write an answer; False when the connection is over."""
        if reply.before is not None and not self._wait(connection, reply.before):
            return False
        rows = [f"HTTP/1.1 {reply.status}", *(f"{name}: {value}" for name, value in reply.headers)]
        if reply.chunked:
            rows.append("Transfer-Encoding: chunked")
        else:
            extra = 10 if reply.ending in ("break", "hang") else 0
            rows.append(f"Content-Length: {sum(map(len, reply.pieces)) + extra}")
        try:
            connection.sendall("\r\n".join(rows).encode("latin-1") + b"\r\n\r\n")
            for number, piece in enumerate(reply.pieces):
                last = number == len(reply.pieces) - 1
                if last and reply.gate is not None and not self._wait(connection, reply.gate):
                    return False
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if reply.chunked else piece)
                if reply.pause:
                    time.sleep(reply.pause)
            if reply.ending == "break":
                connection.shutdown(socket.SHUT_RDWR)
                connection.close()
                return False
            if reply.ending == "hang":
                self._wait(connection, threading.Event())
                return False
            if reply.chunked:
                connection.sendall(b"0\r\n\r\n")
        except OSError:
            self.left.set()
            return False
        return True

    def _wait(self, connection: socket.socket, event: threading.Event) -> bool:
        """Wait for the event; False when the other side closed first."""
        connection.settimeout(0.01)
        try:
            for _ in range(3000):
                if event.is_set():
                    return True
                try:
                    if connection.recv(1) == b"":
                        raise ConnectionResetError
                except TimeoutError:
                    continue
        except OSError:
            self.left.set()
            return False
        finally:
            connection.settimeout(None)
        return False


def _exactly(connection: socket.socket, buffer: bytes, size: int) -> tuple[bytes, bytes]:
    """(the next `size` bytes, what came after them)."""
    whole = bytearray(buffer)
    while len(whole) < size:
        whole += connection.recv(2**18)
    return bytes(whole[:size]), bytes(whole[size:])
