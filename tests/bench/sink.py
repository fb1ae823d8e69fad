"""A stand-in for SES that costs next to nothing: counts entries, answers message ids, keeps only when they came.

Run in a process of its own, so that its CPU is not the pipeline's: `python -m tests.bench.sink` prints its port.
`GET /arrivals` says how many came since it was last asked, and how many of them within the busiest sliding second.
"""

import asyncio
import itertools
import json
import sys
import time

_numbers = itertools.count(1)
_arrivals: list[tuple[float, int]] = []


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
            self.request_line = lines.split(b"\r\n", 1)[0]
            self.body_ends = head + 4 + int(length.split(b":")[1])
        if len(self.buffer) < self.body_ends:
            return False
        entries = self.buffer.count(b'"Destination"', 0, self.body_ends)
        del self.buffer[: self.body_ends]
        self.body_ends = None
        self._reply(entries)
        return bool(self.buffer)

    def _reply(self, entries):
        if not entries:  # GetAccount: nothing known, nothing limited
            self._write(json.dumps(told_arrivals()).encode() if b"/arrivals" in self.request_line else b"{}")
            return
        _arrivals.append((time.monotonic(), entries))
        ids = [f"0100019a-bench-{next(_numbers)}" for _ in range(entries)]
        results = [{"Status": "SUCCESS", "MessageId": one} for one in ids]
        bulk = b"outbound-bulk-emails" in self.request_line
        self._write(json.dumps({"BulkEmailEntryResults": results} if bulk else {"MessageId": ids[0]}).encode())

    def _write(self, body):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.transport.write(head % len(body) + body)


def told_arrivals():
    """What came since the last time: calls, mails, seconds from the first to the last, the busiest sliding second."""
    seconds = _arrivals[-1][0] - _arrivals[0][0] if _arrivals else 0.0
    counts = {"calls": len(_arrivals), "mails": sum(mails for _, mails in _arrivals)}
    told = counts | {"seconds": seconds, "busiest_second": busiest_second(_arrivals)}
    _arrivals.clear()
    return told


def busiest_second(arrivals):
    """The most mails within any sliding second, of (moment, mails) in order."""
    most = within = begin = 0
    for at, mails in arrivals:
        within += mails
        while at - arrivals[begin][0] >= 1.0:
            within -= arrivals[begin][1]
            begin += 1
        most = max(most, within)
    return most


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
