"""A stand-in for SES in a process of its own that writes down each acceptance before it answers.

Takes `SendEmail`, `SendBulkEmail` (up to 50 entries) and `GetAccount`; misbehaves on demand. Run as
`python fake_ses.py LEDGER PORT` (0: any); prints its port. Its ledger is the only truth of a run: one
line a recipient, appended with O_APPEND in one write, so that it survives whatever dies.

Faults: `PUT /faults {"shares": {"hang": 0.01}, "script": ["429", "429"], "to": {address: fault},
"rate": 500, "quota": 50000, "delay": 0.1, "hang": 5}`. The script comes first, then the address, then the shares.
"""

import asyncio
import json
import os
import random
import sys
import time
from itertools import count

# What the fault does: whether the mail is taken, and the answer that follows (None: the connection breaks).
ERRORS = {
    "429": (429, "TooManyRequestsException", "Too many requests."),
    "throttle": (400, "ThrottlingException", "Maximum sending rate exceeded."),
    "quota": (400, "ThrottlingException", "Daily message quota exceeded."),
    "limit": (400, "LimitExceededException", "Sending quota exceeded."),
    "paused": (400, "SendingPausedException", "Sending is paused for this account."),
    "rejected": (400, "MessageRejected", "Transaction failed: the message contains a virus."),
    "500_before": (500, "InternalServiceErrorException", "Internal failure."),
    "503_before": (503, "ServiceUnavailable", "Service unavailable."),
}
TAKEN = frozenset({"", "delay", "hang", "close_after", "half_answer", "500_after"})
BROKEN = frozenset({"hang", "close_after", "close_before", "half_answer"})
# What the caller cannot tell from a lost mail: such a row may be unknown for good.
AMBIGUOUS = BROKEN | {"500_before", "503_before", "500_after"}
ENTRY_STATUS = {
    "429": "ACCOUNT_THROTTLED",
    "throttle": "ACCOUNT_THROTTLED",
    "quota": "ACCOUNT_DAILY_QUOTA_EXCEEDED",
    "limit": "ACCOUNT_DAILY_QUOTA_EXCEEDED",
    "paused": "ACCOUNT_SENDING_PAUSED",
    "rejected": "MESSAGE_REJECTED",
}
MOST_ENTRIES = 50


class Faults:
    """What goes wrong, for whom; changed while it runs."""

    def __init__(self):
        self.set({})

    def set(self, wish):
        self.shares = wish.get("shares", {})
        self.script = list(wish.get("script", []))
        self.to = wish.get("to", {})
        self.delay = wish.get("delay", 0.0)
        self.hang = wish.get("hang", 5.0)
        self.rate = wish.get("rate", 100_000.0)
        self.quota = wish.get("quota", 10_000_000.0)
        self.random = random.Random(wish.get("seed", 1))

    def of_call(self, recipients):
        """The fault of a whole call; empty when it goes well."""
        if self.script:
            return self.script.pop(0)
        if len(recipients) == 1 and recipients[0] in self.to:
            return self.to[recipients[0]]
        return self._drawn()

    def of_entry(self, recipient):
        """The fault of one entry of a bulk call that as a whole goes well."""
        fault = self.to.get(recipient, "")
        return fault if fault in ENTRY_STATUS else ""

    def _drawn(self):
        left = self.random.random()
        for fault, share in self.shares.items():
            left -= share
            if left < 0:
                return fault
        return ""


class Ledger:
    """Appends one line a recipient: time, accepted or refused, fault, send_id, campaign, recipient, message id, call."""

    def __init__(self, path):
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        # Message ids stay unique across restarts of this process.
        self._ids = (f"{time.time_ns():x}-{n:06d}" for n in count(1))
        self.accepted = 0

    def next_id(self):
        return next(self._ids)

    def write(self, arrived, call, lines):
        """`lines` of (accepted, fault, tags, recipient, message id)."""
        text = "".join(
            f"{arrived:.6f}\t{'accepted' if ok else 'refused'}\t{fault}\t{tags.get('send_id', '')}\t"
            f"{tags.get('campaign_id', '')}\t{to}\t{message_id}\t{call}\n"
            for ok, fault, tags, to, message_id in lines
        )
        os.write(self._file, text.encode())
        self.accepted += sum(ok for ok, *_ in lines)


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, just as much of it as boto3 speaks."""

    def __init__(self, ledger, faults):
        self.ledger, self.faults = ledger, faults
        self.buffer = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            whole = end + 4 + int(headers.get("content-length", 0))
            if len(self.buffer) < whole:
                return
            body, self.buffer = self.buffer[end + 4 : whole], self.buffer[whole:]
            method, path, _ = head[0].split(" ", 2)
            self.handle(method, path.partition("?")[0], body)

    def handle(self, method, path, body):
        arrived = time.time()
        if (method, path) == ("PUT", "/faults"):
            self.faults.set(json.loads(body))
            self.answer(200, {})
        elif (method, path) == ("GET", "/v2/email/account"):
            self.answer(200, self.account())
        elif (method, path) == ("POST", "/v2/email/outbound-emails"):
            request = json.loads(body)
            (to,) = request["Destination"]["ToAddresses"]
            self.take(arrived, [(to, tags_of(request.get("EmailTags", [])))], bulk=False)
        elif (method, path) == ("POST", "/v2/email/outbound-bulk-emails"):
            self.take_bulk(arrived, json.loads(body))
        else:
            self.answer(404, {"message": f"no such operation: {method} {path}"}, "UnknownOperationException")

    def account(self):
        quota = {
            "Max24HourSend": self.faults.quota,
            "MaxSendRate": self.faults.rate,
            "SentLast24Hours": float(self.ledger.accepted),
        }
        return {"SendQuota": quota, "SendingEnabled": True, "ProductionAccessEnabled": True, "EnforcementStatus": "HEALTHY"}

    def take_bulk(self, arrived, request):
        entries, shared = request["BulkEmailEntries"], tags_of(request.get("DefaultEmailTags", []))
        if not 1 <= len(entries) <= MOST_ENTRIES:
            self.answer(400, {"message": "1 to 50 entries, please."}, "BadRequestException")
            return
        mails = [(one["Destination"]["ToAddresses"][0], shared | tags_of(one.get("ReplacementTags", []))) for one in entries]
        self.take(arrived, mails, bulk=True)

    def take(self, arrived, mails, *, bulk):
        """Write down, then answer, or do what the fault says."""
        fault = self.faults.of_call([to for to, _tags in mails])
        taken, call = fault in TAKEN, self.ledger.next_id()
        results = []
        for to, tags in mails:
            wrong = self.faults.of_entry(to) if bulk and taken else ""
            results.append((taken and not wrong, fault or wrong, tags, to, self.ledger.next_id() if taken and not wrong else ""))
        self.ledger.write(arrived, call, results)
        loop = asyncio.get_running_loop()
        if fault in BROKEN:
            loop.call_later(self.faults.hang if fault == "hang" else 0, self.break_off, fault)
        elif fault in ERRORS:
            status, code, message = ERRORS[fault]
            self.answer(status, {"message": message}, code)
        elif fault == "500_after":
            self.answer(500, {"message": "Internal failure."}, "InternalServiceErrorException")
        else:
            delay = self.faults.delay or (0.5 if fault == "delay" else 0)
            answer = bulk_answer(results) if bulk else {"MessageId": results[0][4]}
            if delay:
                loop.call_later(delay, self.answer, 200, answer)
            else:
                self.answer(200, answer)

    def break_off(self, fault):
        if fault == "half_answer":
            self.transport.write(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"Mess')
            self.transport.close()
        else:
            self.transport.abort()

    def answer(self, status, body, code=""):
        data = json.dumps(body).encode()
        error = f"x-amzn-ErrorType: {code}\r\n" if code else ""
        head = f"HTTP/1.1 {status} .\r\nContent-Type: application/json\r\n{error}Content-Length: {len(data)}\r\n\r\n"
        if not self.transport.is_closing():
            self.transport.write(head.encode() + data)


def tags_of(tags):
    return {tag["Name"]: tag["Value"] for tag in tags}


def bulk_answer(results):
    """One result an entry, in the order of the entries."""
    return {
        "BulkEmailEntryResults": [
            {"Status": "SUCCESS", "MessageId": message_id}
            if ok
            else {"Status": ENTRY_STATUS.get(fault, "FAILED"), "Error": fault}
            for ok, fault, _tags, _to, message_id in results
        ]
    }


async def serve(path, port):
    ledger, faults = Ledger(path), Faults()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(ledger, faults), "127.0.0.1", port, backlog=1024, reuse_address=True
    )
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
