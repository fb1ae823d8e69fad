"""The errors of SES v2, as boto3 reads them: a status, `x-amzn-ErrorType`, and a message.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/CommonErrors.html
"""

_STATUS = {
    "TooManyRequestsException": 429,
    "NotFoundException": 404,
    "UnknownOperationException": 404,
    "InternalServiceErrorException": 500,
    "ServiceUnavailableException": 503,
}


class Refusal(Exception):
    """SES does not do what was asked; `entry_status` is the word for it within SendBulkEmail."""

    def __init__(self, code: str, message: str, *, entry_status: str = "INVALID_PARAMETER") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = _STATUS.get(code, 400)
        self.entry_status = entry_status


def bad_request(message: str) -> Refusal:
    """Something about the request itself is wrong."""
    return Refusal("BadRequestException", message)


def throttled() -> Refusal:
    """Too many mails in one second; the words are those of SES."""
    return Refusal("TooManyRequestsException", "Maximum sending rate exceeded.", entry_status="ACCOUNT_THROTTLED")


def quota_exceeded() -> Refusal:
    """No more mail within these 24 hours."""
    return Refusal("LimitExceededException", "Daily message quota exceeded.", entry_status="ACCOUNT_DAILY_QUOTA_EXCEEDED")


def paused() -> Refusal:
    """AWS, or the owner, paused the sending of the whole account."""
    return Refusal("SendingPausedException", "Sending is paused for this account.", entry_status="ACCOUNT_SENDING_PAUSED")


def suspended() -> Refusal:
    """The account may not send any more."""
    return Refusal("AccountSuspendedException", "Account is suspended.", entry_status="ACCOUNT_SUSPENDED")


def unverified(identities: list[str], region: str) -> Refusal:
    """The sender, or in the sandbox the recipient, is none of the account's own."""
    who = ", ".join(identities)
    words = f"Email address is not verified. The following identities failed the check in region {region.upper()}: {who}"
    return Refusal("MessageRejected", words, entry_status="MESSAGE_REJECTED")


def unknown_configuration_set(name: str) -> Refusal:
    """The configuration set does not exist."""
    words = f"Configuration set <{name}> does not exist."
    return Refusal("NotFoundException", words, entry_status="CONFIGURATION_SET_NOT_FOUND")


def unknown_template(name: str) -> Refusal:
    """Stored templates do not exist here: only inline ones do."""
    return Refusal("NotFoundException", f"Template {name} does not exist", entry_status="TEMPLATE_NOT_FOUND")


def broken(status: int) -> Refusal:
    """SES itself is in trouble: 500 or 503."""
    code = "ServiceUnavailableException" if status == 503 else "InternalServiceErrorException"
    return Refusal(code, "We encountered an internal error. Please try again.", entry_status="TRANSIENT_FAILURE")
