"""Many of these tests create clients in a fresh session, which would read AWS's models again."""

from infra.local import speed
from tests.support import direct

speed.install()
direct.install()
