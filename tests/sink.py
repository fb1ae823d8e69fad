"""A stand-in for SES on loopback: takes `SendEmail`, keeps every request, answers a message id."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Sink:
    """`requests` holds the accepted bodies in order; `answer` may return (status, error code, message) to refuse one."""

    def __init__(self):
        self.requests = []
        self.answer = lambda _body: None
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
                else:
                    self._reply(200, {"MessageId": sink._accept(body)})

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
