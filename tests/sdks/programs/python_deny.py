"""What two users' keys may still do: python_deny.py BROKER CLOUD SECRET_ID SECRET_KEY.

Reads one command a line: `try` prints what a put, get and list say to each user; `policy TEXT` puts the bucket's policy
with the account's key, `no policy` deletes it. One JSON line per command.
"""

import json
import logging
import sys
import urllib.request

from qcloud_cos import CosConfig, CosS3Client, CosServiceError

BUCKET, REGION = "examplebucket-1250000000", "ap-guangzhou"


def fetched(url, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, headers=headers)
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).read().decode()


def client(cloud, secret_id, secret_key, token=None):
    config = CosConfig(
        Region=REGION, Scheme="http", Proxies={"http": cloud}, SecretId=secret_id, SecretKey=secret_key, Token=token
    )
    return CosS3Client(config, retry=0)


def user(broker, cloud, name):
    answer = json.loads(fetched(f"{broker}/v1/credentials/files", fetched(f"{cloud}/token?sub={name}")))
    key = answer["credentials"]
    return client(cloud, key["tmpSecretId"], key["tmpSecretKey"], key["sessionToken"])


def status(call):
    try:
        call()
        return 200
    except CosServiceError as error:
        return error.get_status_code()


def tried(name, cos):
    home = f"users/{name}/"
    return {
        "put": status(lambda: cos.put_object(BUCKET, b"x", f"{home}a")),
        "get": status(lambda: cos.get_object(BUCKET, f"{home}a")),
        "list": status(lambda: cos.list_objects(BUCKET, Prefix=home)),
    }


def main(broker, cloud, secret_id, secret_key):
    logging.disable()
    account = client(cloud, secret_id, secret_key)
    users = {name: user(broker, cloud, name) for name in ["alice", "bob"]}
    for line in sys.stdin:
        command, _, text = line.rstrip("\n").partition(" ")
        if command == "try":
            answer = {name: tried(name, cos) for name, cos in users.items()}
        elif command == "policy":
            account.put_bucket_policy(BUCKET, text)
            answer = json.loads(account.get_bucket_policy(BUCKET)["Policy"])
        else:
            answer = status(lambda: account.delete_bucket_policy(BUCKET))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
