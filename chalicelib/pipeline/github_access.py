"""Access to GitHub, with what the channels of kind `github` have."""

from chalicelib.aws.secrets import read_credential
from chalicelib.domain.channels import ChannelKind
from chalicelib.outbound.github import GitHub, github_host
from chalicelib.store.channels import channels_of
from chalicelib.store.models import Channel, Service


def github_name(repository: str) -> str | None:
    """The `owner/name` of a repository's key on GitHub; None if it is on another host."""
    host, _, name = repository.partition("/")
    return name if host == github_host() else None


def access_by(channel: Channel, name: str) -> GitHub:
    """GitHub's API for the repository `owner/name`, with the token of a channel.

    Raises Unavailable (secret_unreadable).
    """
    return GitHub(read_credential(str(channel.secret)), name)


def has_access(service: Service) -> bool:
    """Whether a service has a repository on GitHub, and a channel to GitHub that is on."""
    is_there = github_name(service.settings.repository) is not None
    return is_there and _channel_for(service) is not None


def access_for(service: Service) -> GitHub | None:
    """GitHub's API for the repository of a service, by the first channel of it that is on.

    None if there is no such channel, or if the repository is not on GitHub. Raises Unavailable.
    """
    name = github_name(service.settings.repository)
    if name is None:
        return None
    channel = _channel_for(service)
    return None if channel is None else access_by(channel, name)


def _channel_for(service: Service) -> Channel | None:
    found = (each for each in channels_of(service) if each.kind == ChannelKind.GITHUB)
    return next(found, None)
