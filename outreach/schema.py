"""What the OpenAPI schema says about credentials."""

from typing import Any

from drf_spectacular.authentication import SessionScheme
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema


class ProxySecretScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself on subclassing
    """`X-Proxy-Secret`."""

    target_class = "outreach.authentication.ProxySecretAuthentication"
    name = "proxySecret"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "apiKey", "in": "header", "name": "X-Proxy-Secret", "description": "Service-to-service access."}


class StaffTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # likewise
    """Our own tokens."""

    target_class = "outreach.authentication.StaffTokenAuthentication"
    name = "staffToken"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "From POST /api/token."}


class OutsideTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # likewise
    """Tokens of an outside identity provider."""

    target_class = "outreach.authentication.OutsideTokenAuthentication"
    name = "outsideToken"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "Of the configured provider."}


class StaffSessionScheme(SessionScheme):  # type: ignore[no-untyped-call]  # likewise
    """A signed-in browser."""

    target_class = "outreach.authentication.StaffSessionAuthentication"
    name = "staffSession"
