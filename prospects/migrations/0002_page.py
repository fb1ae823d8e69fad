from django.db import migrations, models

# The whole string of a program tells people apart, and nobody needs that: its class stays.
_CLASSIFY = """
UPDATE unsubscribes
   SET user_agent = CASE WHEN user_agent ~* 'google|gmail|yahoo|outlook|hotmail|icloud|proton' THEN 'mailbox_provider'
                         WHEN user_agent ~* 'mozilla/|opera/' THEN 'browser'
                         ELSE 'other' END
 WHERE user_agent <> ''
"""


class Migration(migrations.Migration):
    dependencies = [("prospects", "0001_initial")]

    operations = [
        migrations.RunSQL(_CLASSIFY, migrations.RunSQL.noop),
        migrations.AlterField(
            model_name="unsubscribe",
            name="user_agent",
            field=models.CharField(
                blank=True,
                choices=[("mailbox_provider", "mailbox provider or mail program"), ("browser", "browser"), ("other", "other")],
                max_length=20,
            ),
        ),
        migrations.AddField(model_name="unsubscribe", name="undone_at", field=models.DateTimeField(blank=True, null=True)),
        migrations.AddField(model_name="unsubscribe", name="undone_by", field=models.CharField(blank=True, max_length=150)),
        migrations.AddConstraint(
            model_name="unsubscribe",
            constraint=models.CheckConstraint(
                condition=models.Q(("undone_at__isnull", True), ("undone_by", ""))
                | (models.Q(("undone_at__isnull", False)) & ~models.Q(("undone_by", ""))),
                name="undone_says_when_and_by_whom",
            ),
        ),
    ]
