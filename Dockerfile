FROM python:3.11-slim AS build
COPY requirements/run.txt /tmp/run.txt
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/run.txt

FROM python:3.11-slim
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --system --uid 10001 outreach
WORKDIR /app
COPY --from=build /venv /venv
COPY . .
# Static files need no secret, and the guards need a complete environment: the made-up one of the checks.
RUN ENV_FILE=tests/production.env python manage.py collectstatic --noinput && mkdir -p /data/imports /data/unsubscribes \
    && chown outreach /data/imports /data/unsubscribes
USER outreach
ENV PORT=8000 IMPORT_DIRECTORY=/data/imports UNSUBSCRIBE_SPOOL=/data/unsubscribes
EXPOSE 8000
# Web by default; worker and beat are asked in their own words (docker-compose.yml).
HEALTHCHECK --interval=30s --timeout=15s --start-period=30s CMD ["python", "manage.py", "health", "web"]
# Exec form, so that SIGTERM reaches the process and a worker can finish its chunk.
CMD ["gunicorn", "--config", "gunicorn.conf.py", "outreach.wsgi"]
