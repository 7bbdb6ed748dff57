"""Judges the broker's requests to STS by Tencent's official Python SDKs. Nothing is sent anywhere.

    pip install -r requirements.txt
    python judge.py RECORDED.json

RECORDED.json is a list of

    {"secret_id", "secret_key", "token" (or null), "headers": {lower-case name: value}, "body": "<exact text>"}

A request passes if
- the SDK, given the same key, body, host, region and clock, writes the same headers to the byte, `Authorization` too;
- the SDK's request model knows every field of the body, and gives the same object back;
- `Policy` decodes to a CAM policy with at least one statement and no principal, and is percent-encoded as
  qcloud-python-sts does it, but for `/`: that SDK leaves it standing, the broker writes `%2F`.

Prints a line for each request, then the sums; exits 1 if any fails.
"""

import json
import re
import sys
import warnings
from types import SimpleNamespace
from unittest.mock import patch
from urllib.parse import unquote

from sts import sts as cos_sts
from tencentcloud.common import abstract_client
from tencentcloud.common.credential import Credential
from tencentcloud.common.http.request import RequestInternal
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.sts.v20180813 import models
from tencentcloud.sts.v20180813.sts_client import StsClient

MODELS = {
    "GetFederationToken": models.GetFederationTokenRequest,
    "AssumeRole": models.AssumeRoleRequest,
}
HEADERS = [
    "content-type",
    "host",
    "x-tc-action",
    "x-tc-version",
    "x-tc-region",
    "x-tc-timestamp",
    "x-tc-token",
    "authorization",
]
TYPES = {"str": str, "int": int, "list": list}


class Differs(Exception):
    """Why a request is not as the SDK would have made it."""


def require(holds, why):
    if not holds:
        raise Differs(why)


def require_equal(what, ours, theirs):
    require(ours == theirs, f"{what} differs\n  broker {ours!r}\n  SDK    {theirs!r}")


def judge(recorded):
    """Raises at the first difference."""
    headers = recorded["headers"]
    for name in HEADERS:
        require(name in headers or name == "x-tc-token", f"header {name} is missing")
    action = headers["x-tc-action"]
    require(action in MODELS, f"header x-tc-action is {action!r}, neither of {', '.join(MODELS)}")
    require_equal("header x-tc-version", headers["x-tc-version"], StsClient._apiVersion)
    require_equal("header content-type", headers["content-type"], "application/json")
    require(headers["x-tc-timestamp"].isdecimal(), "header x-tc-timestamp is not seconds")
    theirs = headers_by_sdk(recorded)
    for name in HEADERS:
        require_equal(f"header {name}", headers.get(name), theirs.get(name))
    parameters = parsed("the body", recorded["body"])
    require_modelled(MODELS[action], parameters)
    require_confining(parameters.get("Policy"))


def headers_by_sdk(recorded):
    """The headers that the SDK writes around this exact body at this clock."""
    headers, body = recorded["headers"], recorded["body"]
    key = Credential(recorded["secret_id"], recorded["secret_key"], recorded["token"])
    profile = ClientProfile(httpProfile=HttpProfile(endpoint=headers["host"]))
    client = StsClient(key, headers["x-tc-region"], profile)
    request = RequestInternal(headers["host"], "POST", client._requestPath)
    clock = SimpleNamespace(time=lambda: int(headers["x-tc-timestamp"]))
    writer = SimpleNamespace(dumps=lambda _: body)
    with patch.object(abstract_client, "time", clock), patch.object(abstract_client, "json", writer):
        client._build_req_inter(headers["x-tc-action"], None, request)
    return {name.lower(): value for name, value in request.header.items()}


def require_modelled(model, parameters):
    """The SDK warns of a field it does not know; its documentation strings tell the types."""
    require(isinstance(parameters, dict), "the body is not an object")
    request = model()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            request._deserialize(parameters)
    except UserWarning as warning:
        raise Differs(f"the body has what {model.__name__} does not know: {warning}") from None
    require_equal("the body", parameters, request._serialize())
    types = dict(re.findall(r":type (\w+): (\w+)", model.__init__.__doc__))
    for name, value in parameters.items():
        require(type(value) is TYPES[types[name]], f"{name} is not of type {types[name]}: {value!r}")


def require_confining(encoded):
    """Without a policy, STS would grant all rights of the caller."""
    require(encoded, "Policy is missing or empty: the key would hold all rights")
    try:
        text = unquote(encoded, errors="strict")
    except UnicodeDecodeError as error:
        raise Differs(f"Policy does not decode to UTF-8: {error}") from None
    policy = parsed("Policy", text)
    require(isinstance(policy, dict), "Policy is not an object")
    require(policy.get("version") == "2.0", f"Policy has version {policy.get('version')!r}")
    statements = policy.get("statement")
    require(isinstance(statements, list) and statements, "Policy has no statement")
    for part in [policy, *statements]:
        require(isinstance(part, dict), "Policy has a statement that is not an object")
        require("principal" not in map(str.lower, part), "Policy has a principal")
    require_equal("the percent-encoding of Policy", encoded, encoded_by_sdk(text))


def encoded_by_sdk(text):
    """What qcloud-python-sts sends as `Policy` for a policy of this exact text, `/` encoded as well."""
    sent = {}

    def post(_url, data, **_options):
        sent.update(data)
        return SimpleNamespace(json=lambda: {"Response": {"ExpiredTime": 0}})

    writer = SimpleNamespace(dumps=lambda _: text)
    asker = cos_sts.Sts({"secret_id": "id", "secret_key": "key", "policy": {}})
    with patch.object(cos_sts, "requests", SimpleNamespace(post=post)), patch.object(cos_sts, "json", writer):
        asker.get_credential()
    return sent["Policy"].replace("/", "%2F")


def parsed(what, text):
    try:
        return json.loads(text, object_pairs_hook=without_duplicates)
    except ValueError as error:
        raise Differs(f"{what} is not JSON: {error}") from None


def without_duplicates(pairs):
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        raise ValueError("a name is given twice")
    return dict(pairs)


def passes(index, recorded):
    action = recorded["headers"].get("x-tc-action")
    try:
        judge(recorded)
    except Differs as why:
        print(f"FAILED request {index} ({action}): {why}")
        return False
    print(f"ok {action}")
    return True


def main(path):
    with open(path, encoding="utf-8") as file:
        every = json.load(file)
    verdicts = [passes(index, recorded) for index, recorded in enumerate(every)]
    passed, failed = verdicts.count(True), verdicts.count(False)
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python judge.py RECORDED.json")
    sys.exit(main(sys.argv[1]))
