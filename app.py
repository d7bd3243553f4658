"""Slipway's Lambda functions: the HTTP API and the triggers of the pipeline."""

from chalicelib.api import (
    about,
    audit,
    badges,
    builds,
    channels,
    config,
    deliveries,
    deployments,
    jobs,
    logs,
    metrics,
    projects,
    services,
    tokens,
    webhooks,
)
from chalicelib.api.http.gateway import GatewayApp
from chalicelib.api.http.middleware import complete
from chalicelib.api.page import dashboard
from chalicelib.checkout import take_over_chalice_commands
from chalicelib.settings import settings
from chalicelib.starting import ready
from chalicelib.triggers import events, schedule, tellings, wakeups

take_over_chalice_commands()

# `chalice deploy` gives the API this name. Two stages in one account need two.
app = GatewayApp(app_name=settings().table_prefix, configure_logs=False)
app.register_middleware(complete, "http")

app.register_blueprint(about.routes)
app.register_blueprint(dashboard.routes)
app.register_blueprint(projects.routes)
app.register_blueprint(services.routes)
app.register_blueprint(badges.routes)
app.register_blueprint(config.routes)
app.register_blueprint(builds.routes)
app.register_blueprint(logs.routes)
app.register_blueprint(deployments.routes)
app.register_blueprint(jobs.routes)
app.register_blueprint(webhooks.routes)
app.register_blueprint(deliveries.routes)
app.register_blueprint(tokens.routes)
app.register_blueprint(channels.routes)
app.register_blueprint(audit.routes)
app.register_blueprint(metrics.routes)

app.register_blueprint(wakeups.blueprint)
app.register_blueprint(tellings.blueprint)
app.register_blueprint(events.blueprint)
app.register_blueprint(schedule.blueprint)

ready()
