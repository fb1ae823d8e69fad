"""A stand-in for SES on loopback: takes `SendEmail` and `SendBulkEmail`, keeps every request, answers message ids."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Sink:
    """`requests` holds the accepted bodies in order; `answer` may return (status, error code, message) to refuse one.

    A bulk call's entries lie in `requests` one by one; `answer_entry` may return (status, error) for one. `account`
    is what GetAccount says.
    """

    def __init__(self):
        self.requests = []
        self.bulk_calls = []
        self.answer = lambda _body: None
        self.answer_entry = lambda _entry: None
        self.account = {"SendingEnabled": True, "ProductionAccessEnabled": True}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def environment(self):
        """The variables with which boto3 finds this instead of AWS."""
        return {
            "AWS_ENDPOINT_URL_SESV2": f"http://127.0.0.1:{self._server.server_port}",
            "AWS_ACCESS_KEY_ID": "made-up",
            "AWS_SECRET_ACCESS_KEY": "made-up",
        }

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def _accept(self, body):
        with self._lock:
            self.requests.append(body)
            return f"0102-{len(self.requests)}"

    def _accept_bulk(self, body):
        with self._lock:
            self.bulk_calls.append(body)
        return {"BulkEmailEntryResults": [self._judge(entry) for entry in body["BulkEmailEntries"]]}

    def _judge(self, entry):
        if refusal := self.answer_entry(entry):
            return dict(zip(("Status", "Error"), refusal, strict=True))
        return {"Status": "SUCCESS", "MessageId": self._accept(entry)}

    def _handler(self):
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # One packet an answer: two would wait 40 ms for each other (Nagle and delayed ACK).
            wbufsize = 65_536
            disable_nagle_algorithm = True

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if refusal := sink.answer(body):
                    status, code, message = refusal
                    self._reply(status, {"message": message}, {"x-amzn-ErrorType": code})
                elif "BulkEmailEntries" in body:
                    self._reply(200, sink._accept_bulk(body))
                else:
                    self._reply(200, {"MessageId": sink._accept(body)})

            def do_GET(self):
                self._reply(200, sink.account)

            def _reply(self, status, body, headers=None):
                data = json.dumps(body).encode()
                self.send_response(status)
                for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_args):
                pass

        return Handler


def tags_of(request):
    """The message tags of a request."""
    return {tag["Name"]: tag["Value"] for tag in request["EmailTags"]}


def headers_of(request):
    """The custom headers of a request."""
    return {header["Name"]: header["Value"] for header in request["Content"]["Simple"]["Headers"]}
