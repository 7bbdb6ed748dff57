"""Calls an STS emulator with Tencent's official SDK, and prints what the SDK makes of each answer.

Usage: emulator.py HOST:PORT SECRET_ID SECRET_KEY. One line a call: its name, then `ok` or the SDK's error code.
"""

import json
import sys
import urllib.parse

from tencentcloud.common import credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.sts.v20180813 import models, sts_client

ALLOW = {
    "effect": "allow",
    "action": ["name/cos:PutObject"],
    "resource": ["qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/a/*"],
}
POLICY = {"version": "2.0", "statement": [ALLOW]}


def client(endpoint, secret_id, secret_key):
    profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=endpoint))
    return sts_client.StsClient(credential.Credential(secret_id, secret_key), "ap-guangzhou", profile)


def federation(name="uploader", policy=POLICY, duration=1800):
    request = models.GetFederationTokenRequest()
    request.Name, request.DurationSeconds = name, duration
    request.Policy = urllib.parse.quote(json.dumps(policy), safe="")
    return lambda sts: sts.GetFederationToken(request)


def role(arn="qcs::cam::uin/12345678:roleName/uploader", session="broker-1", duration=7200):
    request = models.AssumeRoleRequest()
    request.RoleArn, request.RoleSessionName, request.DurationSeconds = arn, session, duration
    request.Policy = urllib.parse.quote(json.dumps(POLICY), safe="")
    return lambda sts: sts.AssumeRole(request)


def outcome(call, sts):
    try:
        credentials = call(sts).Credentials
        return "ok" if credentials.Token and credentials.TmpSecretId and credentials.TmpSecretKey else "empty"
    except TencentCloudSDKException as error:
        return error.get_code()


def main(endpoint, secret_id, secret_key):
    good = client(endpoint, secret_id, secret_key)
    anybody = {**POLICY, "statement": [{**ALLOW, "principal": {"qcs": "*"}}]}
    somebody = {**POLICY, "statement": [{**ALLOW, "principal": {"qcs": ["qcs::cam::uin/1:uin/2"]}}]}
    loose = {**POLICY, "statement": [{**ALLOW, "resource": ["a/*"]}]}
    for name, call, sts in [
        ("federation", federation(), good),
        ("role", role(), good),
        ("wrong-key", federation(), client(endpoint, secret_id, "wrong")),
        ("unknown-id", federation(), client(endpoint, "AKIDnobody", secret_key)),
        ("name-with-digit", federation(name="u1"), good),
        ("too-long-a-life", federation(duration=129601), good),
        ("principal-anybody", federation(policy=anybody), good),
        ("principal-somebody", federation(policy=somebody), good),
        ("no-statement", federation(policy={"version": "2.0"}), good),
        ("not-a-resource", federation(policy=loose), good),
        ("not-a-role", role(arn="uploader"), good),
        ("session-too-short", role(session="x"), good),
    ]:
        print(name, outcome(call, sts))


if __name__ == "__main__":
    main(*sys.argv[1:])
