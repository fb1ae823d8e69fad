"""What staff type about people: one person's fields, or a file of many."""

import json
from typing import Any

from django import forms
from rest_framework.exceptions import ParseError
from unfold import widgets

from outreach import parsing
from outreach.form_fields import AddressField
from prospects import cleaning
from prospects.models import Prospect, ProspectStatus
from prospects.serializers import ProspectSerializer


class TagsField(forms.CharField):
    """Tags, one a line; a script makes chips of them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3, "data-tags": "", "placeholder": "One tag a line"}),
            **options,
        )

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return value if isinstance(value, list) else list(filter(None, map(str.strip, str(value or "").splitlines())))

    def clean(self, value: Any) -> Any:
        self.run_validators(str(value or ""))
        try:
            return cleaning.tags(self.to_python(value))
        except cleaning.InvalidField as error:
            raise forms.ValidationError(f"{error}.", code="invalid") from error

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(data) != (initial or []))


class AttributesField(forms.CharField):
    """Custom fields as a JSON object."""

    def __init__(self, **options: Any) -> None:
        super().__init__(widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 5, "class": "o-code"}), **options)

    def prepare_value(self, value: Any) -> Any:
        return json.dumps(value, ensure_ascii=False, indent=2) if isinstance(value, dict) else value

    def to_python(self, value: Any) -> Any:
        if isinstance(value, dict) or not str(value or "").strip():
            return value or {}
        try:
            return parsing.loads(str(value).encode("utf-8", "replace"))
        except ParseError as error:
            raise forms.ValidationError(str(error.detail), code="invalid") from error


class ProspectForm(forms.ModelForm[Prospect]):
    """One person, judged by the same rules as in the API."""

    email = AddressField()
    tags = TagsField(required=False, help_text="Campaigns choose their audience by tags.")
    attributes = AttributesField(
        required=False, help_text="A JSON object of plain values. A mail shows one as <code>{{ attributes.KEY }}</code>."
    )
    # Not `status`: that is a generated column, which no form may name.
    new_status = forms.ChoiceField(
        label="Status",
        choices=ProspectStatus.choices,
        widget=widgets.UnfoldAdminSelectWidget,
        help_text="Anything but Active keeps outreach mail away. Active takes a no back: only if the person asked for it.",
        # Somebody may say no while this form is open: what was not changed here must not be written.
        show_hidden_initial=True,
    )

    class Meta:
        model = Prospect
        fields = ("email", "first_name", "last_name", "company", "tags", "attributes", "source")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "new_status" in self.fields:
            self.fields["new_status"].initial = self.instance.status if self.instance.pk else ProspectStatus.ACTIVE

    def clean(self) -> dict[str, Any]:
        """Add what the API's own rules object to; `changes` is what they leave to write."""
        cleaned = super().clean() or self.cleaned_data
        judged = ProspectSerializer(self.instance if self.instance.pk else None, data=cleaned)
        judged.is_valid()
        for name, errors in judged.errors.items():
            if name in self.fields and name not in self.errors:
                self.add_error(name, [str(error) for error in errors])
        self.changes = {name: value for name, value in judged.validated_data.items() if name in self.changed_data}
        if "new_status" in self.changed_data:
            self._take_status(cleaned)
        return cleaned

    def _take_status(self, cleaned: dict[str, Any]) -> None:
        seen = self.data.get(self.add_initial_prefix("new_status"))
        if self.instance.pk and seen != self.instance.status:
            self.add_error("new_status", f"It has meanwhile become {self.instance.status}: look at it again.")
        elif "new_status" in cleaned:
            self.changes["status"] = cleaned["new_status"]


class ImportForm(forms.Form):
    """A file of people."""

    file = forms.FileField(
        label="CSV file",
        widget=widgets.UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.tsv,.txt,text/csv"}),
        help_text="The first row names the columns; one of them is email.",
    )
    # Comes after the file: where it is missing, the upload broke off and the file is a part of itself.
    complete = forms.CharField(
        widget=forms.HiddenInput, error_messages={"required": "The upload broke off: send the file again."}
    )


class EraseForm(forms.Form):
    """Why a person is erased, and that it is meant."""

    address = forms.CharField(
        label="Type the address to confirm",
        max_length=320,
        widget=widgets.UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "autofocus": True}),
    )
    why = forms.CharField(
        label="Why?",
        max_length=1000,
        widget=widgets.UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="Kept for good, with your name and without any address.",
    )

    def __init__(self, *args: Any, email: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.email = email

    def clean_address(self) -> str:
        given = str(self.cleaned_data["address"]).strip()
        if given.lower() != self.email:
            raise forms.ValidationError("This is another address.", code="other")
        return given
