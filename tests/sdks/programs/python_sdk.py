"""What an app does with Tencent's Python SDK, step by step: python_sdk.py BROKER CLOUD. One JSON line per step.

The same steps as in scenario.mjs. Asserts nothing: the expected results are in tests/sdks/sdks.rs.
"""

import base64
import json
import logging
import sys
import tempfile
from array import array
from pathlib import Path
from urllib.parse import urlparse

import requests
from qcloud_cos import CosConfig, CosS3Client, CosServiceError

BUCKET, REGION = "examplebucket-1250000000", "ap-guangzhou"
MIB = 1024 * 1024
# Bytes that differ from part to part.
LARGE = array("I", (index * 2654435761 & 0xFFFFFFFF for index in range(21 * MIB // 4))).tobytes()
FILES = "/v1/credentials/files"


class App:
    """A user of the broker, and the SDK with the user's keys."""

    def __init__(self, broker, cloud, name):
        self.broker, self.cloud = broker, cloud
        self.token = requests.get(f"{cloud}/token", params={"sub": name}).text

    def request_key(self, path):
        answer = requests.get(self.broker + path, headers={"Authorization": f"Bearer {self.token}"})
        answer.raise_for_status()
        body = answer.json()
        return body.get("data", body)

    def cos(self, path=FILES):
        return self.client_with(self.request_key(path)["credentials"])

    def client_with(self, key, **pointing):
        """A client with this key, valid or not."""
        pointing = pointing or {"Region": REGION, "Proxies": {"http": self.cloud}}
        secrets = {"SecretId": key["tmpSecretId"], "SecretKey": key["tmpSecretKey"], "Token": key["sessionToken"]}
        # Refusals are expected; a retry would not change them.
        return CosS3Client(CosConfig(Scheme="http", **secrets, **pointing), retry=0)


def attempt(step, act):
    """Runs one step and prints its result."""
    try:
        value = act()
        result = {"ok": True, **({} if value is None else {"value": str(value)})}
    except CosServiceError as error:
        status, code = error.get_status_code(), error.get_error_code()
        result = {"ok": False, "status": status, "code": code, "message": str(error)}
    except Exception as error:
        result = {"ok": False, "message": f"{type(error).__name__}: {error}"}
    print(json.dumps({"step": step, **result}), flush=True)


def put(cos, key, body=b"x", **more):
    cos.put_object(Bucket=BUCKET, Key=key, Body=body, **more)


def get(cos, key):
    return cos.get_object(Bucket=BUCKET, Key=key)["Body"].get_raw_stream().read()


def same_as_large(content):
    return "the same bytes" if content == LARGE else f"{len(content)} other bytes"


def every_way(alice):
    """The SDK can be pointed at the sandbox in several ways."""
    address = urlparse(alice.cloud)
    ways = {
        "proxy": {"Region": REGION, "Proxies": {"http": alice.cloud}},
        "address": {"Region": REGION, "IP": address.hostname, "Port": address.port},
        "path": {"Domain": f"{address.netloc}/{BUCKET}"},
    }
    for name, pointing in ways.items():
        cos = alice.client_with(alice.request_key(FILES)["credentials"], **pointing)

        def put_and_get():
            put(cos, "users/alice/way + 路.txt", name.encode())
            back = get(cos, "users/alice/way + 路.txt")
            return "the same content" if back == name.encode() else "other content"

        attempt(f"reached by {name}", put_and_get)


def own_home(alice, file):
    """A key of each route allows everything in the user's own home."""
    for name, path in {
        "/v1": FILES,
        "/sts": "/sts",
        "/sign": "/sign",
        "/getKeyAndCredentials": "/getKeyAndCredentials?filename=photo.jpg",
    }.items():
        answer = alice.request_key(path)
        cos, key = alice.client_with(answer["credentials"]), answer.get("key", f"users/alice/{name[1:]}.txt")
        at = {"Bucket": BUCKET, "Key": key}
        for what, act in {
            "put": lambda: put(cos, key, b"hello from home"),
            "head": lambda: cos.head_object(**at)["Content-Length"],
            "get": lambda: get(cos, key).decode(),
            "list": lambda: len(cos.list_objects(BUCKET, Prefix=key)["Contents"]),
            "multipart": lambda: cos.upload_file(**at, LocalFilePath=file, PartSize=5) and None,
            "multipart content": lambda: same_as_large(get(cos, key)),
            "delete": lambda: cos.delete_object(**at) and None,
            "get a deleted object": lambda: get(cos, key) and None,
            "head a deleted object": lambda: cos.head_object(**at) and None,
        }.items():
            attempt(f"{name}: {what}", act)


def pages(alice):
    """Five objects, two on each page."""
    cos, folder = alice.cos(), "users/alice/list/"
    for name in ["1.txt", "2.txt", "3 +&.txt", "dir/4.txt", "dir/5.txt"]:
        put(cos, folder + name)

    def listed():
        seen, marker = [], ""
        while marker is not None:
            page = cos.list_objects(BUCKET, Prefix=folder, Delimiter="/", MaxKeys=2, Marker=marker)
            names = [item["Key"] for item in page.get("Contents", [])]
            names += [item["Prefix"] for item in page.get("CommonPrefixes", [])]
            seen.append(" , ".join(name.removeprefix(folder) for name in names))
            marker = page["NextMarker"] if page["IsTruncated"] == "true" else None
        return " | ".join(seen)

    attempt("list in pages", listed)


def other_homes(alice, bob, file):
    """Alice's key in other homes."""
    theirs, mine = "users/bob/secret.txt", "users/alice/mine.txt"
    put(bob.cos(), theirs)
    cos = alice.cos()
    put(cos, mine)

    def copy(source, target):
        return cos.copy_object(BUCKET, target, {"Bucket": BUCKET, "Key": source, "Region": REGION})

    for name, act in {
        "put in bob's home": lambda: put(cos, theirs),
        "get from bob's home": lambda: get(cos, theirs),
        "head in bob's home": lambda: cos.head_object(BUCKET, theirs),
        "delete in bob's home": lambda: cos.delete_object(BUCKET, theirs),
        "multipart in bob's home": lambda: cos.create_multipart_upload(BUCKET, theirs),
        "upload of a large file to bob's home": lambda: cos.upload_file(BUCKET, theirs, file),
        "copy from bob's home": lambda: copy(theirs, mine),
        "copy into bob's home": lambda: copy(mine, theirs),
        "list bob's home": lambda: cos.list_objects(BUCKET, Prefix="users/bob/"),
        "list everything": lambda: cos.list_objects(BUCKET),
        "list users/": lambda: cos.list_objects(BUCKET, Prefix="users/"),
        "list users/alic": lambda: cos.list_objects(BUCKET, Prefix="users/alic"),
        "list users/alice2/": lambda: cos.list_objects(BUCKET, Prefix="users/alice2/"),
        "put in users/alice2/": lambda: put(cos, "users/alice2/x"),
    }.items():
        attempt(name, lambda: act() and None)


def forgeries(alice, bob, file):
    """Forged keys, in a home where the genuine key would allow everything."""
    key, bobs = alice.request_key(FILES)["credentials"], bob.request_key(FILES)["credentials"]
    for name, changed, home in [
        ("a tampered policy", {"sessionToken": tampered(key["sessionToken"])}, "users/bob/"),
        ("the token of bob's key", {"sessionToken": bobs["sessionToken"]}, "users/bob/"),
        ("a wrong secret", {"tmpSecretKey": key["tmpSecretKey"] + "x"}, "users/alice/"),
        ("an unknown secret id", {"tmpSecretId": key["tmpSecretId"] + "x"}, "users/alice/"),
    ]:
        every_call(name, alice.client_with({**key, **changed}), home, file)


def every_call(name, cos, home, file):
    for call, act in {
        "put": lambda: put(cos, home + "x"),
        "get": lambda: get(cos, home + "x"),
        "head": lambda: cos.head_object(BUCKET, home + "x"),
        "list": lambda: cos.list_objects(BUCKET, Prefix=home),
        "multipart": lambda: cos.upload_file(BUCKET, home + "x", file),
        "delete": lambda: cos.delete_object(BUCKET, home + "x"),
    }.items():
        attempt(f"{name}: {call}", lambda: act() and None)


def tampered(token):
    """The session token with its policy changed to Bob's home."""
    payload, tag = token.split(".")
    session = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    assert b"users/alice/" in session, "the token has no policy to tamper with"
    rewritten = base64.urlsafe_b64encode(session.replace(b"users/alice/", b"users/bob/"))
    return f"{rewritten.decode().rstrip('=')}.{tag}"


def bounds(alice):
    """What the shipped upload template refuses in the user's own home."""
    cos, key = alice.cos("/v1/credentials/capped"), "users/alice/bounds.bin"
    attempt("put with a public ACL", lambda: put(cos, key, ACL="public-read"))
    attempt("put of 11 MiB", lambda: put(cos, key, bytes(11 * MIB)))


def refresh(alice, file):
    """The key nearly expires in the middle of an upload, and the app gives the SDK another."""
    first = alice.request_key(FILES)["credentials"]
    cos, keys = alice.client_with(first), {first["tmpSecretId"]}

    def progress(sent, _whole):
        # One thread uploads, so nothing is signed while the key changes.
        if sent > 5 * MIB and len(keys) == 1:
            move_clock(alice, "29m30s")
            key = alice.request_key(FILES)["credentials"]
            keys.add(key["tmpSecretId"])
            cos.get_conf().set_credential(key["tmpSecretId"], key["tmpSecretKey"], key["sessionToken"])

    def uploaded():
        key = "users/alice/refreshed.bin"
        cos.upload_file(BUCKET, key, file, PartSize=1, MAXThread=1, progress_callback=progress)
        return f"requested again, {len(keys)} keys, {same_as_large(get(cos, key))}"

    attempt("a key refreshed during an upload", uploaded)


def expiry(alice, file):
    """The last step, because the sandbox's clock never goes back."""
    cos = alice.cos()
    move_clock(alice, "70m")
    every_call("an expired key", cos, "users/alice/", file)


def move_clock(alice, ahead):
    requests.put(f"{alice.cloud}/clock", json={"ahead": ahead}).raise_for_status()


def main(broker, cloud):
    logging.disable()
    alice, bob = App(broker, cloud, "alice"), App(broker, cloud, "bob")
    with tempfile.TemporaryDirectory(prefix="cosbroker-python-") as folder:
        file = str(Path(folder, "upload.bin"))
        Path(file).write_bytes(LARGE)
        every_way(alice)
        own_home(alice, file)
        pages(alice)
        other_homes(alice, bob, file)
        forgeries(alice, bob, file)
        bounds(alice)
        refresh(alice, file)
        expiry(alice, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
