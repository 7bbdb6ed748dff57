"""Apache OpenDAL's service for COS with a user's key: opendal_cos.py BROKER CLOUD. One JSON line per step.

Asserts nothing: the expected results are in tests/sdks/tools.rs.
"""

import json
import os
import sys

import opendal
from python_sdk import BUCKET, FILES, LARGE, MIB, REGION, App


def attempt(step, act):
    """Runs one step and prints its result."""
    try:
        value = act()
        result = {"ok": True, "value": value}
    except Exception as error:
        result = {"ok": False, "value": type(error).__name__, "message": str(error)}
    print(json.dumps({"step": step, **result}), flush=True)


def operator(key, cloud):
    """OpenDAL reads a temporary key only from the environment, which also names the sandbox as its proxy."""
    os.environ["TENCENTCLOUD_SECRET_ID"] = key["tmpSecretId"]
    os.environ["TENCENTCLOUD_SECRET_KEY"] = key["tmpSecretKey"]
    os.environ["TENCENTCLOUD_TOKEN"] = key["sessionToken"]
    os.environ["HTTP_PROXY"] = cloud
    return opendal.Operator("cos", bucket=BUCKET, endpoint=f"http://cos.{REGION}.myqcloud.com")


def main(broker, cloud):
    key = App(broker, cloud, "alice").request_key(FILES)["credentials"]
    cos, home = operator(key, cloud), "users/alice/"

    def write_in_parts():
        with cos.open(home + "large.bin", "wb", chunk=MIB, concurrent=2) as file:
            file.write(LARGE)

    def read_range():
        return cos.read(home + "large.bin", offset=MIB, size=MIB) == LARGE[MIB : 2 * MIB]

    def names():
        return sorted(entry.path for entry in cos.list(home))

    attempt("write", lambda: cos.write(home + "a +路.txt", b"from a library") and None)
    attempt("stat", lambda: cos.stat(home + "a +路.txt").content_length)
    attempt("read", lambda: cos.read(home + "a +路.txt").decode())
    attempt("write in parts", write_in_parts)
    attempt("read of a range", read_range)
    attempt("list", names)
    attempt("copy", lambda: cos.copy(home + "large.bin", home + "copy.bin"))
    attempt("read of the copy", lambda: cos.read(home + "copy.bin") == LARGE)
    attempt("delete", lambda: cos.delete(home + "copy.bin"))
    attempt("read of a deleted object", lambda: cos.read(home + "copy.bin"))
    attempt("remove all", lambda: cos.remove_all(home))
    attempt("list of an empty folder", names)
    attempt("write in bob's home", lambda: cos.write("users/bob/a.txt", b"x"))
    attempt("read in bob's home", lambda: cos.read("users/bob/a.txt"))
    attempt("list bob's home", lambda: [entry.path for entry in cos.list("users/bob/")])


if __name__ == "__main__":
    main(*sys.argv[1:])
