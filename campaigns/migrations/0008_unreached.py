from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("campaigns", "0007_enrolled")]

    operations = [
        migrations.AddField(
            "campaign", "unreached_tries", models.PositiveSmallIntegerField(default=0, db_default=0, editable=False)
        ),
        migrations.AddField("campaign", "unreached_at", models.DateTimeField(null=True, blank=True, editable=False)),
    ]
