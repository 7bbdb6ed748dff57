"""An Android app with Tencent's SDK, by the SDK's rules: android_app.py BROKER CLOUD. One JSON line per step.

The rules are those of `BasicScopeLimitCredentialProvider`, `STSCredentialScope`, `HttpTask`, `RetryInterceptor` and
`COSXmlSignSourceProvider`. Standard library only. Asserts nothing: the expected results are in tests/sdks/android.rs.
"""

import hashlib
import hmac
import json
import sys
import time
from http.client import HTTPConnection
from urllib.parse import quote, unquote_plus, urlsplit

import android

BUCKET, REGION = "examplebucket-1250000000", "ap-guangzhou"
HOST = f"{BUCKET}.cos.{REGION}.myqcloud.com"
MAX_ATTEMPTS = 3
MAX_CACHED_KEYS = 100
SIGNATURE_SECONDS = 600


def send(origin, method, path, headers=(), body=None):
    """Sends one request, and returns the status and the body."""
    connection = HTTPConnection(urlsplit(origin).netloc, timeout=30)
    connection.request(method, path, body, dict(headers))
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


class Request:
    """`HttpRequest` to the broker, whose headers a retry changes."""

    def __init__(self, broker, path, token):
        self.broker, self.path = broker, path
        self.headers = {"Authorization": f"Bearer {token}"}

    def send(self, body=None):
        """Sends the request until there is an answer that is no 5xx, and returns the answer and how many were sent."""
        # What is sent is built from the request before the first attempt. A retry wants to sign anew: it removes the
        # authorization from the request, and without a signer puts none back. What is sent stays as it was.
        sent = dict(self.headers)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            if attempt > 1:
                self.headers.pop("Authorization", None)
                self.headers["x-cos-sdk-retry"] = "true"
            status, text = send(self.broker, "GET" if body is None else "POST", self.path, sent, body)
            if status < 500:
                break
        return {"mode": "v2", "status": status, "body": text}, attempt


class ScopeProvider:
    """`BasicScopeLimitCredentialProvider`: a key for each list of scopes."""

    def __init__(self, broker, token):
        self.request = Request(broker, "/sts", token)
        self.cached, self.requests = {}, 0

    def key(self, action, name):
        scope = {"action": action, "bucket": BUCKET, "prefix": name.removeprefix("/"), "region": REGION}
        scopes = json.dumps([scope])
        if scopes not in self.cached:
            self.requests += 1
            answer, _ = self.request.send(scopes)
            key = android.read(answer)
            while len(self.cached) > MAX_CACHED_KEYS:
                del self.cached[next(iter(self.cached))]
            self.cached[scopes] = key
        return self.cached[scopes]


def authorization(key, method, path, headers):
    """What `COSXmlSigner` signs: it decodes the path as a form, in which `+` is a space."""
    mac = lambda secret, text: hmac.new(secret.encode(), text.encode(), hashlib.sha1).hexdigest()
    window = f"{int(time.time())};{int(time.time()) + SIGNATURE_SECONDS}"
    names = sorted(headers)
    values = "&".join(f"{name}={quote(headers[name], safe='')}" for name in names)
    source = f"{method.lower()}\n{unquote_plus(path)}\n\n{values}\n"
    signed = f"sha1\n{window}\n{hashlib.sha1(source.encode()).hexdigest()}\n"
    signature = mac(mac(key["secretKey"], window), signed)
    parts = {"sign-algorithm": "sha1", "ak": key["secretId"], "sign-time": window, "key-time": window}
    parts |= {"header-list": ";".join(names), "url-param-list": "", "signature": signature}
    return "&".join(f"q-{name}={value}" for name, value in parts.items())


def cos(cloud, key, method, path, body=None):
    """Sends a signed request to COS, and returns its status and body."""
    headers = {"host": HOST, "x-cos-security-token": key["token"]}
    if body is not None:
        headers |= {"content-length": str(len(body)), "content-type": "text/plain"}
    headers["Authorization"] = authorization(key, method, path, headers)
    return send(cloud, method, path, headers, body)


def step(name, act):
    try:
        print(json.dumps({"step": name, "value": act()}), flush=True)
    except android.Refused as why:
        print(json.dumps({"step": name, "refused": str(why)}), flush=True)


def scopes(broker, cloud, token):
    """A key for each file and action, as long as the broker gives them."""
    provider = ScopeProvider(broker, token)
    put = lambda count: [provider.key("name/cos:PutObject", f"/users/alice/{at}.jpg") for at in range(count)]
    step("32 files", lambda: (len(put(32)), provider.requests))
    step("the same files again", lambda: (len(put(32)), provider.requests))
    own = put(1)[0]
    step("upload of the key's file", lambda: cos(cloud, own, "PUT", "/users/alice/0.jpg", b"x")[0])
    step("upload of another file", lambda: cos(cloud, own, "PUT", "/users/alice/1.jpg", b"x")[0])
    step("download with the key of an upload", lambda: cos(cloud, own, "GET", "/users/alice/0.jpg")[0])
    step("a file of bob's", lambda: provider.key("name/cos:PutObject", "users/bob/0.jpg"))


def retries(broker, cloud, token):
    """STS fails until the broker answers 503, and then no more."""
    once = Request(broker, "/v1/credentials/files", token)
    send(cloud, "POST", "/faults", body=json.dumps({"on": "sts", "fault": "error"}))
    step("while STS fails", lambda: android.read(once.send()[0]))
    send(cloud, "DELETE", "/faults")
    # The broker calls STS again after a while.
    send(cloud, "PUT", "/clock", body=json.dumps({"ahead": "1m"}))
    step("afterwards, with the request that was built once", lambda: android.read(once.send()[0]))
    anew = Request(broker, "/v1/credentials/files", token)
    step("afterwards, with a request that is built anew", lambda: android.read(anew.send()[0])["secretId"] != "")


def plus(broker, cloud, token):
    """Names with `+`, escaped and not."""
    answer, _ = Request(broker, "/v1/credentials/files", token).send()
    key = android.read(answer)
    names = ["a+b.txt", "a%2Bb.txt", "a%20b.txt"]
    for name in names:
        step(f"upload of {name}", lambda: cos(cloud, key, "PUT", f"/users/alice/{name}", name.encode())[0])
    for name in names:
        step(f"download of {name}", lambda: cos(cloud, key, "GET", f"/users/alice/{name}"))


def main(broker, cloud):
    tokens = {name: send(cloud, "GET", f"/token?sub={name}")[1] for name in ["alice", "carol"]}
    plus(broker, cloud, tokens["alice"])
    scopes(broker, cloud, tokens["alice"])
    retries(broker, cloud, tokens["carol"])


if __name__ == "__main__":
    main(*sys.argv[1:])
