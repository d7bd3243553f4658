"""Installing needs the hashes of constraints.txt. Wheels made here stand for the index's files."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.package import LAMBDA_PLATFORM, ROOT, PackagingFailed, install_libraries

OTHER_PROCESSOR = "manylinux2014_x86_64"


def _entries() -> list[str]:
    """The lines of constraints.txt, each with its continuation lines."""
    text = (ROOT / "constraints.txt").read_text().replace("\\\n", "")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _wheel(index: Path, name: str, *, platform: str = "any", needs: str = "") -> str:
    """Make a wheel with one module; return the line that pins it with its hash."""
    tag = "py3-none-any" if platform == "any" else f"cp311-cp311-{platform}"
    path = index / f"{name}-1.0-{tag}.whl"
    about = f"{name}-1.0.dist-info"
    index.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"BUILT_FOR = {platform!r}\n")
        requires = f"Requires-Dist: {needs}\n" if needs else ""
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}"
        wheel.writestr(f"{about}/METADATA", metadata)
        wheel.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
        wheel.writestr(f"{about}/RECORD", "")
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def _tamper(index: Path, wheel: str) -> None:
    (path,) = index.glob(f"{wheel}.whl")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("stranger.py", "")


def test_every_locked_library_has_one_version_and_a_hash() -> None:
    entries = _entries()
    assert len(entries) > 50
    form = r"[a-z0-9._-]+==[^ ;]+( ; [A-Za-z_'0-9.<>!= ]+)?( +--hash=sha256:[0-9a-f]{64})+"
    assert [entry for entry in entries if not re.fullmatch(form, entry)] == []


def test_the_lock_satisfies_every_requirement() -> None:
    pins = (re.split("==| ", entry)[:2] for entry in _entries())
    locked = {canonicalize_name(name): version for name, version in pins}
    lines = [
        line
        for name in ("requirements.txt", "requirements-dev.txt")
        for line in (ROOT / name).read_text().splitlines()
        if line and not line.startswith(("#", "-r "))
    ]
    assert len(lines) > 10
    for line in lines:
        requirement = Requirement(line)
        version = locked.get(canonicalize_name(requirement.name))
        assert version, f"{line} is not locked: run make lock"
        assert requirement.specifier.contains(version), f"{line}, not {version}: run make lock"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of wheels that pip and uv use instead of the network."""
    index = tmp_path / "index"
    # Chalice's test client in threads can leave such a copy, which a child does not inherit.
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(index))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return index


def _path_for(installer: str) -> str:
    """The search path with which infra/setup.sh uses this installer."""
    directories = os.environ["PATH"].split(os.pathsep)
    if installer == "uv":
        if shutil.which("uv") is None:
            pytest.skip("uv is not installed")
    else:
        directories = [each for each in directories if not (Path(each) / "uv").exists()]
        if subprocess.run([sys.executable, "-c", "import ensurepip"], check=False).returncode:
            pytest.skip("this Python has no ensurepip")
    return os.pathsep.join(directories)


@pytest.mark.parametrize("installer", ["pip", "uv"])
@pytest.mark.parametrize("wrong", ["tampered", "without a hash"])
def test_setup_refuses_a_library_that_is(
    tmp_path: Path, index: Path, wrong: str, installer: str
) -> None:
    path = _path_for(installer)
    clone = tmp_path / "clone"
    (clone / "infra").mkdir(parents=True)
    shutil.copy(ROOT / "infra/setup.sh", clone / "infra")
    locked = _wheel(index, "honest")
    if wrong == "tampered":
        _tamper(index, "honest-*")
        reason = r"DO NOT MATCH THE HASHES|Hash mismatch for `honest==1\.0`"
    else:
        locked = "honest==1.0\n"
        reason = "Hashes are required|must have a hash"
    (clone / "constraints.txt").write_text(locked)
    refused = subprocess.run(
        [clone / "infra/setup.sh"],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Installing Python packages into .venv with {installer}")
    assert re.search(reason, refused.stderr), refused.stderr
    assert f"{installer} could not install the requirements" in refused.stderr
    assert "A wrong hash means that the index holds another file" in refused.stderr
    assert not (clone / ".venv/ready").exists()
    assert not list(clone.glob(".venv/lib/python*/site-packages/honest.py"))


@pytest.fixture
def requirements(tmp_path: Path, index: Path) -> Path:
    """Requirements of a library that needs another one, which has a wheel for each processor."""
    locked = _wheel(index, "honest", needs="native") + _wheel(
        index, "native", platform=LAMBDA_PLATFORM
    )
    (tmp_path / "constraints.txt").write_text(locked)
    _wheel(index, "native", platform=OTHER_PROCESSOR)
    (tmp_path / "requirements.txt").write_text("honest~=1.0\n")
    return tmp_path


def test_the_package_has_libraries_for_the_processor_of_lambda(
    tmp_path: Path, requirements: Path
) -> None:
    install_libraries(tmp_path / "application", requirements)
    vendor = tmp_path / "application/vendor"
    assert (vendor / "honest.py").is_file()
    assert LAMBDA_PLATFORM in (vendor / "native.py").read_text()


@pytest.mark.parametrize("wheel", ["honest-*", f"native-*-{LAMBDA_PLATFORM}"])
def test_a_tampered_library_fails_the_package(
    tmp_path: Path, requirements: Path, capfd: pytest.CaptureFixture[str], wheel: str
) -> None:
    _tamper(tmp_path / "index", wheel)
    with pytest.raises(PackagingFailed, match=r"above\.\n.*wrong hash"):
        install_libraries(tmp_path / "application", requirements)
    assert "DO NOT MATCH THE HASHES" in capfd.readouterr().err


@pytest.mark.parametrize("lock", ["honest==1.0 {hash}\n", "honest==1.0\nnative==1.0\n"])
def test_a_library_without_a_hash_fails_the_package(
    tmp_path: Path, requirements: Path, capfd: pytest.CaptureFixture[str], lock: str
) -> None:
    locked = (tmp_path / "constraints.txt").read_text().split()
    (tmp_path / "constraints.txt").write_text(lock.format(hash=locked[1]))
    with pytest.raises(PackagingFailed):
        install_libraries(tmp_path / "application", requirements)
    assert "must have their versions pinned" in capfd.readouterr().err


def test_a_library_without_a_wheel_for_lambda_fails_the_package(
    tmp_path: Path, requirements: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"index/native-1.0-cp311-cp311-{LAMBDA_PLATFORM}.whl").unlink()
    with pytest.raises(PackagingFailed):
        install_libraries(tmp_path / "application", requirements)
    assert "no matching distributions available for your environment:\n    native" in (
        capfd.readouterr().err
    )
