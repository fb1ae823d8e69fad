"""A stand-in for SES that costs next to nothing: counts entries, answers message ids, keeps nothing.

Run in a process of its own, so that its CPU is not the pipeline's: `python -m tests.bench.sink` prints its port.
"""

import asyncio
import itertools
import json
import sys

_numbers = itertools.count(1)


class Sink(asyncio.Protocol):
    """Just enough HTTP/1.1 for botocore: keep-alive, Content-Length, one request after the other."""

    def connection_made(self, transport):
        self.transport, self.buffer, self.body_ends = transport, bytearray(), None

    def data_received(self, data):
        self.buffer += data
        while self._answer_one():
            pass

    def _answer_one(self):
        if self.body_ends is None:
            head = self.buffer.find(b"\r\n\r\n")
            if head < 0:
                return False
            lines = bytes(self.buffer[:head]).lower()
            length = next((line for line in lines.split(b"\r\n") if line.startswith(b"content-length:")), b":0")
            if b"expect: 100-continue" in lines:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.bulk = b"outbound-bulk-emails" in lines.split(b"\r\n", 1)[0]
            self.body_ends = head + 4 + int(length.split(b":")[1])
        if len(self.buffer) < self.body_ends:
            return False
        entries = self.buffer.count(b'"Destination"', 0, self.body_ends)
        del self.buffer[: self.body_ends]
        self.body_ends = None
        self._reply(entries)
        return bool(self.buffer)

    def _reply(self, entries):
        ids = [f"0100019a-bench-{next(_numbers)}" for _ in range(entries)]
        if not ids:  # GetAccount: nothing known, nothing limited
            self._write(b"{}")
            return
        results = [{"Status": "SUCCESS", "MessageId": one} for one in ids]
        body = json.dumps({"BulkEmailEntryResults": results} if self.bulk else {"MessageId": ids[0]}).encode()
        self._write(body)

    def _write(self, body):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.transport.write(head % len(body) + body)


async def serve():
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(serve())
    except KeyboardInterrupt:
        sys.exit(0)
