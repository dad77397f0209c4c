"""A whole Ceph on one machine, without systemd: a monitor, an OSD, a RADOS gateway, and a single copy of everything."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

from tests.server_processes import ServerFailed, ServerProcess, answers, free_port, run_tool, server_process

_PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
_SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_CONF = """\
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{monitor_port}
mon initial members = a
keyring = {folder}/keyring
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
crash dir = {folder}
# Small and quick: one copy, few placement groups, no waiting for other monitors.
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
rgw rados pool pg num min = 1
osd crush chooseleaf type = 0
paxos propose interval = 0.05
paxos min wait = 0.01

[mon]
mon data = {folder}/mon
mon cluster log file = {folder}/cluster.log
mon max pg per osd = 2000
# A disk that is nearly full is no matter of a test's.
mon data avail warn = 2
mon data avail crit = 1

[osd]
osd data = {folder}/osd
osd objectstore = bluestore
bluestore block create = true
bluestore block size = {size_bytes}
osd memory target = 1G

[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{gateway_port}
rgw data = {folder}/rgw
rgw enable usage log = false
# Deleted objects give their room back after seconds, instead of two hours.
rgw gc obj min wait = 2
rgw gc processor period = 5
rgw gc processor max time = 60
"""


def missing_ceph_programs() -> list[str]:
    """Return the programs that a Ceph needs and this machine lacks."""
    return [name for name in _PROGRAMS if shutil.which(name, path=_SYSTEM_PATH) is None]


class OneNodeCeph:
    """A Ceph that keeps everything in `folder`, of which a sparse file of `size_gb`, and is killed with `stack`.

    ServerFailed, naming them, when programs are missing.
    """

    def __init__(self, folder: Path, stack: ExitStack, *, size_gb: int):
        if missing := missing_ceph_programs():
            raise ServerFailed(f"Ceph is not installed: no {', '.join(missing)}")
        self.gateway_port, self.pids = free_port(), list[int]()
        self._folder, self._stack, self._fsid, self._monitor_port = folder, stack, str(uuid4()), free_port()
        self._env = {"PATH": _SYSTEM_PATH, "HOME": str(folder), "CEPH_CONF": str(folder / "ceph.conf")}
        (folder / "ceph.conf").write_text(
            _CONF.format(
                folder=folder,
                fsid=self._fsid,
                size_bytes=size_gb << 30,
                monitor_port=self._monitor_port,
                gateway_port=self.gateway_port,
            )
        )

    def start(self) -> None:
        """Return when the gateway answers, which takes some seconds."""
        self._make_keys()
        self._start_monitor()
        self._start_osd()
        gateway = self._start("radosgw", "-n", "client.rgw")
        gateway.wait_until(lambda: answers(self.gateway_port))

    def add_user(self, access_key: str, secret_key: str) -> None:
        self._run("radosgw-admin", "user", "create", f"--uid={access_key}", f"--display-name={access_key}",
                  f"--access-key={access_key}", f"--secret-key={secret_key}")  # fmt: skip

    def _make_keys(self) -> None:
        keyring = f"{self._folder}/keyring"
        self._run("ceph-authtool", "-C", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        for name in ("client.admin", "osd.0", "client.rgw"):
            self._run("ceph-authtool", keyring, "--gen-key", "-n", name,
                      "--cap", "mon", "allow *", "--cap", "osd", "allow *")  # fmt: skip

    def _start_monitor(self) -> None:
        monmap, address = f"{self._folder}/monmap", f"[v2:127.0.0.1:{self._monitor_port}]"
        self._run("monmaptool", "--create", "--fsid", self._fsid, "--addv", "a", address, monmap)
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap, "--keyring", f"{self._folder}/keyring")
        monitor = self._start("ceph-mon", "-i", "a")
        monitor.wait_until(lambda: answers(self._monitor_port))

    def _start_osd(self) -> None:
        osd_uuid = str(uuid4())
        self._run("ceph", "osd", "new", osd_uuid, "0")
        (self._folder / "osd").mkdir()
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd_uuid)
        osd = self._start("ceph-osd", "-i", "0")
        osd.wait_until(lambda: "1 up" in self._run("ceph", "osd", "stat"))

    def _start(self, program: str, *options: str) -> ServerProcess:
        argv = [program, *options, "-f"]
        server = self._stack.enter_context(server_process(argv, log=self._folder / f"{program}.out", env=self._env))
        self.pids.append(server.pid)
        return server

    def _run(self, *argv: str) -> str:
        return run_tool(list(argv), env=self._env)
