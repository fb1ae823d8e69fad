import ipaddress
import ssl
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from notifications import certificates
from notifications.certificates import CertificateRefused, Certificates, CertificateUnavailable
from tests import sns_messages

URL = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-00000000000000000000000000000000.pem"
PEM = sns_messages.certificate()


@pytest.fixture(autouse=True)
def _patience(monkeypatch, request):
    """A machine that stalls is no host that hangs."""
    if "hangs" not in request.node.name and "slow" not in request.node.name:
        monkeypatch.setattr(certificates, "_SECONDS", 60.0)


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self):
        return self.now


class Host:
    """Counts what it is asked, and answers with what a test has set."""

    def __init__(self, answer=PEM):
        self.answer, self.asked = answer, []

    def __call__(self, url):
        self.asked.append(url)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_certificate_is_fetched_once_and_kept_for_hours():
    clock, host = Clock(), Host()
    kept = Certificates(host, clock=clock)

    first = kept.get(URL)
    clock.now = 5 * 3600.0

    assert kept.get(URL) is first
    assert host.asked == [URL]


def test_it_is_fetched_again_when_its_hours_are_over():
    clock, host = Clock(), Host()
    kept = Certificates(host, clock=clock)

    kept.get(URL)
    clock.now = 7 * 3600.0
    kept.get(URL)

    assert len(host.asked) == 2


def test_every_address_has_a_certificate_of_its_own():
    host = Host()
    kept = Certificates(host)

    kept.get(URL)
    kept.get(URL.replace("us-east-1", "us-west-2"))

    assert len(host.asked) == 2


@pytest.mark.parametrize("answer", [OSError("away"), ValueError("too large"), b"<html>", b""])
def test_a_failure_is_forgotten_within_seconds(answer):
    clock, host = Clock(), Host(answer)
    kept = Certificates(host, clock=clock)
    for _ in range(3):
        with pytest.raises(CertificateUnavailable):
            kept.get(URL)
    assert len(host.asked) == 1

    host.answer, clock.now = PEM, 6.0

    assert kept.get(URL)


def test_a_certificate_of_another_kind_is_refused_and_not_kept_long():
    clock, host = Clock(), Host(sns_messages.certificate(sns_messages.elliptic()))
    kept = Certificates(host, clock=clock)
    for _ in range(2):
        with pytest.raises(CertificateRefused):
            kept.get(URL)

    host.answer, clock.now = PEM, 6.0

    assert kept.get(URL)


def test_a_short_key_is_refused():
    with pytest.raises(CertificateRefused):
        certificates.parse(sns_messages.certificate(rsa.generate_private_key(65537, 1024)))  # noqa: S505 (that is the point)


def test_failures_do_not_drive_good_certificates_out():
    host = Host()
    kept = Certificates(host, most=3)
    kept.get(URL)

    host.answer = OSError("not found")
    for number in range(20):
        with pytest.raises(CertificateUnavailable):
            kept.get(URL.replace("0000.pem", f"{number:04}.pem").replace("us-east", "eu-west"))

    assert kept.get(URL)
    assert host.asked.count(URL) == 1


def test_only_so_many_are_kept():
    host = Host()
    kept = Certificates(host, most=2)
    urls = [URL.replace("0000.pem", f"{number:04}.pem") for number in range(3)]

    for url in [*urls, urls[0]]:
        kept.get(url)

    assert host.asked == [*urls, urls[0]]


@contextmanager
def at_once(number, kept, urls):
    """So many requests at the same time; yields their outcomes, complete when the block ends."""
    outcomes = []

    def ask(url):
        try:
            outcomes.append(kept.get(url))
        except CertificateUnavailable as error:
            outcomes.append(error)

    threads = [threading.Thread(target=ask, args=(urls[n % len(urls)],)) for n in range(number)]
    for thread in threads:
        thread.start()
    yield outcomes
    for thread in threads:
        thread.join()


def test_requests_at_the_same_time_share_one_fetch():
    asked, answer = [], threading.Event()

    def host(url):
        asked.append(url)
        answer.wait(30)
        return PEM

    with at_once(20, Certificates(host), [URL]) as outcomes:
        answer.set()

    assert len(asked) == 1
    assert len({id(outcome) for outcome in outcomes}) == 1


def test_a_host_that_hangs_keeps_nobody_waiting_for_long():
    answer = threading.Event()
    kept = Certificates(lambda _url: answer.wait(600) and PEM)
    began = time.monotonic()

    with pytest.raises(CertificateUnavailable):
        kept.get(URL)

    assert 2.5 < time.monotonic() - began < 120
    answer.set()


def test_made_up_addresses_do_not_pile_up_threads():
    answer, asked = threading.Event(), []

    def host(url):
        asked.append(url)
        answer.wait(30)
        raise OSError("not found")

    urls = [URL.replace("0000.pem", f"{number:04}.pem") for number in range(30)]
    with at_once(30, Certificates(host, at_once=4), urls) as outcomes:
        while len(outcomes) < 26:
            time.sleep(0.01)
        answer.set()

    assert len(asked) == 4
    assert all(isinstance(outcome, CertificateUnavailable) for outcome in outcomes)


# --- The download itself, from a TLS server on this machine ------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.paths.append(self.path)
        self.server.answer(self)

    def log_message(self, *_args):
        pass


def plain(status=200, body=PEM, **headers):
    def answer(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def drip(handler):
    handler.send_response(200)
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b"-")
        handler.wfile.flush()
        time.sleep(0.1)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A TLS server whose certificate is trusted through SSL_CERT_FILE, as a company's own would be."""
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    pem = sns_messages.certificate(names=[address])
    key = sns_messages.key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "both.pem").write_bytes(key + pem)
    (tmp_path / "trusted.pem").write_bytes(pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    site = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.daemon_threads, site.block_on_close = True, False
    site.handle_error = lambda *_args: None
    site.socket = context.wrap_socket(site.socket, server_side=True)
    site.answer, site.paths = plain(), []
    site.url = f"https://127.0.0.1:{site.server_port}/SimpleNotificationService-0.pem"
    thread = threading.Thread(target=site.serve_forever, daemon=True)
    thread.start()
    yield site
    site.shutdown()
    site.server_close()


def test_the_file_at_an_address_is_downloaded(server):
    assert certificates.download(server.url) == PEM


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(server, status):
    server.answer = plain(status, b"", Location="/elsewhere")

    with pytest.raises(OSError, match=str(status)):
        certificates.download(server.url)

    assert len(server.paths) == 1


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_error_is_no_certificate(server, status):
    server.answer = plain(status)

    with pytest.raises(OSError, match=str(status)):
        certificates.download(server.url)


@pytest.mark.parametrize("answer", [plain(body=b"x" * 10_000_000), drip], ids=["10 MB", "a byte at a time"])
def test_too_much_or_too_slow_is_given_up(server, answer):
    server.answer = answer
    began = time.monotonic()

    # Where the machine stalls, no byte may come in time.
    with pytest.raises((ValueError, OSError), match=r"too large, or comes too slowly|timed out"):
        certificates.download(server.url)

    assert time.monotonic() - began < 60


def test_a_host_that_nobody_vouches_for_is_not_believed(server, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        certificates.download(server.url)

    assert server.paths == []


def test_a_host_of_another_name_is_not_believed(server):
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        certificates.download(server.url.replace("127.0.0.1", "localhost"))


def test_the_endpoint_that_the_environment_names_is_asked_for_the_same_file(server, settings):
    settings.SNS_ENDPOINT_URL = server.url.rpartition("/")[0]

    certificates.download(URL)

    assert server.paths == ["/SimpleNotificationService-00000000000000000000000000000000.pem"]


def test_a_simulator_on_this_machine_may_serve_certificates_by_http(settings):
    settings.SNS_ENDPOINT_URL = "http://127.0.0.1:4579/"

    assert certificates._reachable(URL) == f"http://127.0.0.1:4579/{URL.rpartition('/')[2]}"


def test_production_believes_an_endpoint_by_https_only(settings):
    settings.SNS_ENDPOINT_URL, settings.PRODUCTION = "http://127.0.0.1:4579", True

    assert certificates._reachable(URL) == URL
