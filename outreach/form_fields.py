"""Form fields that every app's admin uses."""

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextInputWidget

from outreach import addresses


class AddressField(forms.CharField):
    """An address in the one form in which all are kept; the error says what is wrong with it."""

    def __init__(self, **options: Any) -> None:
        widget = UnfoldAdminTextInputWidget(attrs={"inputmode": "email", "autocomplete": "off", "spellcheck": "false"})
        # Trimming is the normal form's business: it refuses invisible spaces instead of dropping them.
        super().__init__(**({"strip": False, "widget": widget, "max_length": 2 * addresses.MAX_LENGTH} | options))

    def clean(self, value: Any) -> str:
        text = super().clean(value)
        try:
            return addresses.normalise(text) if text.strip() else ""
        except addresses.InvalidAddress as error:
            raise forms.ValidationError(f"Not an e-mail address: {error}.", code="invalid") from error
