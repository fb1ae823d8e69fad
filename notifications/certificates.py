"""The certificates that SNS signs with: fetched within bounds, kept for some hours, by their full address.

What makes a certificate trustworthy is where it comes from: the one host of the topic's region, over
verified TLS. Its chain cannot be checked, SNS publishes the leaf only.
https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import ssl
import threading
import time
import urllib.request
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings

from outreach.errors import DomainError

_SECONDS = 3.0
_LARGEST = 64 * 1024  # bytes; the real ones have 2 KB
_LEAST_KEY_SIZE = 2048  # bits; NIST SP 800-131A


class CertificateUnavailable(DomainError):
    """The certificate of SNS could not be fetched: send the message again later."""

    code = "CERTIFICATE_UNAVAILABLE"
    status = 503


class CertificateRefused(DomainError):
    """The certificate is none that SNS signs with."""

    code = "SNS_CERTIFICATE_REFUSED"
    status = 403


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Answers a redirect as the failure that it is: AWS serves certificates where they are."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


class Certificates:
    """Certificates by full address, each fetched once however many requests ask for it at the same time.

    Good ones are kept `keep` seconds, the `most` last used of them; after a failure the address is left
    alone for `rest` seconds. No caller waits longer than three seconds, whatever the host does.
    """

    def __init__(
        self,
        download: Callable[[str], bytes],
        *,
        clock: Callable[[], float] = time.monotonic,
        keep: float = 6 * 3600.0,
        rest: float = 5.0,
        most: int = 32,
        at_once: int = 4,
    ) -> None:
        self._download, self._clock = download, clock
        self._keep, self._rest, self._most, self._at_once = keep, rest, most, at_once
        self._lock = threading.Lock()
        self._good: OrderedDict[str, tuple[x509.Certificate, float]] = OrderedDict()
        self._failed: OrderedDict[str, tuple[Exception, float]] = OrderedDict()
        self._coming: dict[str, Future[x509.Certificate]] = {}

    def get(self, url: str) -> x509.Certificate:
        """The certificate at an address that has been checked. Raises CertificateUnavailable, CertificateRefused."""
        with self._lock:
            if found := self._known(url):
                return found
            coming = self._coming.get(url) or self._start(url)
        try:
            return coming.result(timeout=_SECONDS)
        except CertificateRefused as error:
            raise CertificateRefused(error.detail) from error
        except Exception as error:
            raise CertificateUnavailable from error

    def _known(self, url: str) -> x509.Certificate | None:
        now = self._clock()
        if url in self._failed and self._failed[url][1] > now:
            error = self._failed[url][0]
            raise CertificateRefused(error.detail) if isinstance(error, CertificateRefused) else CertificateUnavailable
        if url in self._good and self._good[url][1] > now:
            self._good.move_to_end(url)
            return self._good[url][0]
        return None

    def _start(self, url: str) -> "Future[x509.Certificate]":
        if len(self._coming) >= self._at_once:
            # Somebody makes up addresses, or the host hangs: either way more threads would not help.
            raise CertificateUnavailable
        future = self._coming[url] = Future()
        # In a thread, because a socket's timeout bounds one read, and no name look-up at all.
        threading.Thread(target=self._fetch, args=(url, future), name="sns-certificate", daemon=True).start()
        return future

    def _fetch(self, url: str, future: "Future[x509.Certificate]") -> None:
        try:
            certificate = parse(self._download(url))
        except Exception as error:
            self._settle(url, self._failed, error, self._rest)
            future.set_exception(error)
        else:
            self._settle(url, self._good, certificate, self._keep)
            future.set_result(certificate)

    def _settle(self, url: str, kept: OrderedDict[str, tuple[Any, float]], what: Any, seconds: float) -> None:
        with self._lock:
            self._coming.pop(url, None)
            kept[url] = (what, self._clock() + seconds)
            kept.move_to_end(url)
            while len(kept) > self._most:
                kept.popitem(last=False)


def parse(pem: bytes) -> x509.Certificate:
    """The certificate in a PEM file; SNS signs with RSA, of 2048 bits or more.

    Raises ValueError when there is none in it, CertificateRefused when its key is of another kind.
    """
    certificate = x509.load_pem_x509_certificate(pem)
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < _LEAST_KEY_SIZE:
        raise CertificateRefused("The certificate's key is not RSA of at least 2048 bits.")
    return certificate


def download(url: str) -> bytes:
    """At most 64 KiB from one https address, without following a redirect. Raises OSError or ValueError.

    HTTPS_PROXY and SSL_CERT_FILE are honoured, as by every client.
    """
    opener = urllib.request.build_opener(_NoRedirects, urllib.request.HTTPSHandler(context=ssl.create_default_context()))
    ends = time.monotonic() + _SECONDS
    with opener.open(_reachable(url), timeout=_SECONDS) as answer:
        body = b""
        while piece := answer.read1(_LARGEST):
            body += piece
            if len(body) > _LARGEST or time.monotonic() > ends:
                raise ValueError("The certificate is too large, or comes too slowly.")
        return body


def _reachable(url: str) -> str:
    """The address itself, or the same file at the SNS endpoint that the environment names.

    `AWS_ENDPOINT_URL_SNS` is boto's word for "SNS is there": a VPC endpoint, or the simulator. In
    production only https is believed.
    """
    endpoint = settings.SNS_ENDPOINT_URL
    if not endpoint.startswith("https://" if settings.PRODUCTION else ("https://", "http://")):
        return url
    return endpoint.rstrip("/") + urlsplit(url).path


kept = Certificates(lambda url: download(url))
