"""What runs by the image, tried without containers: its build steps in a folder, and what its workers would ask for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.apply import FOLDER

ROOT = FOLDER.parent
DOCKERFILE = FOLDER / "image" / "Dockerfile"
SITE = {
    "image": "registry.example.org/reelmill:1",
    "execution_role_arn": "arn:aws:iam::123456789012:role/reelmill-execution",
    "task_role_arn": "arn:aws:iam::123456789012:role/reelmill-job",
    "prefect_api_auth_string_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:reelmill",
    "region": "eu-central-1",
    "work_dir": "s3://videos-work/reelmill",
    "output_root": "s3://videos-out",
}


def instructions(stage: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield the instructions of the Dockerfile, or of one stage, with what follows each."""
    current = None
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    for word, _, rest in (line.partition(" ") for line in text.replace("\\\n", " ").splitlines() if line):
        if word == "FROM":
            current = rest.rpartition(" AS ")[2]
        if stage in (None, current):
            yield word, " ".join(rest.split())


def build_stages(folder: Path, *stages: str) -> Path:
    """Carry out the COPY and RUN instructions of some stages in a folder, and return the Python of its .venv."""
    project = folder / "opt" / "reelmill"
    project.mkdir(parents=True)
    for word, rest in (each for stage in stages for each in instructions(stage)):
        if word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                into = project / target / (source.rpartition("/")[2] if target.endswith("/") else "")
                into.parent.mkdir(parents=True, exist_ok=True)
                subprocess.run(["cp", "-r", ROOT / source, into], check=True)
        elif word == "RUN":
            # Bytecode of all packages takes longer than everything else; what is imported here gets it all the same.
            _run_step(rest.replace("/opt/", f"{folder}/opt/").replace(" --compile-bytecode ", " "), project)
    return project / ".venv" / "bin" / "python"


def _run_step(command: str, project: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    left_out = ("PYTHON", "PREFECT_", "VIRTUAL_ENV")
    env = {name: value for name, value in os.environ.items() if not name.startswith(left_out)} | {"PATH": path}
    done = subprocess.run(
        ["sh", "-ec", command], cwd=project, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if "Failed to fetch" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def deployments_of(platform: str) -> dict[str, dict[str, Any]]:
    """Return the deployments that the platform adds, by name."""
    file = yaml.safe_load((FOLDER / platform / "prefect.yaml").read_text())
    return {each["name"]: each for each in file["deployments"]}


def asked_by_worker(python: Path, script: str, template: dict[str, Any], platform: str) -> dict[str, Any]:
    """Return what a worker of the image would ask its platform for, by deployment; `transcode` is the plain one."""
    own = {name: each["work_pool"]["job_variables"] for name, each in deployments_of(platform).items()}
    done = subprocess.run(
        [python, Path(__file__).with_name(script)], capture_output=True, text=True, timeout=120, cwd=python.parent,
        input=json.dumps({"template": template, "variables": {"transcode": {}, **own}}),
        env={"PATH": "/usr/bin:/bin", "HOME": str(python.parents[2]), "DO_NOT_TRACK": "1",
             "PREFECT_API_URL": "https://prefect.example.org/api", "PREFECT_API_AUTH_STRING": "name:hidden",
             "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
