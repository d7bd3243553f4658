"""Many of these tests create clients in a fresh session, which would read AWS's models again."""

from tests.support import speed

speed.install()
