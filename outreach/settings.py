"""All settings, in reading order: environment, guards, Django, API, Celery, mail, logging.

Every variable is described in `.env.example`. A missing or malformed value stops the process with
one line, whichever process it is.
"""

import hashlib
import logging
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import django_stubs_ext

from outreach import api_settings, beat_schedule, connections, redacting
from outreach.addresses import is_address, normalise, normalise_pattern
from outreach.connections import is_loopback
from outreach.environment import Environment
from outreach.logging import logging_config
from outreach.topics import is_topic_arn

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment(Path(os.environ.get("ENV_FILE") or BASE_DIR / ".env"))

# --- The environment ---------------------------------------------------------------------------

ENV = env.choice("ENV", ("development", "production"), "development")
PRODUCTION = ENV == "production"

SECRET_KEY = env.text("SECRET_KEY") or ("" if PRODUCTION else "development-only-key-that-production-refuses-to-start-with")
ALLOWED_HOSTS = env.items("ALLOWED_HOSTS") or ([] if PRODUCTION else ["*"])
PUBLIC_BASE_URL = env.origin("PUBLIC_BASE_URL", "http://127.0.0.1:8000")
TRUSTED_PROXY_COUNT = env.whole("TRUSTED_PROXY_COUNT", 0, least=0, most=10)

EMAIL_MODE = env.choice("EMAIL_MODE", ("log", "ses"), "log")
SES_REGION = env.first("SES_REGION", "AWS_REGION")
# Nothing leaves in log mode, so a first campaign needs no sender of its own.
_made_up_sender = "" if PRODUCTION or EMAIL_MODE == "ses" else "outreach@example.com"
SES_FROM = env.first("SES_FROM", "SES_FROM_EMAIL") or _made_up_sender
SES_CONFIGURATION_SET = env.text("SES_CONFIGURATION_SET")
EMAIL_ALLOWED_RECIPIENTS = env.each(
    "EMAIL_ALLOWED_RECIPIENTS", normalise_pattern, "addresses and @domains, e.g. ada@example.com,@example.org"
)
EMAIL_CONTENT_DAYS = env.whole("EMAIL_CONTENT_DAYS", 0, least=0, most=3650)
TRANSACTIONAL_GIVE_UP_HOURS = env.whole("TRANSACTIONAL_GIVE_UP_HOURS", 24, least=1, most=720)
ADMIN_ADDRESSES = env.each("ADMINS", normalise, "plain addresses, e.g. ada@example.com,ops@example.com")
SES_WEBHOOK_SECRETS = env.items("SES_WEBHOOK_SECRET")
SES_SNS_TOPIC_ARNS = env.items("SES_SNS_TOPIC_ARNS")
SES_SNS_LEAST_SIGNATURE_VERSION = env.whole("SES_SNS_LEAST_SIGNATURE_VERSION", 1, least=1, most=2)
SES_ACCOUNT_ID = env.text("SES_ACCOUNT_ID")
for _service in ("", "_SESV2", "_SNS", "_EVENTBRIDGE", "_IAM", "_SQS", "_STS"):
    env.endpoint(f"AWS_ENDPOINT_URL{_service}")
# boto3's own words, for the one file of SNS that boto3 does not fetch: its signing certificate.
SNS_ENDPOINT_URL = env.first("AWS_ENDPOINT_URL_SNS", "AWS_ENDPOINT_URL")
# boto3's own variables; a simulator stands on this machine, SES never does.
SES_IS_SIMULATED = EMAIL_MODE == "ses" and is_loopback(env.first("AWS_ENDPOINT_URL_SESV2", "AWS_ENDPOINT_URL"))
SES_MAX_SEND_RATE = env.number("SES_MAX_SEND_RATE", 5.0, least=0.01, most=100_000)
TRANSACTIONAL_SHARE = env.number("TRANSACTIONAL_SHARE", 0.05, least=0.0, most=0.9)
CAMPAIGN_CHUNK_SIZE = env.whole("CAMPAIGN_CHUNK_SIZE", 1000, least=1, most=100_000)
CAMPAIGN_DAILY_LIMIT = env.optional_whole("CAMPAIGN_DAILY_LIMIT", least=1, most=1_000_000_000)
CAMPAIGN_PAUSE_SAME_ERRORS = env.whole("CAMPAIGN_PAUSE_SAME_ERRORS", 20, least=2, most=10_000)
CAMPAIGN_PAUSE_UNREACHED = env.whole("CAMPAIGN_PAUSE_UNREACHED", 10, least=1, most=10_000)
CAMPAIGN_PAUSE_UNANSWERED = env.whole("CAMPAIGN_PAUSE_UNANSWERED", 5, least=0, most=1_000_000)
CAMPAIGN_PAUSE_UNANSWERED_RATE = env.number("CAMPAIGN_PAUSE_UNANSWERED_RATE", 0.01, least=0.0001, most=1)
CAMPAIGN_PAUSE_BOUNCE_RATE = env.number("CAMPAIGN_PAUSE_BOUNCE_RATE", 0.05, least=0.001, most=1)
CAMPAIGN_PAUSE_COMPLAINT_RATE = env.number("CAMPAIGN_PAUSE_COMPLAINT_RATE", 0.001, least=0.0001, most=1)
CAMPAIGN_PAUSE_RATES_FROM = env.whole("CAMPAIGN_PAUSE_RATES_FROM", 500, least=1, most=1_000_000)
SOFT_BOUNCE_LIMIT = env.whole("SOFT_BOUNCE_LIMIT", 5, least=0, most=1000)
EVENT_RETENTION_DAYS = env.whole("EVENT_RETENTION_DAYS", 90, least=0, most=36_500)
EVENT_STRANGER_RETENTION_DAYS = env.whole("EVENT_STRANGER_RETENTION_DAYS", 14, least=0, most=36_500)
EVENT_GAP_HOURS = env.whole("EVENT_GAP_HOURS", 24, least=1, most=8760)
POSTAL_ADDRESS = env.text("POSTAL_ADDRESS")
SUPPRESSION_KEEP = env.choice("SUPPRESSION_KEEP", ("address", "hash"), "address")
# What erased addresses are hashed with: it must outlive SECRET_KEY, or they would not be known again.
ERASURE_KEY = env.text("ERASURE_KEY") or SECRET_KEY
IMPORT_INLINE_LIMIT = env.whole("IMPORT_INLINE_LIMIT", 5_000_000, least=1, most=100_000_000)
IMPORT_MAX_BYTES = env.whole("IMPORT_MAX_BYTES", 1_000_000_000, least=1, most=10_000_000_000)
IMPORT_DIRECTORY = Path(env.text("IMPORT_DIRECTORY") or BASE_DIR / ".local" / "imports")
UNSUBSCRIBE_SPOOL = Path(env.text("UNSUBSCRIBE_SPOOL") or BASE_DIR / ".local" / "unsubscribes")
UNSUBSCRIBE_SPOOL_MAX_BYTES = env.whole("UNSUBSCRIBE_SPOOL_MAX_BYTES", 100_000_000, least=1_000, most=100_000_000_000)

PROXY_SHARED_SECRET = env.text("PROXY_SHARED_SECRET")
METRICS_ALLOWED_ADDRESSES = env.networks("METRICS_ALLOWED_ADDRESSES")
PROMETHEUS_MULTIPROC_DIR = env.text("PROMETHEUS_MULTIPROC_DIR")
if not PROMETHEUS_MULTIPROC_DIR:
    # prometheus-client would take an empty name for the working directory.
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
METRICS_PORT = env.optional_whole("METRICS_PORT", least=1, most=65535)
API_JWT_JWKS_URL = env.url("API_JWT_JWKS_URL", "", ("https", "http"))
API_JWT_SECRET = env.text("API_JWT_SECRET")
API_JWT_ISSUER = env.text("API_JWT_ISSUER")
API_JWT_AUDIENCE = env.text("API_JWT_AUDIENCE")
API_JWT_ADMIN_CLAIM = env.text("API_JWT_ADMIN_CLAIM")

_local_data = BASE_DIR / ".local"
_local_database, _local_redis = connections.local_database_url(_local_data), connections.local_redis_url(_local_data)
DATABASE_URL = env.url("DATABASE_URL", "" if PRODUCTION else _local_database, ("postgres", "postgresql"))
REDIS_URL = env.url("REDIS_URL", "" if PRODUCTION else _local_redis, ("redis", "rediss", "unix"))

# --- Guards: a process that would send wrongly does not start -------------------------------------

if PRODUCTION:
    env.require("SECRET_KEY", SECRET_KEY, "set it to at least 50 random characters")
    if 0 < len(SECRET_KEY) < 50 or SECRET_KEY.startswith("development-only"):
        env.refuse("SECRET_KEY", "is too weak", "set it to at least 50 random characters")
    env.require("ALLOWED_HOSTS", ALLOWED_HOSTS, "set it to the host names that serve this site, comma-separated")
    if "*" in ALLOWED_HOSTS:
        env.refuse("ALLOWED_HOSTS", "allows every host", "set it to the host names that serve this site")
    env.require("PUBLIC_BASE_URL", env.text("PUBLIC_BASE_URL"), "set it to the https origin of unsubscribe links")
    if not PUBLIC_BASE_URL.startswith("https://") and env.text("PUBLIC_BASE_URL"):
        env.refuse("PUBLIC_BASE_URL", "is not https", "mailbox providers only accept https unsubscribe links (RFC 8058)")
    env.require("EMAIL_MODE", env.text("EMAIL_MODE"), "say log (nothing leaves) or ses (mail is sent)")
    env.require("PROXY_SHARED_SECRET", PROXY_SHARED_SECRET, "set it to at least 32 random characters")
    if 0 < len(PROXY_SHARED_SECRET) < 32:
        env.refuse("PROXY_SHARED_SECRET", "is too short", "set it to at least 32 random characters")
    if not (SES_WEBHOOK_SECRETS or SES_SNS_TOPIC_ARNS):
        env.refuse("SES_WEBHOOK_SECRET", "is not set", "set it, or SES_SNS_TOPIC_ARNS: without events bounces are never seen")
    if EMAIL_ALLOWED_RECIPIENTS:
        # Ignoring it would mail everybody against somebody's wish; heeding it would silently mail nobody.
        env.refuse("EMAIL_ALLOWED_RECIPIENTS", "is for rehearsals", "remove it, or do not say ENV=production")
    env.require("DATABASE_URL", DATABASE_URL, "set it to postgres://USER:PASSWORD@HOST:5432/NAME")
    env.require("REDIS_URL", REDIS_URL, "set it to redis://HOST:6379/0")
if PRODUCTION or EMAIL_MODE == "ses":
    env.require("SES_REGION", SES_REGION, "set it to the AWS region of SES, e.g. us-east-1")
    env.require("SES_FROM", SES_FROM, "set it to a verified sender address, e.g. hello@example.com")
if (API_JWT_JWKS_URL or API_JWT_SECRET) and not API_JWT_ADMIN_CLAIM:
    env.refuse("API_JWT_ADMIN_CLAIM", "is not set", "name the claim that marks an admin, e.g. app_metadata.role=admin")
if API_JWT_SECRET and len(API_JWT_SECRET) < 32:
    env.refuse("API_JWT_SECRET", "is too short", "HS256 needs at least 32 characters (RFC 7518, 3.2)")
if any(":" in secret for secret in SES_WEBHOOK_SECRETS):
    # EventBridge connections refuse colons in an API key value, so such a secret could never arrive.
    env.refuse("SES_WEBHOOK_SECRET", "holds a colon", "EventBridge cannot send one: choose letters, digits, - and _")
if SES_FROM and not is_address(SES_FROM):
    env.refuse(
        env.spelling("SES_FROM", "SES_FROM_EMAIL"), f"is {SES_FROM!r}", "set it to one plain address, e.g. hello@example.com"
    )
if not re.fullmatch(r"([a-z]{2,5}(-[a-z]+)+-\d{1,2})?", SES_REGION):
    env.refuse(env.spelling("SES_REGION", "AWS_REGION"), f"is {SES_REGION!r}", "set it to an AWS region, e.g. us-east-1")
if not re.fullmatch(r"[A-Za-z0-9_-]{0,64}", SES_CONFIGURATION_SET):
    env.refuse("SES_CONFIGURATION_SET", f"is {SES_CONFIGURATION_SET!r}", "set it to a name of letters, digits, - and _")
if any(mark in host for host in ALLOWED_HOSTS for mark in "/ @"):
    env.refuse("ALLOWED_HOSTS", "holds more than host names", "list names without scheme or path, e.g. mail.example.com")
if not env.problems and DATABASE_URL and not connections.database_settings(DATABASE_URL)["NAME"]:
    env.refuse("DATABASE_URL", "names no database", "set it to postgres://USER:PASSWORD@HOST:5432/NAME")
if not all(is_topic_arn(arn) for arn in SES_SNS_TOPIC_ARNS):
    env.refuse("SES_SNS_TOPIC_ARNS", "is not understood", "list exact topic ARNs, e.g. arn:aws:sns:us-east-1:123456789012:ses")
if SES_ACCOUNT_ID and not (SES_ACCOUNT_ID.isascii() and SES_ACCOUNT_ID.isdecimal() and len(SES_ACCOUNT_ID) == 12):
    env.refuse("SES_ACCOUNT_ID", f"is {SES_ACCOUNT_ID!r}", "set it to the 12 digits of the AWS account that sends")
env.stop_if_wrong()

# --- Django ------------------------------------------------------------------------------------------

DEBUG = False
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
# What the unsubscribe page speaks; the admin and the API are English. Another one: docs/translations.md.
LANGUAGES = [("en", "English"), ("de", "Deutsch"), ("fr", "Français"), ("es", "Español")]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = "outreach.formats"
ROOT_URLCONF = "outreach.urls"
WSGI_APPLICATION = "outreach.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = False  # a redirect would lose a webhook's body for good

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "outreach.admin_site.OutreachAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "drf_standardized_errors",
    "django_structlog",
    "outreach",
    "notifications",
    "prospects",
    "campaigns",
]

MIDDLEWARE = [
    "outreach.middleware.spare_bodies",
    "outreach.probing.answer_probes",
    # Before whoever reads a body.
    "outreach.unmeasured.measure_bodies",
    "outreach.webhooks.answer_webhooks",
    # Early, so that every line of a request carries its id, also those about a refused host.
    "django_structlog.middlewares.RequestMiddleware",
    "outreach.middleware.refuse_nul",
    "outreach.middleware.forget_cookies",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "outreach.middleware.strip_trailing_slash",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "outreach.middleware.protect_admin",
    "outreach.answers.answer_outages",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# Mail that developers write: NAME/{subject.txt,body.html,body.txt}, see docs/api.md.
EMAIL_TEMPLATES = BASE_DIR / "templates" / "emails"

DATABASES: dict[str, Any] = {"default": connections.database_settings(DATABASE_URL)}
# A worker that hangs on a lock would hold its lease past its end: every statement is bounded.
DATABASES["default"]["OPTIONS"] = DATABASES["default"].get("OPTIONS", {}) | {
    "application_name": "outreach",
    "connect_timeout": 3,  # seconds; EventBridge gives a webhook five
    "options": "-c statement_timeout=60s -c lock_timeout=20s",
}
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"]["CONN_MAX_AGE"] = 60

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 2},
        "KEY_PREFIX": "outreach",
    }
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = not PRODUCTION
DATA_UPLOAD_MAX_MEMORY_SIZE = 10_000_000
FILE_UPLOAD_MAX_MEMORY_SIZE = 1_000_000

SESSION_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
if PRODUCTION:
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    CSRF_TRUSTED_ORIGINS = [PUBLIC_BASE_URL]
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SECURE_SSL_REDIRECT = True
    # A redirected POST loses its body: health checks, webhooks and one-click posts answer where they are.
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$", r"^api/webhooks/", r"^v1/", r"^api/unsubscribe"]
    if TRUSTED_PROXY_COUNT:
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- The API --------------------------------------------------------------------------------------------

REST_FRAMEWORK = api_settings.REST_FRAMEWORK
DRF_STANDARDIZED_ERRORS = api_settings.DRF_STANDARDIZED_ERRORS
SPECTACULAR_SETTINGS = api_settings.SPECTACULAR_SETTINGS
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=1),
    "ALGORITHM": "HS256",
    # A key of its own: whoever learns how to sign tokens must not be able to sign sessions.
    "SIGNING_KEY": hashlib.sha256(f"api-tokens:{SECRET_KEY}".encode()).hexdigest(),
    "CHECK_REVOKE_TOKEN": True,
    "UPDATE_LAST_LOGIN": False,
    "TOKEN_OBTAIN_SERIALIZER": "outreach.authentication.StaffTokenSerializer",
}

# --- Celery: a clock and hands; the database is the queue -----------------------------------------------

CELERY_BROKER_URL = env.text("CELERY_BROKER_URL") or connections.broker_url(REDIS_URL)
CELERY_TASK_IGNORE_RESULT = True
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "campaigns.tasks.send_chunk": {"queue": "campaigns"},
    # Woken after every request that brings events: they keep nobody waiting but each other.
    "notifications.tasks.apply_events": {"queue": "events"},
    # What mends everything else is short, and read by the workers of transactional mail too: no chunk holds it up.
    "campaigns.tasks.wake_silent_campaigns": {"queue": "sweeps"},
    "campaigns.tasks.protect_campaigns": {"queue": "sweeps"},
    "notifications.tasks.sweep_outbox": {"queue": "sweeps"},
    # Workers of its own consume it (Procfile): it never waits behind a chunk.
    "notifications.tasks.send_transactional": {"queue": "transactional"},
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = connections.broker_options(CELERY_BROKER_URL)
CELERY_BROKER_CONNECTION_TIMEOUT = 2.0  # seconds
CELERY_TASK_PUBLISH_RETRY = False
_QUEUES = {CELERY_TASK_DEFAULT_QUEUE, *(route["queue"] for route in CELERY_TASK_ROUTES.values())}
CELERY_BEAT_SCHEDULE = beat_schedule.schedule(queues=_QUEUES, through_ses=EMAIL_MODE == "ses")

# --- The admin --------------------------------------------------------------------------------------------

UNFOLD = {
    "SITE_TITLE": "Outreach",
    "SITE_HEADER": "Outreach",
    "SITE_ICON": "outreach.staff_menu.icon",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "outreach.staff_menu.icon"}],
    "SITE_URL": None,
    "ENVIRONMENT": "outreach.dashboard.environment",
    "DASHBOARD_CALLBACK": "outreach.dashboard.fill",
    "STYLES": ["outreach.staff_menu.styles"],
    "SCRIPTS": ["outreach.staff_menu.script"],
    "SIDEBAR": {"navigation": "outreach.staff_menu.navigation"},
    "COLORS": {"primary": "outreach.staff_menu.primary_colours"},
    "BORDER_RADIUS": "8px",
}

# --- Django's own mail: password resets, errors. Through the same outbox as everything else ------------------

EMAIL_BACKEND = "notifications.backend.EmailBackend"
DEFAULT_FROM_EMAIL = SERVER_EMAIL = SES_FROM
ADMINS = [(address, address) for address in ADMIN_ADDRESSES]
EMAIL_SUBJECT_PREFIX = "[Outreach] "
PASSWORD_RESET_TIMEOUT = 3600  # seconds; the link signs a member of staff in

# --- Logging: one JSON object a line on standard output; readable in a terminal -----------------------------

LOGGING = logging_config(level=env.choice("LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), "INFO"))
LOG_PII = env.choice("LOG_PII", ("plain", "hash"), "plain")
# Of our own making in `outreach.tracing`: the library's ip is a header's claim, its user id a query.
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False
DJANGO_STRUCTLOG_USER_ID_FIELD = ""
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = logging.DEBUG
redacting.know_secrets(
    *(SECRET_KEY, PROXY_SHARED_SECRET, API_JWT_SECRET, *SES_WEBHOOK_SECRETS),
    *(os.environ.get(name, "") for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")),
    urls=(DATABASE_URL, REDIS_URL, CELERY_BROKER_URL),
)
redacting.hash_people(hashlib.sha256(f"log-pii:{SECRET_KEY}".encode()).digest() if LOG_PII == "hash" else b"")
env.stop_if_wrong()
