"""`make demo-s3`: the demo's job from bucket to bucket, on an S3 server that lives for as long as it runs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import closing

from cli.demo import FORMATS, sample
from tests.s3_servers import ministack_server

_BUCKETS = ("uploads", "unfinished", "results")


def main() -> int:
    """Put the sample, or $SOURCE, into a bucket, run `reelmill transcode` on it, and list what is in the buckets."""
    source = sample()
    with ministack_server() as server, closing(server.client()) as client, tempfile.TemporaryDirectory() as scratch:
        print(f"an S3 server at {server.endpoint_url}, with the buckets {', '.join(_BUCKETS)}", flush=True)
        for bucket in _BUCKETS:
            client.create_bucket(Bucket=bucket)
        client.upload_file(str(source), "uploads", f"lectures/{source.name}")
        work = {"REELMILL_WORK_DIR": "s3://unfinished/reelmill", "REELMILL_SCRATCH_DIR": scratch}
        env = os.environ | server.env() | work
        formats = [word for each in FORMATS for word in ("--format", each)]
        result = f"s3://results/{source.stem}"
        command = ["transcode", f"s3://uploads/lectures/{source.name}", *formats, "--output", result]
        print("$ reelmill " + " ".join(command), flush=True)
        code = subprocess.run([sys.executable, "-m", "cli.main", *command], env=env, check=False).returncode
        for bucket in _BUCKETS:
            for each in client.list_objects_v2(Bucket=bucket).get("Contents", ()):
                print(f"s3://{bucket}/{each.get('Key')}: {each.get('Size', 0):,} bytes")
            unfinished = client.list_multipart_uploads(Bucket=bucket).get("Uploads", ())
            print(f"s3://{bucket}: {len(unfinished)} open uploads")
    return code


if __name__ == "__main__":
    sys.exit(main())
