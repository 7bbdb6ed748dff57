"""Reads the broker's answers as Tencent's Android SDK does (`SessionCredentialProvider`). Standard library only.

    python android.py < ANSWERS

Each line of ANSWERS is an object

    {"mode": "v2" | "v3", "status": <HTTP status>, "body": "<text>", "now": <seconds, this machine's clock if left out>}

and each line printed is the key the SDK would work with, or why it would have none:

    {"secretId", "secretKey", "token", "start", "expired"}    or    {"error": "<why>"}

Stricter than the SDK where it would go on with something that cannot work: a part of a key that is missing or empty,
a time that is no integer.
"""

import json
import sys
import time

# The SDK takes a key for dead this many seconds before it expires.
DEAD_BEFORE = 60


class Refused(Exception):
    """Why the SDK has no key."""


def read(answer):
    """The key of one answer."""
    now = answer.get("now", int(time.time()))
    if not 200 <= answer["status"] < 300:
        raise Refused(f"status {answer['status']}")
    body = parsed(answer["body"])
    key = {"v2": v2, "v3": v3}[answer["mode"]](body, now)
    if key["start"] >= key["expired"]:
        raise Refused(f"it starts at {key['start']}, not before it expires at {key['expired']}")
    if now > key["expired"] - DEAD_BEFORE:
        raise Refused(f"it is dead at {now}: it expires at {key['expired']}")
    return key


def v2(body, now):
    """The STS SDK JSON, bare or under `data`."""
    data = child(body, "data")
    data = body if data is None else data
    credentials = child(data, "credentials")
    if credentials is None:
        code = data.get("code")
        raise Refused(f"error code {code}" if isinstance(code, int) and code > 0 else "no credentials")
    start = integer(data, "startTime")
    return {
        "secretId": text(credentials, "tmpSecretId"),
        "secretKey": text(credentials, "tmpSecretKey"),
        "token": text(credentials, "sessionToken"),
        "start": start if start > 0 else now,
        "expired": integer(data, "expiredTime"),
    }


def v3(body, now):
    """STS's own answer."""
    response = child(body, "Response")
    credentials = child(response or {}, "Credentials")
    if credentials is None:
        raise Refused("no credentials")
    return {
        "secretId": text(credentials, "TmpSecretId"),
        "secretKey": text(credentials, "TmpSecretKey"),
        "token": text(credentials, "Token"),
        "start": now,
        "expired": integer(response, "ExpiredTime"),
    }


def parsed(body):
    try:
        value = json.loads(body)
    except ValueError as error:
        raise Refused(f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Refused("the body is not an object")
    return value


def child(whole, name):
    value = whole.get(name)
    return value if isinstance(value, dict) else None


def text(whole, name):
    value = whole.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(f"{name} is missing or empty")
    return value


def integer(whole, name):
    """Zero where there is none."""
    value = whole.get(name, 0)
    if type(value) is not int:
        raise Refused(f"{name} is not an integer: {value!r}")
    return value


def verdict(line):
    try:
        return read(json.loads(line))
    except Refused as why:
        return {"error": str(why)}


if __name__ == "__main__":
    for line in filter(str.strip, sys.stdin):
        print(json.dumps(verdict(line)), flush=True)
