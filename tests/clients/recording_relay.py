"""A relay that changes nothing: it stands between a client and the proxy and keeps every byte of both directions."""

import contextlib
import socket
import threading
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Message:
    """One HTTP/1.1 request or response as it was on the wire, its chunks joined."""

    line: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass(kw_only=True)
class RecordingRelay:
    """Listens on a free port and hands bytes on to `target` (a loopback port)."""

    target: int
    port: int = 0
    _conversations: list[tuple[bytearray, bytearray]] = field(default_factory=list)
    _pumps: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def exchanges(self, waiting: bool = True) -> list[tuple[Message, Message]]:
        """(request, response) pairs, connection by connection. Call it when the client has ended.

        `waiting`: until connections are closed; else what came so far.

        ValueError where requests and responses do not pair up.
        """
        for pump in self._pumps if waiting else ():
            pump.join(10)
        found: list[tuple[Message, Message]] = []
        for sent, got in self._conversations:
            found += zip(parsed(bytes(sent)), parsed(bytes(got)), strict=True)
        return found

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            sent, got = bytearray(), bytearray()
            self._conversations.append((sent, got))
            for source, sink, kept in ((client, server, sent), (server, client, got)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                pump = threading.Thread(target=self._pump, args=(source, sink, kept), daemon=True)
                self._pumps.append(pump)
                pump.start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                kept += data
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def parsed(wire: bytes) -> list[Message]:
    """Every message of one direction of a connection, in order."""
    found: list[Message] = []
    while wire:
        head, _, wire = wire.partition(b"\r\n\r\n")
        line, *rows = head.split(b"\r\n")
        headers = tuple((name.lower(), value.strip()) for name, _, value in (row.partition(b":") for row in rows))
        named = dict(headers)
        if named.get(b"transfer-encoding", b"").lower() == b"chunked":
            body, wire = _chunked(wire)
        else:
            size = int(named.get(b"content-length", b"0"))
            body, wire = wire[:size], wire[size:]
        found.append(Message(line=line, headers=headers, body=body))
    return found


def _chunked(wire: bytes) -> tuple[bytes, bytes]:
    """(body, what follows). A client that has read `data: [DONE]` may leave before the closing chunk."""
    body = b""
    while wire:
        size, _, wire = wire.partition(b"\r\n")
        length = int(size, 16)
        piece, wire = wire[:length], wire[length + 2 :]
        body += piece
        if length == 0:
            break
    return body, wire
