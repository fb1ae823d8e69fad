"""The base of every error that a caller may see."""

from typing import ClassVar


class DomainError(Exception):
    """Something that was asked for cannot be done.

    Subclasses live beside the function that raises them; their docstring is the default message.
    """

    code: ClassVar[str] = "ERROR"
    status: ClassVar[int] = 409
    attr: ClassVar[str | None] = None

    def __init__(self, detail: str = "") -> None:
        self.detail = detail or " ".join((self.__doc__ or "").split())
        super().__init__(self.detail)
