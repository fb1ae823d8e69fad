"""What staff type about campaigns: the words and the audience, whom to preview as, where a test goes."""

from typing import Any

from django import forms
from unfold import widgets

from campaigns.models import Campaign
from campaigns.serializers import CampaignSerializer
from outreach.form_fields import AddressField
from prospects.forms import TagsField
from prospects.models import Prospect

_PLACEHOLDERS = (
    "Placeholders: <code>{{ first_name }}</code> <code>{{ last_name }}</code> <code>{{ company }}</code> "
    "<code>{{ email }}</code> <code>{{ attributes.KEY }}</code> <code>{{ unsubscribe_url }}</code>. "
    "A body without an unsubscribe link gets the standard footer."
)


class WordsField(forms.CharField):
    """Many lines, kept as they were written; browsers end theirs with CRLF."""

    def __init__(self, *, rows: int = 10, **options: Any) -> None:
        attrs = {"rows": rows, "class": "o-code", "spellcheck": "true"}
        super().__init__(strip=False, widget=widgets.UnfoldAdminTextareaWidget(attrs=attrs), **options)

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value) or "").replace("\r\n", "\n")


class CampaignForm(forms.ModelForm[Campaign]):
    """A campaign's words, sender and audience, judged by the same rules as in the API."""

    body_html = WordsField(rows=18, required=False, label="HTML body", help_text=_PLACEHOLDERS)
    body_text = WordsField(required=False, label="Text body", help_text="Made from the HTML when empty.")
    from_email = AddressField(required=False, help_text="The configured sender when empty.")
    reply_to = AddressField(required=False, help_text="Where answers go; the sender when empty.")
    include_tags = TagsField(
        required=False, label="Only people tagged", help_text="Any of these tags. Empty: every active prospect."
    )
    exclude_tags = TagsField(required=False, label="Except people tagged", help_text="Any of these tags.")

    class Meta:
        model = Campaign
        fields = ("name", "subject", "body_html", "body_text", "from_name", "from_email", "reply_to")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("include_tags", "exclude_tags"):
            self.fields[name].initial = self.instance.audience.get(name, [])

    def clean(self) -> dict[str, Any]:
        """Add what the API's own rules object to; `changes` is what they leave to write."""
        cleaned = super().clean() or self.cleaned_data
        audience = {name: cleaned.get(name, []) for name in ("include_tags", "exclude_tags")}
        judged = CampaignSerializer(self.instance if self.instance.pk else None, data=cleaned | {"audience": audience})
        judged.is_valid()
        for name, errors in judged.errors.items():
            if name in self.fields and name not in self.errors:
                self.add_error(name, [str(error) for error in errors])
        self.changes = {name: value for name, value in judged.validated_data.items() if name in self.changed_data}
        if not set(audience).isdisjoint(self.changed_data):
            self.changes["audience"] = audience
        return cleaned


class PersonForm(forms.Form):
    """Whose mail to look at; nobody's is made up."""

    prospect = AddressField(required=False, label="As this prospect gets it")

    def clean_prospect(self) -> Prospect | None:
        address = self.cleaned_data["prospect"]
        found = Prospect.objects.filter(email=address).first() if address else None
        if address and not found:
            raise forms.ValidationError("There is no prospect with this address.", code="unknown")
        return found


class TestForm(PersonForm):
    """Where a test mail goes, and as whose."""

    __test__ = False  # not a test, whatever pytest thinks of its name
    to = AddressField(label="Send a test to")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["prospect"].widget = forms.HiddenInput()


class DecisionForm(forms.Form):
    """Which unknown sends a decision is about, and why."""

    sends = forms.CharField(widget=forms.HiddenInput())
    why = forms.CharField(
        label="Why?",
        max_length=1000,
        widget=widgets.UnfoldAdminTextInputWidget(attrs={"autofocus": True, "autocomplete": "off"}),
        help_text="Kept for good, with your name.",
    )

    def chosen(self) -> list[int]:
        """The ids of the sends; whatever is no number is left out."""
        return self.numbers(self.data.get("sends", ""))

    @staticmethod
    def numbers(text: str) -> list[int]:
        """The ids in a list with commas."""
        return [int(word) for word in text.split(",") if word.isascii() and word.isdecimal() and len(word) < 19]
