"""What the doctor asks AWS: who are we, may we send, as whom, and where do events go."""

from collections.abc import Iterable
from typing import Any

from notifications.setup import ses_steps, sns_steps, steps
from notifications.setup.doctor import Line, Patient, fail, ok, warn
from notifications.setup.wishes import SNS_PATH
from outreach import addresses

_SETUP = "Run manage.py ses_setup."


def mode(patient: Patient) -> Iterable[Line]:
    if patient.mode == "ses":
        yield ok("mode", "EMAIL_MODE=ses: mail goes through SES")
    else:
        yield warn("mode", f"EMAIL_MODE={patient.mode}: nothing leaves, each mail is only logged", "Set EMAIL_MODE=ses.")
    if not patient.wish.region:
        yield fail("region", "SES_REGION is not set", "Set it to the AWS region of SES, e.g. us-east-1.")


def credentials(patient: Patient) -> Iterable[Line]:
    caller = patient.aws.sts.get_caller_identity()
    if patient.account_id and caller["Account"] != patient.account_id:
        fix = "Use the credentials of the account that sends, or correct SES_ACCOUNT_ID."
        yield fail("credentials", f"they are of account {caller['Account']}, SES_ACCOUNT_ID is {patient.account_id}", fix)
    else:
        yield ok("credentials", f"{caller['Arn']} in account {caller['Account']}")


def account(patient: Patient) -> Iterable[Line]:
    """https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetAccount.html"""
    found = patient.aws.sesv2.get_account()
    yield _enforcement(found)
    if found.get("ProductionAccessEnabled"):
        yield ok("sandbox", "the account has production access")
    else:
        fix = "Request production access in the SES console (Account dashboard); until then verify each recipient."
        yield fail("sandbox", "the account is in the sandbox: 200 mails a day, to verified addresses only", fix)
    yield from _quota(found.get("SendQuota", {}), patient.max_send_rate)


def identity(patient: Patient) -> Iterable[Line]:
    """The domain of SES_FROM, a domain above it, or the address itself: any of them lets SES send."""
    names = [*_domains(patient.wish.domain), *([patient.sender] if patient.sender else [])]
    for name in names:
        found = steps.found(lambda name=name: patient.aws.sesv2.get_email_identity(EmailIdentity=name))  # type: ignore[misc]
        if found and found.get("VerifiedForSendingStatus"):
            yield ok("identity", f"{name} is verified")
            yield from _dkim(name, found)
            yield from _mail_from(name, found)
            return
    fix = f"{_SETUP} It creates {patient.wish.domain} and prints the DNS records that verify it."
    yield fail("identity", f"neither {' nor '.join(names)} is verified in {patient.wish.region}", fix)


def configuration_set(patient: Patient) -> Iterable[Line]:
    name = patient.configuration_set
    if not name:
        fix = f"{_SETUP} Then set SES_CONFIGURATION_SET to what it says."
        yield warn("configuration set", "SES_CONFIGURATION_SET is not set: SES publishes no events about our mail", fix)
        return
    found = steps.found(lambda: patient.aws.sesv2.get_configuration_set(ConfigurationSetName=name))
    if found is None:
        yield fail("configuration set", f"{name} does not exist in {patient.wish.region}: SES refuses every mail", _SETUP)
        return
    if not found.get("SendingOptions", {}).get("SendingEnabled", True):
        fix = "Look for the cause in the SES console, then switch sending on again there."
        yield fail("configuration set", f"sending is switched off for {name}", fix)
    yield from _options(name, found)


def event_destinations(patient: Patient) -> Iterable[Line]:
    name = patient.configuration_set
    if not name:
        return
    answer = patient.aws.sesv2.get_configuration_set_event_destinations(ConfigurationSetName=name)
    ours = [one for one in answer.get("EventDestinations", []) if one.get("Enabled") and _is_ours(one, patient)]
    if not ours:
        yield fail(
            "event destination", f"{name} publishes to no EventBridge bus and to no listed topic: no bounce is seen", _SETUP
        )
    for one in ours:
        yield from _destination(one, patient)


def eventbridge(patient: Patient) -> Iterable[Line]:
    """Rule → target → API destination → connection, by the names that ses_setup gives."""
    name, events = patient.wish.name, patient.aws.events
    rule = steps.found(lambda: events.describe_rule(Name=name, EventBusName="default"))
    if rule is None:
        if patient.secrets_set and not patient.topics:
            yield warn(
                "EventBridge", f"there is no rule {name} on the default bus", f"{_SETUP} Made by hand? Say its name: --name."
            )
        return
    if rule.get("State") != "ENABLED":
        yield fail("EventBridge", f"the rule {name} is switched off", f"Run: aws events enable-rule --name {name}")
    targets: Any = events.list_targets_by_rule(Rule=name, EventBusName="default").get("Targets", [])
    if not targets:
        yield fail("EventBridge", f"the rule {name} has no target", _SETUP)
    if any(not one.get("DeadLetterConfig") for one in targets):
        yield warn("EventBridge", "a target has no dead-letter queue: what cannot be delivered for a day is gone", _SETUP)
    yield from _api_destination(patient)


def subscriptions(patient: Patient) -> Iterable[Line]:
    """Every listed topic must have our webhook among its subscriptions, confirmed."""
    for arn in patient.topics:
        pages = patient.aws.sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn)
        ours = [one for page in pages for one in page["Subscriptions"] if one["Endpoint"] == patient.wish.base_url + SNS_PATH]
        pending = [one for one in ours if one["SubscriptionArn"] == sns_steps.PENDING]
        if not ours:
            yield fail(
                "SNS subscription", f"{arn} does not know {patient.wish.base_url}{SNS_PATH}", "Run manage.py ses_setup --via sns."
            )
        elif pending:
            fix = "Is a worker running, may it sns:ConfirmSubscription? Then run manage.py ses_setup --via sns: it asks again."
            yield fail("SNS subscription", f"{arn} waits for its confirmation", fix)
        else:
            yield ok("SNS subscription", f"{arn} posts to {patient.wish.base_url}{SNS_PATH}")


def _enforcement(found: Any) -> Line:
    status = found.get("EnforcementStatus", "")
    if not found.get("SendingEnabled") or status == "SHUTDOWN":
        return fail(
            "account", f"SES does not send for this account ({status or 'paused'})", "Open the SES console: AWS tells there why."
        )
    if status == "PROBATION":
        return warn("account", "AWS has the account under review", "Open the SES console and bring bounces and complaints down.")
    return ok("account", f"SES sends for this account ({status or 'no status'})")


def _quota(quota: Any, rate: float) -> Iterable[Line]:
    most, sent, fastest = (quota.get(key, 0.0) for key in ("Max24HourSend", "SentLast24Hours", "MaxSendRate"))
    more = "Ask AWS for a higher quota (Service Quotas console), or wait: the 24 hours roll."
    if most == -1:
        yield ok("quota", f"no daily limit; {sent:g} sent within 24 hours")
    elif sent >= most:
        yield fail("quota", f"all {most:g} mails of 24 hours are used", more)
    elif sent >= 0.8 * most:
        yield warn("quota", f"{sent:g} of {most:g} mails of 24 hours are used", more)
    else:
        yield ok("quota", f"{sent:g} of {most:g} mails of 24 hours are used")
    if fastest < rate:
        fix = f"Set SES_MAX_SEND_RATE={fastest:g} or less, or ask AWS for a higher rate."
        yield warn("rate", f"SES takes {fastest:g} mails a second, SES_MAX_SEND_RATE is {rate:g}", fix)
    else:
        yield ok("rate", f"SES takes {fastest:g} mails a second, we send {rate:g}")


def _dkim(name: str, found: Any) -> Iterable[Line]:
    attributes = found.get("DkimAttributes", {})
    status = attributes.get("Status", "NOT_STARTED")
    if status == "SUCCESS" and attributes.get("SigningEnabled"):
        yield ok("DKIM", f"SES signs in the name of {name}")
    else:
        words = f"SES does not sign in the name of {name} ({status}): Gmail and Yahoo refuse bulk mail without"
        yield warn("DKIM", words, f"{_SETUP} Then publish the CNAME records that it prints.")


def _mail_from(name: str, found: Any) -> Iterable[Line]:
    attributes = found.get("MailFromAttributes") or {}
    domain, status = attributes.get("MailFromDomain", ""), attributes.get("MailFromDomainStatus", "")
    if domain and status == "SUCCESS":
        yield ok("MAIL FROM", f"{domain}")
    elif domain:
        yield warn(
            "MAIL FROM", f"{domain}: {status}, SES uses its own meanwhile", "Publish its MX and TXT records: manage.py ses_setup."
        )
    else:
        yield warn("MAIL FROM", f"{name} has no domain of its own: SPF does not align, DMARC hangs on DKIM alone", _SETUP)


def _options(name: str, found: Any) -> Iterable[Line]:
    reasons = set(found.get("SuppressionOptions", {}).get("SuppressedReasons", []))
    wrong = [] if found.get("ReputationOptions", {}).get("ReputationMetricsEnabled") else ["reputation metrics are off"]
    wrong += [f"SES does not suppress after a {reason.lower()}" for reason in ses_steps.SUPPRESSED if reason not in reasons]
    if wrong:
        yield warn("configuration set", f"{name}: {', '.join(wrong)}", _SETUP)
    else:
        yield ok("configuration set", f"{name}: reputation metrics, suppression of bounces and complaints")


def _is_ours(destination: Any, patient: Patient) -> bool:
    return bool(
        destination.get("EventBridgeDestination") or destination.get("SnsDestination", {}).get("TopicArn") in patient.topics
    )


def _destination(destination: Any, patient: Patient) -> Iterable[Line]:
    missing = sorted(set(ses_steps.EVENT_TYPES) - set(destination.get("MatchingEventTypes", [])))
    name = destination["Name"]
    if destination.get("EventBridgeDestination") and not patient.secrets_set:
        fix = "Set SES_WEBHOOK_SECRET to the secret of the EventBridge connection."
        yield fail("event destination", f"{name} leads to EventBridge, but SES_WEBHOOK_SECRET is not set", fix)
    if {"BOUNCE", "COMPLAINT"} & set(missing):
        yield fail("event destination", f"{name} leaves out {', '.join(missing)}: people who said no are not noticed", _SETUP)
    elif missing:
        yield warn("event destination", f"{name} leaves out {', '.join(missing)}", _SETUP)
    else:
        yield ok("event destination", f"{name} publishes all {len(ses_steps.EVENT_TYPES)} event types")


def _api_destination(patient: Patient) -> Iterable[Line]:
    name, wanted = patient.wish.name, patient.wish.eventbridge_endpoint
    found = steps.found(lambda: patient.aws.events.describe_api_destination(Name=name))
    if found is None:
        yield warn("EventBridge", f"there is no API destination {name}", _SETUP)
        return
    if found.get("InvocationEndpoint") != wanted:
        yield fail("EventBridge", f"events go to {found.get('InvocationEndpoint')}, this site is {wanted}", _SETUP)
    state = patient.aws.events.describe_connection(Name=found["ConnectionArn"].split("/")[1]).get("ConnectionState")
    if state not in {"AUTHORIZED", "ACTIVE", "UPDATING", "AUTHORIZING"}:
        yield fail("EventBridge", f"the connection is {state}", "Run manage.py ses_setup --new-secret.")
    elif found.get("ApiDestinationState") != "ACTIVE":
        yield fail("EventBridge", f"the API destination is {found.get('ApiDestinationState')}", _SETUP)
    else:
        yield ok("EventBridge", f"rule, target, API destination and connection {name} are in place")


def _domains(domain: str) -> list[str]:
    """A domain and those above it, down to two labels: a verified domain may also send as its subdomains."""
    labels = domain.split(".")
    return [".".join(labels[start:]) for start in range(max(1, len(labels) - 1))] if addresses.is_address(f"x@{domain}") else []
