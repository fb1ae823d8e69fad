"""Stand-ins for AWS: moto for what it has, and an SES whose every call is checked against botocore's model."""

import copy
from contextlib import contextmanager
from functools import cache

import boto3
from botocore.exceptions import ClientError
from botocore.validate import validate_parameters
from moto import mock_aws

from notifications.setup.clients import Aws
from notifications.setup.wishes import Via, Wish

ACCOUNT = "123456789012"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:outreach-ses-events"
BUS = f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default"
QUOTA = {"Max24HourSend": 50_000.0, "MaxSendRate": 14.0, "SentLast24Hours": 10.0}
_MODEL = boto3.session.Session()._session.get_service_model("sesv2")


class Ses:
    """As much of SES v2 as set-up and doctor call; parameters that SES would not know are refused as by boto3."""

    def __init__(self):
        self.identities, self.sets, self.destinations, self.writes = {}, {}, {}, []
        self.account = {
            "SendingEnabled": True,
            "EnforcementStatus": "HEALTHY",
            "ProductionAccessEnabled": True,
            "SendQuota": QUOTA,
        }

    def __getattr__(self, name):
        operation = "".join(word.capitalize() for word in name.split("_"))
        shape = _MODEL.operation_model(operation).input_shape

        def call(**parameters):
            validate_parameters(parameters, shape)
            if not name.startswith("get_"):
                self.writes.append(name)
            return copy.deepcopy(getattr(self, f"_{name}")(**parameters) or {})

        return call

    def _get_account(self):
        return self.account

    def _get_email_identity(self, EmailIdentity):  # noqa: N803 (AWS' names, here and below)
        return self._one(self.identities, EmailIdentity, "GetEmailIdentity")

    def _create_email_identity(self, EmailIdentity, **_options):  # noqa: N803
        dkim = {"SigningEnabled": True, "Status": "PENDING", "Tokens": ["one", "two", "three"]}
        self.identities[EmailIdentity] = {"VerifiedForSendingStatus": False, "DkimAttributes": dkim}
        return self.identities[EmailIdentity]

    def _put_email_identity_dkim_attributes(self, EmailIdentity, SigningEnabled):  # noqa: N803
        self.identities[EmailIdentity]["DkimAttributes"]["SigningEnabled"] = SigningEnabled

    def _put_email_identity_mail_from_attributes(self, EmailIdentity, **attributes):  # noqa: N803
        self.identities[EmailIdentity]["MailFromAttributes"] = attributes | {"MailFromDomainStatus": "PENDING"}

    def _get_configuration_set(self, ConfigurationSetName):  # noqa: N803
        return self._one(self.sets, ConfigurationSetName, "GetConfigurationSet")

    def _create_configuration_set(self, ConfigurationSetName, **options):  # noqa: N803
        self.sets[ConfigurationSetName] = options

    def _put_configuration_set_reputation_options(self, ConfigurationSetName, **options):  # noqa: N803
        self.sets[ConfigurationSetName]["ReputationOptions"] = options

    def _put_configuration_set_suppression_options(self, ConfigurationSetName, **options):  # noqa: N803
        self.sets[ConfigurationSetName]["SuppressionOptions"] = options

    def _get_configuration_set_event_destinations(self, ConfigurationSetName):  # noqa: N803
        self._one(self.sets, ConfigurationSetName, "GetConfigurationSetEventDestinations")
        found = self.destinations.get(ConfigurationSetName, {})
        return {"EventDestinations": [{"Name": name, **one} for name, one in found.items()]}

    def _create_configuration_set_event_destination(self, ConfigurationSetName, EventDestinationName, EventDestination):  # noqa: N803
        self.destinations.setdefault(ConfigurationSetName, {})[EventDestinationName] = EventDestination

    _update_configuration_set_event_destination = _create_configuration_set_event_destination

    def _one(self, things, name, operation):
        if name not in things:
            raise ClientError({"Error": {"Code": "NotFoundException", "Message": f"{name} does not exist."}}, operation)
        return things[name]


@cache
def _client(name):
    """Making one takes longer than a test; moto answers those of an earlier mock as well."""
    session = boto3.session.Session(region_name="us-east-1", aws_access_key_id="made", aws_secret_access_key="up")
    return session.client(name)


class Changeable:
    """A client whose calls a test may replace: what it puts in their place is gone with it."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        return getattr(self._client, name)


@contextmanager
def clients():
    """Clients of made-up services in one made-up account, new for every test."""
    with mock_aws():
        named = {name: Changeable(_client(name)) for name in ("events", "iam", "sns", "sqs", "sts")}
        remember_signature_versions(named["sns"])
        yield Aws(sesv2=Ses(), **named)


def remember_signature_versions(sns):
    """The one attribute of topics that moto forgets."""
    versions, create, put, get = {}, sns.create_topic, sns.set_topic_attributes, sns.get_topic_attributes

    def create_topic(**parameters):
        answer = create(**parameters)
        versions[answer["TopicArn"]] = parameters.get("Attributes", {}).get("SignatureVersion", "1")
        return answer

    def set_topic_attributes(**parameters):
        if parameters["AttributeName"] == "SignatureVersion":
            versions[parameters["TopicArn"]] = parameters["AttributeValue"]
        return put(**parameters)

    def get_topic_attributes(**parameters):
        answer = get(**parameters)
        answer["Attributes"]["SignatureVersion"] = versions[parameters["TopicArn"]]
        return answer

    sns.create_topic, sns.set_topic_attributes, sns.get_topic_attributes = (
        create_topic,
        set_topic_attributes,
        get_topic_attributes,
    )


def wish(**changes):
    """What a site called mail.example.com wants."""
    defaults = {
        "region": "us-east-1",
        "account": ACCOUNT,
        "partition": "aws",
        "domain": "example.com",
        "mail_from": "mail.example.com",
        "configuration_set": "outreach",
        "base_url": "https://mail.example.com",
        "name": "outreach-ses-events",
        "via": Via.EVENTBRIDGE,
        "secret": "made-up-secret",
        "new_secret": False,
        "rate": 50,
        "listed_topics": (TOPIC,),
    }
    return Wish(**defaults | changes)
