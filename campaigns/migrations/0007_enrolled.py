from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("campaigns", "0006_audience_edits")]

    operations = [
        # Null first: how many rows a campaign that has begun should have is not known any more.
        migrations.AddField("campaign", "enrolled", models.BigIntegerField(null=True, blank=True, editable=False)),
        migrations.AlterField("campaign", "enrolled", models.BigIntegerField(null=True, blank=True, default=0, editable=False)),
    ]
