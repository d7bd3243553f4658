"""Many of these tests create clients in a fresh session, which would read AWS's models again."""

from infra.local import speed

speed.install()
