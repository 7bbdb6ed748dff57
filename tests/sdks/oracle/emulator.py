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


EVERYTHING = {
    "DurationSeconds": 900,
    "ExternalId": "tenant:1/a",
    "SourceIdentity": "100000000001",
    "Tags": [{"Key": f"key{number}", "Value": "v" * 256} for number in range(50)],
}


def client(endpoint, secret_id, secret_key, token=None, **profile):
    method = profile.pop("method", "POST")
    http = HttpProfile(protocol="http", endpoint=endpoint, reqMethod=method)
    unsigned = profile.pop("unsigned", False)
    profile = ClientProfile(httpProfile=http, **profile)
    profile.unsignedPayload = unsigned
    return sts_client.StsClient(credential.Credential(secret_id, secret_key, token), "ap-guangzhou", profile)


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


def role_with(policy=None, **parameters):
    """A call of AssumeRole with these parameters, and a policy only if one is given."""
    request = models.AssumeRoleRequest()
    request.from_json_string(
        json.dumps({"RoleArn": "qcs::cam::uin/12345678:roleName/uploader", "RoleSessionName": "broker-1", **parameters})
    )
    if policy is not None:
        request.Policy = urllib.parse.quote(json.dumps(policy), safe="")
    return lambda sts: sts.AssumeRole(request)


def tags(count, key="key", value="value"):
    return [{"Key": f"{key}{number}", "Value": value} for number in range(count)]


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
        ("role-without-policy", role_with(), good),
        ("role-with-everything", role_with(POLICY, **EVERYTHING), good),
        ("source-identity-with-letters", role_with(SourceIdentity="alice"), good),
        ("external-id-with-space", role_with(ExternalId="a b"), good),
        ("second-factor", role_with(SerialNumber="qcs::cam:uin/1::mfa/softToken", TokenCode="123456"), good),
        ("51-tags", role_with(Tags=tags(51)), good),
        ("one-tag-twice", role_with(Tags=tags(1) + tags(1)), good),
        ("tag-key-too-long", role_with(Tags=tags(1, key="k" * 128)), good),
        ("tag-value-too-long", role_with(Tags=tags(1, value="v" * 257)), good),
        ("unknown-parameter", lambda sts: sts.call_json("AssumeRole", {"RoleArm": "x"}), good),
    ]:
        print(name, outcome(call, sts))
    for sign_method in ["TC3-HMAC-SHA256", "HmacSHA1", "HmacSHA256"]:
        for method in ["POST", "GET"]:
            speak = {"signMethod": sign_method, "method": method, "language": "en-US"}
            for name, call, key in [
                ("federation", federation(), secret_key),
                ("role", role_with(POLICY, **EVERYTHING), secret_key),
                ("wrong-key", federation(), "wrong"),
            ]:
                print(sign_method, method, name, outcome(call, client(endpoint, secret_id, key, **speak)))
            key = role_with()(good).Credentials
            chained = client(endpoint, key.TmpSecretId, key.TmpSecretKey, key.Token, **speak)
            print(sign_method, method, "temporary-key", outcome(role_with(), chained), outcome(federation(), chained))
    print("unsigned-payload", outcome(federation(), client(endpoint, secret_id, secret_key, unsigned=True)))


if __name__ == "__main__":
    main(*sys.argv[1:])
