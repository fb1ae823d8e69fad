"""A webhook of tests: keeps what is posted, and answers what it was told to."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Webhook:
    """`posts` are (headers, raw body, status answered) in order; `answers` are (text, status): the next request
    with this text in its body is answered so, every other one 200."""

    def __init__(self):
        self.posts, self.answers = [], []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}/api/webhooks/ses-events"

    def events(self, message_id=None):
        """The events that were taken (answered 200): the envelope's `detail`, or the `Message`."""
        bodies = [json.loads(body) for _headers, body, status in list(self.posts) if status == 200]
        told = [body for body in bodies if "detail" in body or body["Type"] == "Notification"]
        found = [body.get("detail") or json.loads(body["Message"]) for body in told]
        return [event for event in found if message_id in (None, event["mail"]["messageId"])]

    def kinds(self, message_id=None):
        return [event["eventType"] for event in self.events(message_id)]

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def _handler(self):
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = next((one for one in webhook.answers if one[0] in body.decode()), None)
                status = answer[1] if answer else 200
                if answer:
                    webhook.answers.remove(answer)
                webhook.posts.append((dict(self.headers), body, status))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args):
                pass

        return Handler
