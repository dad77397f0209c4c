"""What every test may count on: settings of its own, no other machine asked, and real media and a server on request."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
import pytest
import trustme

from reelmill.settings import settings
from tests.database_servers import PostgresServer, missing_database_programs, postgres_server
from tests.hard_media import HardMedia
from tests.one_node_ceph import missing_ceph_programs
from tests.prefect_servers import made_tables, server_for_this_process
from tests.s3_servers import S3Server, ceph_server, ministack_server
from tests.shared_servers import SharedServers, serve, servers_at

_MEDIA_DIR = Path(os.environ.get("REELMILL_TEST_MEDIA", Path(__file__).parents[2] / "shared" / "media"))

_KINDS = {
    "ceph": ceph_server,
    "ministack": ministack_server,
    "other ministack": ministack_server,
    "postgres": postgres_server,
}
_SERVERS = pytest.StashKey[Any]()
_DOOR = pytest.StashKey[tuple[str, bytes]]()
"""By which the processes among which pytest-xdist divides the tests reach the servers of the one that started them."""

Set = Callable[..., None]

# Examples that run ffmpeg on busy cores have no use for a deadline; pytest's timeout bounds the test.
hypothesis.settings.register_profile("reelmill", deadline=None)
hypothesis.settings.load_profile("reelmill")


def pytest_configure(config: pytest.Config) -> None:
    """Hide what the user has set for Prefect and AWS, before anything imports Prefect: it reads its settings then."""
    home = TemporaryDirectory(prefix="prefect-home-", ignore_cleanup_errors=True)
    config.add_cleanup(home.cleanup)
    for name in [name for name in os.environ if name.startswith(("PREFECT_", "AWS_"))]:
        del os.environ[name]
    os.environ |= {"PREFECT_HOME": home.name, "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    os.environ["REELMILL_HOME_DIR"] = home.name  # what a fixture of a module runs is not catalogued for the user
    # Every client of Prefect reads all certificates that it may trust; no server here has one.
    some = Path(home.name) / "certificates.pem"
    trustme.CA().cert_pem.write_to_path(str(some))
    os.environ["PREFECT_API_SSL_CERT_FILE"] = str(some)
    os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    os.environ |= {"AWS_EC2_METADATA_DISABLED": "true"}  # without keys boto3 asks the network for some
    _share_servers(config)


def _share_servers(config: pytest.Config) -> None:
    if (given := getattr(config, "workerinput", None)) is not None:
        config.stash[_SERVERS] = servers_at(*given["servers"])
        return
    config.stash[_SERVERS] = servers = SharedServers(_KINDS)
    config.add_cleanup(servers.stop)
    config.stash[_DOOR] = serve(servers)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process of pytest-xdist, before it is started, where the servers are."""
    node.workerinput["servers"] = node.config.stash[_DOOR]


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The default settings, whatever the environment of the test run, with their folders inside `tmp_path`."""
    for name in [name for name in os.environ if name.startswith("REELMILL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("REELMILL_WORK_DIR", str(tmp_path / "reelmill-work"))
    monkeypatch.setenv("REELMILL_SCRATCH_DIR", str(tmp_path / "reelmill-scratch"))
    monkeypatch.setenv("REELMILL_HOME_DIR", str(tmp_path / "reelmill-home"))
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def set_to(monkeypatch: pytest.MonkeyPatch) -> Set:
    """Sets settings by name, for the test."""

    def change(**wanted: object) -> None:
        for name, value in wanted.items():
            monkeypatch.setenv(f"REELMILL_{name.upper()}", str(value))
        settings.cache_clear()

    return change


@pytest.fixture(scope="session")
def media_dir() -> Path:
    """The folder of real clips. Skips where there is none; REELMILL_TEST_MEDIA names another."""
    if not _MEDIA_DIR.is_dir():
        pytest.skip("no folder of real clips: set REELMILL_TEST_MEDIA to one")
    return _MEDIA_DIR


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of a test run have."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def hard_media(shared_folder: Path) -> HardMedia:
    """Gives the sources that are hard to cut, by name. All processes of a test run have them in one folder."""
    return HardMedia(shared_folder / "hard")


@pytest.fixture(scope="session")
def prefect_tables(shared_folder: Path) -> Path:
    """A database with the tables of Prefect and nothing in them: a server on a copy of it starts in half the time."""
    return made_tables(shared_folder / "prefect")


@pytest.fixture(scope="session")
def prefect_server(prefect_tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API URL of a Prefect server that only this test process talks to, on a database of its own.

    One for the whole session, since starting it takes seconds: never start another inside it, and count only what
    your own test made.
    """
    with server_for_this_process(tmp_path_factory.mktemp("prefect-server"), prefect_tables) as api:
        yield api


@pytest.fixture(scope="session")
def shared_servers(request: pytest.FixtureRequest) -> SharedServers:
    """Gives a server by its kind. All processes of a test run have the same ones, which last as long as the run."""
    return request.config.stash[_SERVERS]


@pytest.fixture(scope="session")
def postgres(shared_servers: SharedServers) -> PostgresServer:
    """A PostgreSQL for tests marked slow, for the session: make a database of your own. Skips where there is none."""
    if missing := [name for name in missing_database_programs() if not name.startswith("redis")]:
        pytest.skip(f"no {', '.join(missing)}: .ci/system-packages installs PostgreSQL")
    return shared_servers.get("postgres")


@pytest.fixture(scope="session")
def ministack(shared_servers: SharedServers) -> S3Server:
    """A quick S3 server that all tests talk to. It lasts the session: make a bucket of your own."""
    return shared_servers.get("ministack")


@pytest.fixture(scope="session")
def ceph_installed() -> None:
    """Skips where Ceph is not installed."""
    if missing := missing_ceph_programs():
        pytest.skip(f"no {', '.join(missing)}: .ci/system-packages installs Ceph")


@pytest.fixture(scope="session")
def ceph(ceph_installed: None, shared_servers: SharedServers) -> S3Server:
    """A Ceph that all tests marked slow talk to. It lasts the session: make a bucket there."""
    return shared_servers.get("ceph")
