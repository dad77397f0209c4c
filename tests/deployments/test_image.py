"""The Dockerfile is legal and copies what is there; its steps work, and so does what they make."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kubernetes_validate import validate

from deployments.apply import platform_template
from tests.deployments.platforms import DOCKERFILE, ROOT, asked_by_worker, build_stages, instructions

KUBERNETES = "1.35"


def copied_sources() -> list[str]:
    copies = [rest for word, rest in instructions() if word == "COPY" and not rest.startswith("--from")]
    return [source for rest in copies for source in rest.split()[:-1]]


def test_hadolint_finds_nothing():
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert hadolint is not None
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_copied_is_there_and_nothing_else_is_let_into_the_build():
    sources = copied_sources()
    assert [source for source in sources if not (ROOT / source).exists()] == []
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == {source.partition("/")[0] for source in sources}
    assert [line for line in lines[1:] if not line.startswith("!")] == ["**/__pycache__", "**/*.env", "**/.env"]


def test_every_package_of_the_project_is_copied():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"bench"}
    assert {"cli", "deployments", "flows", "reelmill", "tasks"} <= packages
    assert packages <= set(copied_sources())


@pytest.mark.parametrize("stage", ["reelmill", "ecs-worker"])
def test_what_runs_is_not_root(stage: str):
    assert f"base AS {stage}" in [rest for word, rest in instructions(stage) if word == "FROM"]
    assert [rest for word, rest in instructions("base") if word == "USER"] == ["1000:1000"]
    assert "USER" not in [word for word, _ in instructions(stage)]


@pytest.mark.end_to_end
def test_the_steps_make_an_image_whose_worker_asks_for_what_each_queue_needs(tmp_path: Path):
    python = build_stages(tmp_path, "uv", "build")
    flows = "import prefect_redis.messaging, asyncpg, flows.transcode_video as f; print(f.__file__)"
    for argv in ([python, "-c", flows], [python.with_name("reelmill"), "--help"]):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "reelmill" in done.stdout
    template = platform_template("kubernetes", {"image": "registry.example.org/reelmill:1"})
    jobs = asked_by_worker(python, "kubernetes_jobs.py", template, "kubernetes")
    found = {}
    for name, job in jobs.items():
        pod = job["spec"]["template"]["spec"]
        for field in ("parallelism", "completions"):  # Prefect insists on them here; Kubernetes ignores them here
            del pod[field]
        validate(job, KUBERNETES, strict=True)
        container = pod["containers"][0]
        assert container["args"] == ["prefect", "flow-run", "execute"]
        assert container["image"] == "registry.example.org/reelmill:1"
        env = {each["name"]: each for each in container["env"]}
        assert env["REELMILL_WORKERS"]["valueFrom"] == {"resourceFieldRef": {"resource": "requests.cpu"}}
        assert env["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]["value"] == "30"
        assert env["PREFECT_API_URL"]["value"] == "https://prefect.example.org/api"
        assert env["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"]["value"] == "reschedule"
        assert pod["volumes"][0]["emptyDir"]["sizeLimit"] == container["resources"]["requests"]["ephemeral-storage"]
        assert container["resources"]["limits"] == {"memory": container["resources"]["requests"]["memory"]}
        found[name] = (*container["resources"]["requests"].values(), pod["nodeSelector"], len(pod["tolerations"]))
    assert found == {
        "transcode": ("4", "8Gi", "40Gi", {}, 0),
        "transcode-high": ("8", "16Gi", "80Gi", {}, 0),
        "transcode-bulk": ("2", "4Gi", "20Gi", {"reelmill/spot": "true"}, 1),
    }


def test_the_worker_and_what_it_needs_are_legal_manifests():
    text = (ROOT / "deployments" / "kubernetes" / "worker.yaml").read_text()
    manifests = list(yaml.safe_load_all(text))
    for each in manifests:
        validate(each, KUBERNETES, strict=True)
    assert [each["kind"] for each in manifests] == [
        "Namespace", "ConfigMap", "ServiceAccount", "ServiceAccount", "Role", "RoleBinding", "Deployment",
    ]  # fmt: skip
    names = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    *_, role, binding, deployment = manifests
    assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == ("Role", role["metadata"]["name"])
    assert ("ServiceAccount", binding["subjects"][0]["name"]) in names
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == binding["subjects"][0]["name"]
    template = platform_template("kubernetes", {"image": "x"})
    [container] = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]["containers"]
    assert ("ConfigMap", container["envFrom"][0]["configMapRef"]["name"]) in names
    variables = template["variables"]["properties"]
    assert ("ServiceAccount", variables["service_account_name"]["default"]) in names
    assert ("Namespace", variables["namespace"]["default"]) in names
    assert {each["metadata"].get("namespace", "reelmill") for each in manifests} == {"reelmill"}


def test_a_manifest_that_is_wrong_is_found():
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "date": {}}
    with pytest.raises(Exception, match="date"):
        validate(manifest, KUBERNETES, strict=True)
