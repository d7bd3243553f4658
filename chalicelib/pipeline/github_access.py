"""Access to GitHub: with the token of a channel of kind `github`, or by the GitHub App."""

from functools import partial

from chalicelib.aws.secrets import read_credential
from chalicelib.domain.channels import ChannelKind
from chalicelib.domain.github_app import TELL, Permissions
from chalicelib.outbound.github import GitHub, github_host
from chalicelib.pipeline.github_app import app_token, new_token
from chalicelib.store.channels import channels_of
from chalicelib.store.models import Channel, Service


def github_name(repository: str) -> str | None:
    """The `owner/name` of a repository's key on GitHub; None if it is on another host."""
    host, _, name = repository.partition("/")
    return name if host == github_host() else None


def access_by(channel: Channel, name: str, permissions: Permissions = TELL) -> GitHub:
    """GitHub's API for the repository `owner/name`.

    A channel with a secret uses the token in it, which has its own permissions. Any other channel
    uses a token of the GitHub App with these `permissions`. Raises Unavailable (secret_unreadable,
    or what `app_token` raises).
    """
    if channel.secret is not None:
        return GitHub(read_credential(channel.secret), name)
    return GitHub(app_token(name, permissions), name, renew=partial(new_token, name, permissions))


def has_access(service: Service) -> bool:
    """Whether a service has a repository on GitHub, and a channel to GitHub that is on."""
    is_there = github_name(service.settings.repository) is not None
    return is_there and channel_for(service) is not None


def check_access(channel: Channel, name: str) -> None:
    """Raise Rejected or Unavailable unless the channel may access the repository `owner/name` now.

    GitHub gives a new token of the App only if the App has all permissions of a telling. Whether
    another token may also write is not checked.
    """
    if channel.secret is None:
        new_token(name, TELL)
    else:
        access_by(channel, name).look()


def access_for(service: Service, permissions: Permissions) -> GitHub | None:
    """GitHub's API for the repository of a service, by the first channel of it that is on.

    None if there is no such channel, or if the repository is not on GitHub. Raises Unavailable.
    """
    name = github_name(service.settings.repository)
    if name is None:
        return None
    channel = channel_for(service)
    return None if channel is None else access_by(channel, name, permissions)


def channel_for(service: Service) -> Channel | None:
    """The channel by which GitHub is asked about a service: the first one that is on, or None."""
    found = (each for each in channels_of(service) if each.kind == ChannelKind.GITHUB)
    return next(found, None)
