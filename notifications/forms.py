"""What staff type about addresses that must not be written to."""

from django import forms
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from notifications.models import Suppression, SuppressionReason
from outreach.form_fields import AddressField


class SuppressionForm(forms.ModelForm[Suppression]):
    """An address that must not get any mail of ours, and why."""

    email = AddressField(label="Address")
    note = forms.CharField(
        required=False, max_length=1000, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}), help_text="For your colleagues."
    )

    class Meta:
        model = Suppression
        fields = ("email", "note")

    def validate_unique(self) -> None:
        """Whoever only unsubscribed may be listed for all mail; a stronger reason stays."""
        listed = Suppression.objects.filter(email=self.instance.email).exclude(reason=SuppressionReason.UNSUBSCRIBE).first()
        if listed:
            self.add_error("email", f"It is on the list already: {listed.get_reason_display().lower()}.")


class LiftForm(forms.Form):
    """Why an address may be written to again."""

    why = forms.CharField(
        label="Why may it be written to again?",
        max_length=1000,
        widget=UnfoldAdminTextInputWidget(attrs={"autofocus": True, "autocomplete": "off"}),
        help_text="Kept for good, with your name.",
    )


class SuppressionFileForm(forms.Form):
    """A file of addresses that must not be written to."""

    file = forms.FileField(
        label="CSV file",
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.tsv,.txt,text/csv"}),
        help_text="The first row names the columns; one of them is email.",
    )
    # Comes after the file: where it is missing, the upload broke off and the file is a part of itself.
    complete = forms.CharField(
        widget=forms.HiddenInput, error_messages={"required": "The upload broke off: send the file again."}
    )
