"""What each answer of SES means: for this mail, and for the next one.

Five verdicts (`base.Verdict`). Only where it is certain that SES did not take the mail may it go again; where
it is not, the mail is unknown. What the next mail would meet too stops the campaign, with what to do about it.
https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html#API_SendEmail_Errors
https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_BulkEmailEntryResult.html
https://docs.aws.amazon.com/ses/latest/APIReference-V2/CommonErrors.html
"""

from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    EndpointProviderError,
    InvalidRegionError,
    MetadataRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    SSOError,
    TokenRetrievalError,
)

from notifications.transports.base import Outcome, Verdict

_QUOTA = "The daily sending quota of SES is used up. It counts a rolling 24 hours: resume when there is room again."
_PAUSED = "Sending is paused for this account or configuration set in SES: look at its bounces and complaints there."
_SUSPENDED = "AWS has suspended this account's sending: the SES console says why."
_UNVERIFIED = "The sender's domain is not verified in SES: verify it, or its custom MAIL FROM domain."
_SANDBOX = "SES does not accept this sender, or the account is in the sandbox: verify the sender, or ask for production access."
_NO_SET = "SES does not know the configuration set: check SES_CONFIGURATION_SET and SES_REGION."
_NO_TEMPLATE = "SES does not know a template that it was asked to use: check SES_REGION and the account."
_NO_POOL = "The configuration set names a dedicated IP pool that SES does not know: correct the set in SES."
_INVALID = "The AWS credentials are not valid: give the workers working ones."
_EXPIRED = "The AWS credentials have expired: give the workers fresh ones."
_SKEWED = "The AWS credentials are not valid, or this machine's clock is wrong."
_FORBIDDEN = "The AWS credentials may not send: they need ses:SendEmail and ses:SendBulkEmail."
_NOT_FOUND = "No credentials for AWS could be had: give the workers working AWS credentials."
_WRONG_PLACE = "This is not an endpoint of SES: check SES_REGION and the AWS_ENDPOINT_URL variables."
_NO_CLIENT = "No client for SES could be made: check the AWS variables and configuration files of the workers."

# Not accepted, and the next mail would not be either: a person must act. Names of SES v2, of SES v1 (which some
# endpoints still answer with) and of every AWS service.
_HALTING = {
    "SendingPausedException": _PAUSED,
    "AccountSendingPausedException": _PAUSED,
    "ConfigurationSetSendingPausedException": _PAUSED,
    "AccountSuspendedException": _SUSPENDED,
    "MailFromDomainNotVerifiedException": _UNVERIFIED,
    "MailFromDomainNotVerified": _UNVERIFIED,
    "NotFoundException": _NO_SET,
    "ConfigurationSetDoesNotExist": _NO_SET,
    "ConfigurationSetDoesNotExistException": _NO_SET,
    "LimitExceededException": _QUOTA,
    "AccessDenied": _FORBIDDEN,
    "AccessDeniedException": _FORBIDDEN,
    "NotAuthorized": _FORBIDDEN,
    "OptInRequired": "This AWS account is not signed up for SES: open the SES console once.",
    "UnrecognizedClientException": _INVALID,
    "InvalidClientTokenId": _INVALID,
    "InvalidAccessKeyId": _INVALID,
    "MissingAuthenticationToken": _INVALID,
    "MissingAuthenticationTokenException": _INVALID,
    "IncompleteSignature": _INVALID,
    "IncompleteSignatureException": _INVALID,
    "SignatureDoesNotMatch": "The AWS secret key is not valid: give the workers working credentials.",
    "InvalidSignatureException": _SKEWED,
    "RequestExpired": _SKEWED,
    "RequestTimeTooSkewed": _SKEWED,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "UnknownOperationException": _WRONG_PLACE,
}
_THROTTLING = frozenset(
    {"TooManyRequestsException", "ThrottlingException", "Throttling", "ThrottledException", "RequestThrottled"}
    | {"RequestThrottledException", "RequestLimitExceeded", "SlowDown"}
)
# The server gave up before it had the whole request, or says so: it may have had enough of it.
_UNDECIDED = frozenset({"RequestTimeout", "RequestTimeoutException"})
_REQUEST_TIMEOUT = 408  # without a name when a proxy or a load balancer answers: RFC 9110, 15.5.9

# The status of one entry of `SendBulkEmail`, which answers 200 whatever became of its entries.
_ENTRY_HALTING = {
    "MAIL_FROM_DOMAIN_NOT_VERIFIED": _UNVERIFIED,
    "CONFIGURATION_SET_NOT_FOUND": _NO_SET,
    "TEMPLATE_NOT_FOUND": _NO_TEMPLATE,
    "ACCOUNT_SUSPENDED": _SUSPENDED,
    "ACCOUNT_DAILY_QUOTA_EXCEEDED": _QUOTA,
    "INVALID_SENDING_POOL_NAME": _NO_POOL,
    "ACCOUNT_SENDING_PAUSED": _PAUSED,
    "CONFIGURATION_SET_SENDING_PAUSED": _PAUSED,
}
_ENTRY_REFUSED = frozenset({"MESSAGE_REJECTED", "INVALID_PARAMETER", "FAILED"})

# Raised before a byte of the request left this machine.
_NEVER_SENT = (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError)
_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    MetadataRetrievalError,
    NoAuthTokenError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
_NO_ENDPOINT = (EndpointProviderError, InvalidRegionError, NoRegionError)

_AFTER_A_THROTTLE = 1.0  # seconds
_AFTER_TROUBLE = 5.0


class NoClient(Exception):
    """The client could not be built; the cause says why. No call was made."""


def judge(error: ClientError) -> Outcome:
    """What an error answer of SES means for this mail and the next (ses_facts, 4.4)."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    detail = str(error.response.get("Error", {}).get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    said = f"{code}: {detail}"
    if status >= 500 or status == _REQUEST_TIMEOUT or code in _UNDECIDED:
        # SES may have taken the mail before it failed.
        return Outcome(Verdict.UNKNOWN, error=said)
    if reason := _halting_reason(code, detail, status):
        return _halt(reason, said)
    if code in _THROTTLING or status == 429:
        return Outcome(Verdict.WAIT, error=said, retry_after=_AFTER_A_THROTTLE, throttled=True)
    if 400 <= status < 500:
        return Outcome(Verdict.REFUSED, error=said)
    return Outcome(Verdict.UNKNOWN, error=said)


def judge_entry(result: Mapping[str, Any]) -> Outcome:
    """What one of `BulkEmailEntryResults` means for its mail and the next (ses_facts, 4.2).

    `TRANSIENT_FAILURE` is SES' own word that it could not process this entry, so it goes again; a status
    that nobody knows yet says nothing, so the mail is unknown.
    """
    status, detail = str(result.get("Status", "")), str(result.get("Error") or "")
    said = f"{status}: {detail}".removesuffix(": ")
    if status == "SUCCESS":
        return Outcome(Verdict.ACCEPTED, message_id=str(result.get("MessageId") or ""))
    if reason := _ENTRY_HALTING.get(status) or _halting_reason("", detail, 400):
        return _halt(reason, said)
    if status == "ACCOUNT_THROTTLED":
        return Outcome(Verdict.WAIT, error=said, retry_after=_AFTER_A_THROTTLE, throttled=True)
    if status == "TRANSIENT_FAILURE":
        return Outcome(Verdict.WAIT, error=said, retry_after=_AFTER_TROUBLE, about_mail=True)
    return Outcome(Verdict.REFUSED if status in _ENTRY_REFUSED else Verdict.UNKNOWN, error=said or "No status.")


def judge_failure(error: BaseException) -> Outcome:
    """What a call without an answer means: certainly not sent, or unknown."""
    if isinstance(error, NoClient):
        return _judge_no_client(error.__cause__ or error)
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, _NO_CREDENTIALS):
        return Outcome(Verdict.HALT, error=f"{_NOT_FOUND} ({said})")
    if isinstance(error, _NO_ENDPOINT):
        return Outcome(Verdict.HALT, error=f"{_WRONG_PLACE} ({said})")
    if isinstance(error, ParamValidationError):
        return Outcome(Verdict.REFUSED, error=said)
    if isinstance(error, _NEVER_SENT) or _broke_in_handshake(error):
        return Outcome(Verdict.WAIT, error=said, retry_after=_AFTER_TROUBLE, unreached=True)
    return Outcome(Verdict.UNKNOWN, error=said)


def _halt(reason: str, said: str) -> Outcome:
    return Outcome(Verdict.HALT, error=f"{reason} ({said})", about_sender=reason in {_UNVERIFIED, _SANDBOX})


def _judge_no_client(cause: BaseException) -> Outcome:
    """Nothing was sent, nor will the next mail be. Of an endpoint without http:// botocore says no more than ValueError."""
    if (judged := judge_failure(cause)).verdict is Verdict.HALT:
        return judged
    reason = _WRONG_PLACE if isinstance(cause, ValueError) else _NO_CLIENT
    return Outcome(Verdict.HALT, error=f"{reason} ({type(cause).__name__}: {cause})")


def _halting_reason(code: str, detail: str, status: int) -> str:
    """What a person must do before the next mail could fare better, or nothing."""
    words = detail.lower()
    if "daily message quota" in words:
        # Under the code of a rate throttle, and a matter of hours instead of a second.
        return _QUOTA
    if code in {"MessageRejected", ""} and "not verified" in words:
        return _SANDBOX
    if reason := _HALTING.get(code):
        return reason
    if status in {401, 403}:
        return f"AWS refused the credentials. {_INVALID}"
    return _WRONG_PLACE if status in {404, 405} else ""


def _broke_in_handshake(error: BaseException) -> bool:
    """Whether TLS failed before there was a channel for the request; later it may have arrived."""
    return any(name == "do_handshake" for link in _chain(error) for name in _frames(link))


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _frames(error: BaseException) -> Iterator[str]:
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame.f_code.co_name
        trace = trace.tb_next
