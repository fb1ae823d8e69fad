"""A scripted server on loopback: answers one request with the bytes it was told to, or breaks off."""

import json
import socket
import threading


class Stub:
    """`script` is called with the connection once a whole request was read; what it sends is the answer."""

    def __init__(self, script):
        self.script = script
        self.requests = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as file:
                self._read(file)
                self.requests += 1
                self.script(connection)

    @staticmethod
    def _read(file):
        length = 0
        while (line := file.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        file.read(length)


def answer(status, body, **headers):
    """A script that answers with this status, JSON body and headers (`_` stands for `-`)."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}", "Connection: close", "Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return lambda connection: connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data)


def error(status, code, message):
    """A script that answers with an error as SES v2 writes one (restJson1)."""
    return answer(status, {"message": message}, x_amzn_ErrorType=code)
