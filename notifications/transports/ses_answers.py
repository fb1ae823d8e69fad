"""What each answer of SES means: for this mail, and for the next one.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html#API_SendEmail_Errors
"""

from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
    SSLError,
)

from notifications.transports.base import Outcome, Verdict

# Not accepted, and the next mail would not be either: configuration, credentials, account.
_HALTING = {
    "SendingPausedException": "Sending is paused for this account or configuration set in SES.",
    "AccountSuspendedException": "AWS has suspended this account's sending.",
    "MailFromDomainNotVerifiedException": "The sender's domain is not verified in SES.",
    "NotFoundException": "SES does not know the configuration set: check SES_CONFIGURATION_SET.",
    "LimitExceededException": "The daily sending quota of SES is used up.",
    "AccessDeniedException": "The AWS credentials may not send: they need ses:SendEmail.",
    "UnrecognizedClientException": "The AWS credentials are not valid.",
    "InvalidClientTokenId": "The AWS credentials are not valid.",
    "InvalidSignatureException": "The AWS credentials are not valid, or this machine's clock is wrong.",
    "SignatureDoesNotMatch": "The AWS secret key is not valid.",
    "ExpiredTokenException": "The AWS credentials have expired.",
    "ExpiredToken": "The AWS credentials have expired.",
    "IncompleteSignature": "The AWS credentials are incomplete.",
}
_THROTTLING = {"TooManyRequestsException", "ThrottlingException", "Throttling"}
_REFUSING = {"MessageRejected", "BadRequestException", "ValidationException", "InvalidParameterValue"}
# Raised before a byte of the request left this machine.
_NEVER_SENT = (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError, SSLError)


def judge(error: ClientError) -> Outcome:
    """What an error answer of SES means for this mail and the next (ses_facts, 4.4)."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    detail = str(error.response.get("Error", {}).get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    said = f"{code}: {detail}"
    if "daily message quota" in detail.lower():
        return Outcome(Verdict.HALT, error=_HALTING["LimitExceededException"])
    if code in _THROTTLING or status == 429:
        return Outcome(Verdict.WAIT, error=said, retry_after=1.0)
    if code in _HALTING:
        return Outcome(Verdict.HALT, error=f"{_HALTING[code]} ({said})")
    if code == "MessageRejected" and "not verified" in detail.lower():
        return Outcome(Verdict.HALT, error=f"SES does not accept this sender, or the account is in the sandbox. ({said})")
    if code in _REFUSING:
        return Outcome(Verdict.REFUSED, error=said)
    if status in {401, 403}:
        return Outcome(Verdict.HALT, error=f"AWS refused the credentials. ({said})")
    if 400 <= status < 500:
        return Outcome(Verdict.REFUSED, error=said)
    # 5xx: SES may have taken the mail before it failed.
    return Outcome(Verdict.UNKNOWN, error=said)


def judge_failure(error: Exception) -> Outcome:
    """What a call without an answer means: certainly not sent, or unknown."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return Outcome(Verdict.HALT, error=f"No AWS credentials were found. ({said})")
    if isinstance(error, ParamValidationError):
        return Outcome(Verdict.REFUSED, error=said)
    if isinstance(error, _NEVER_SENT):
        return Outcome(Verdict.WAIT, error=said, retry_after=5.0)
    return Outcome(Verdict.UNKNOWN, error=said)
