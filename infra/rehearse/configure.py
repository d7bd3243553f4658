"""`make configure` against the emulator: the same command, with the package fitted to it."""

from infra.configure import main
from infra.rehearse.deploy import package, wheels

if __name__ == "__main__":
    main(package=package, platform=wheels())
