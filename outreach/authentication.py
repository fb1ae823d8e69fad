"""Who may use the API: staff with a token or a session, a service with the proxy secret, and the
admins of an outside identity provider."""

import hmac
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jwt
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission, DjangoModelPermissions
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer

if TYPE_CHECKING:
    from rest_framework.views import APIView  # it imports this module through its settings

_LONGEST_TOKEN = 8_192


class ServicePrincipal:
    """Somebody who is no row of ours: another service, or an admin whom an outside provider vouches for."""

    is_authenticated = True
    is_anonymous = False
    is_active = True
    is_staff = True
    is_superuser = False
    pk = None

    def __init__(self, name: str) -> None:
        self.name = name[:150]

    def __str__(self) -> str:
        return self.name

    def has_perms(self, _permissions: object, _obj: object = None) -> bool:
        return True

    def has_perm(self, _permission: str, _obj: object = None) -> bool:
        return True


def actor(request: Request) -> str:
    """The name that audits keep: a username, or the service that called."""
    user = request.user
    return user.get_username()[:150] if isinstance(user, AbstractBaseUser) else str(user)[:150]


def is_proxy_secret(given: str) -> bool:
    """Whether this is the configured proxy secret, compared in constant time on bytes."""
    expected = settings.PROXY_SHARED_SECRET.encode()
    return bool(expected) and hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected)


class ProxySecretAuthentication(BaseAuthentication):
    """`X-Proxy-Secret`: service-to-service access."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        given = request.META.get("HTTP_X_PROXY_SECRET")
        if given is None:
            return None
        if not is_proxy_secret(given):
            raise AuthenticationFailed("The proxy secret is wrong, or PROXY_SHARED_SECRET is not set.", code="wrong_proxy_secret")
        return ServicePrincipal("proxy"), "proxy"

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class StaffTokenAuthentication(JWTAuthentication):
    """`Authorization: Bearer` with a token of ours. Staff only; a changed password ends it."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        header = get_authorization_header(request)
        if len(header) > _LONGEST_TOKEN:
            raise InvalidToken("The token is too long.")
        try:
            return super().authenticate(request)
        except InvalidToken:
            if _outside_tokens_accepted():
                return None  # perhaps the outside provider's: the next class judges it
            raise
        except (ValueError, TypeError, OverflowError, RecursionError, UnicodeError) as error:
            raise InvalidToken("The token is not readable.") from error

    def get_user(self, validated_token: Any) -> Any:
        try:
            user = super().get_user(validated_token)
        except (ValueError, TypeError, OverflowError) as error:
            raise InvalidToken("The token names no user.") from error
        if not getattr(user, "is_staff", False):
            raise AuthenticationFailed("This account may not use the API.", code="not_staff")
        return user


class StaffTokenSerializer(TokenObtainPairSerializer):
    """Tokens are for staff; anybody else gets the answer of a wrong password."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = super().validate(attrs)
        if not getattr(self.user, "is_staff", False):
            raise AuthenticationFailed(self.error_messages["no_active_account"], code="no_active_account")
        return answer


class OutsideTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer` with an admin's token of the provider in the API_JWT_ variables."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        words = get_authorization_header(request).split()
        if len(words) != 2 or words[0].lower() != b"bearer" or not _outside_tokens_accepted():
            return None
        try:
            claims = _verified_claims(words[1].decode("ascii"))
        except (jwt.PyJWTError, UnicodeError, ValueError, RecursionError) as error:
            raise AuthenticationFailed("The token is not valid.", code="token_not_valid") from error
        if not _is_admin(claims):
            raise AuthenticationFailed("The token is not an admin's.", code="not_staff")
        return ServicePrincipal(str(claims.get("email") or claims.get("sub") or "outside admin")), claims

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class StaffSessionAuthentication(SessionAuthentication):
    """A signed-in staff member's browser, with CSRF."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        found = super().authenticate(request)
        return found if found and getattr(found[0], "is_staff", False) else None


class ModelPermissions(DjangoModelPermissions):
    """Model permissions, viewing included; a view's own `permission` replaces them for its verb."""

    perms_map = DjangoModelPermissions.perms_map | {
        "GET": ["%(app_label)s.view_%(model_name)s"],
        "HEAD": ["%(app_label)s.view_%(model_name)s"],
    }

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not (request.user.is_authenticated and getattr(request.user, "is_staff", False)):
            return False
        if permission := getattr(view, "permission", None):
            return bool(request.user.has_perm(permission))
        return super().has_permission(request, view)


class ProxyOnly(BasePermission):
    """Only another service, never a person."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return request.auth == "proxy"


def _outside_tokens_accepted() -> bool:
    return bool(settings.API_JWT_JWKS_URL or settings.API_JWT_SECRET)


@lru_cache(maxsize=1)
def _jwks_client(url: str) -> jwt.PyJWKClient:
    return jwt.PyJWKClient(url, timeout=3, lifespan=600)


def _verified_claims(token: str) -> dict[str, Any]:
    """The claims of a token whose signature, issuer, audience and times hold.

    The algorithms are fixed by configuration, never read from the token (RFC 8725, 3.1).
    """
    if settings.API_JWT_JWKS_URL:
        key: Any = _jwks_client(settings.API_JWT_JWKS_URL).get_signing_key_from_jwt(token).key
        algorithms = ["RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA"]
    else:
        key, algorithms = settings.API_JWT_SECRET, ["HS256"]
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=algorithms,
        issuer=settings.API_JWT_ISSUER or None,
        audience=settings.API_JWT_AUDIENCE or None,
        options={"require": ["exp"], "verify_aud": bool(settings.API_JWT_AUDIENCE)},
    )
    return claims


def _is_admin(claims: dict[str, Any]) -> bool:
    """Whether the configured claim marks an admin: `path.to.claim` is true, or `path=value` matches."""
    path, _, wanted = settings.API_JWT_ADMIN_CLAIM.partition("=")
    value: Any = claims
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if not wanted:
        return value is True
    return wanted in value if isinstance(value, list) else value == wanted
