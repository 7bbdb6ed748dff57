"""Tencent's command-line tool coscmd with a user's key: coscmd.py BROKER CLOUD. One JSON line per step.

Asserts nothing: the expected results are in tests/sdks/tools.rs.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from python_sdk import BUCKET, FILES, LARGE, REGION, App

COSCMD = str(Path(sys.executable).with_name("coscmd"))
MULTIPART_ABOVE_MIB = 20


class Tool:
    """The tool with its configuration in a folder. The sandbox is its proxy."""

    def __init__(self, folder, cloud):
        self.folder = folder
        self.environment = {**os.environ, "HOME": folder, "HTTP_PROXY": cloud, "COLUMNS": "200"}

    def run(self, step, *arguments):
        """Runs a command, and prints whether it succeeded and what it printed."""
        command = [COSCMD, "-l", f"{self.folder}/log", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        print(json.dumps({"step": step, "ok": done.returncode == 0, "output": done.stdout + done.stderr}), flush=True)
        return done.stdout

    def configure(self, key):
        arguments = ["-a", key["tmpSecretId"], "-s", key["tmpSecretKey"], "-t", key["sessionToken"]]
        self.run("config", "config", *arguments, "-b", BUCKET, "-r", REGION, "--retry", "1", "--do-not-use-ssl")
        with open(f"{self.folder}/.cos.conf", "a") as configuration:
            configuration.write(f"multiupload_threshold = {MULTIPART_ABOVE_MIB}\n")


def main(broker, cloud):
    key = App(broker, cloud, "alice").request_key(FILES)["credentials"]
    with tempfile.TemporaryDirectory(prefix="cosbroker-coscmd-") as folder:
        small, large, back = (str(Path(folder, name)) for name in ("small.txt", "large.bin", "back.bin"))
        Path(small).write_text("from a command line")
        Path(large).write_bytes(LARGE)
        home = "users/alice/"
        tool = Tool(folder, cloud)
        tool.configure(key)
        tool.run("upload", "upload", small, home + "a +路.txt")
        tool.run("info", "info", home + "a +路.txt")
        tool.run("upload in parts", "upload", large, home + "large.bin")
        tool.run("list", "list", home)
        tool.run("copy", "copy", f"{BUCKET}.cos.{REGION}.myqcloud.com/{home}large.bin", home + "copy.bin")
        tool.run("download", "download", home + "copy.bin", back)
        same = Path(back).exists() and Path(back).read_bytes() == LARGE
        print(json.dumps({"step": "downloaded content", "ok": same, "output": ""}))
        tool.run("delete", "delete", "-f", home + "copy.bin")
        tool.run("download of a deleted object", "download", "-f", home + "copy.bin", back)
        tool.run("delete of a folder", "delete", "-r", "-f", home)
        tool.run("upload to bob's home", "upload", small, "users/bob/a.txt")
        tool.run("upload in parts to bob's home", "upload", large, "users/bob/large.bin")
        tool.run("list bob's home", "list", "users/bob/")


if __name__ == "__main__":
    main(*sys.argv[1:])
