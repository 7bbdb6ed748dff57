"""Judges policies that were built from scopes by Tencent's official STS SDK for Python. Nothing is sent anywhere.

    pip install -r requirements.txt
    python scopes.py BUILT.json

BUILT.json is a list of

    {"scopes": [{"action", "bucket", "region", "prefix"}], "policy": "<percent-encoded JSON>"}

A policy passes if it is the object that the SDK's `get_policy` builds from the same scopes: those of CI by `CIScope`.

Prints a line for each policy, then the sums; exits 1 if any fails.
"""

import json
import sys
from urllib.parse import unquote

from sts.sts import CIScope, Scope, Sts


def built_by_sdk(scopes):
    return Sts.get_policy([of_service(scope)(*arguments(scope)) for scope in scopes])


def of_service(scope):
    return CIScope if scope["action"].removeprefix("name/").startswith("ci:") else Scope


def arguments(scope):
    return [scope[name] for name in ("action", "bucket", "region", "prefix")]


def passes(built):
    ours, theirs = json.loads(unquote(built["policy"], errors="strict")), built_by_sdk(built["scopes"])
    if ours == theirs:
        print(f"ok {len(built['scopes'])} scopes")
        return True
    print(f"FAILED\n  ours {ours!r}\n  SDK  {theirs!r}")
    return False


def main(path):
    with open(path, encoding="utf-8") as file:
        verdicts = [passes(built) for built in json.load(file)]
    passed, failed = verdicts.count(True), verdicts.count(False)
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python scopes.py BUILT.json")
    sys.exit(main(sys.argv[1]))
