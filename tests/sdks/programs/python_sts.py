"""qcloud-python-sts with the STS emulator: python_sts.py CLOUD SECRET_ID SECRET_KEY. One JSON line per step."""

import ast
import json
import logging
import sys
from urllib.parse import urlparse

from qcloud_cos import CosConfig, CosS3Client, CosServiceError
from sts.sts import Scope, Sts

BUCKET = {"bucket": "examplebucket-1250000000", "region": "ap-guangzhou"}


def put(cloud, call, key):
    credentials = Sts(call).get_credential()["credentials"]
    config = CosConfig(
        Region=BUCKET["region"],
        Scheme="http",
        Proxies={"http": cloud},
        SecretId=credentials["tmpSecretId"],
        SecretKey=credentials["tmpSecretKey"],
        Token=credentials["sessionToken"],
    )
    CosS3Client(config, retry=0).put_object(BUCKET["bucket"], b"x", key)


def main(cloud, secret_id, secret_key):
    logging.disable()
    call = {
        **BUCKET,
        "url": f"{cloud}/",
        "domain": urlparse(cloud).netloc,
        "secret_id": secret_id,
        "secret_key": secret_key,
        "allow_prefix": ["sts/*"],
        "allow_actions": ["name/cos:PutObject"],
    }
    scopes = [Scope("name/cos:PutObject", BUCKET["bucket"], BUCKET["region"], "sts/*")]
    role = "qcs::cam::uin/12345678:roleName/uploader"

    def key(**changed):
        return Sts({**call, **changed}).get_credential()

    for step, act in {
        "a key": key,
        "a key of a role": lambda: Sts(call).get_role_credential(role),
        "a key of scopes": lambda: key(policy=Sts.get_policy(scopes)),
        "a key signed for the host that the package knows": lambda: key(domain="sts.tencentcloudapi.com"),
        "put where the key allows": lambda: put(cloud, call, "sts/x"),
        "put elsewhere": lambda: put(cloud, call, "x"),
        "a wrong secret": lambda: key(secret_key="wrong"),
        "an unknown secret id": lambda: key(secret_id="AKIDunknown"),
        "too long a duration": lambda: key(duration_seconds=129_601),
        "no statement": lambda: key(policy={"version": "2.0"}),
    }.items():
        try:
            result = {"ok": True, "answer": act()}
        except CosServiceError as error:
            result = {"ok": False, "code": error.get_error_code()}
        except Exception as error:
            # The package raises the answer, formatted by Python.
            answer = ast.literal_eval(error.args[0].removeprefix("result: "))
            result = {"ok": False, "code": answer["Error"]["Code"]}
        print(json.dumps({"step": step, **result}))


if __name__ == "__main__":
    main(*sys.argv[1:])
