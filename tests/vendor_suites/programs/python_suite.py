"""The tests of a checkout of cos-python-sdk-v5: python_suite.py CHECKOUT CLOUD SECRET_ID SECRET_KEY LEFT_OUT.

Prints one JSON line per test. The suite connects to COS's real host names with HTTPS; here it reaches the sandbox, with
plain HTTP.
"""

import importlib
import json
import logging
import os
import re
import signal
import sys
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path

import requests

TEST_TIMEOUT = 60
APPID, REGION = "1250000000", "ap-guangzhou"
SETTINGS = {
    # The tests of data processing run only so.
    "TEST_CI": "true",
    "TRAVIS_FLAG": "true",
    "USE_CREDENTIAL_INST": "false",
    # A server of the vendor's that fails on purpose, which is not here.
    "ERR_HOST": "127.0.0.1:9",
    "COS_VECTORS_BUCKET": f"vectors-{APPID}",
    "COS_VECTORS_BUCKET_FOR_CREATE_DELETE": f"new-vectors-{APPID}",
    "COS_VECTORS_USE_IP": "false",
}
COS_DOMAINS = re.compile(r"https?://[^/]*\.(myqcloud\.com|tencentcos\.cn)(:\d+)?(/|\?|$)")


def redirect_to(cloud):
    """Makes `requests` send what is for COS to the sandbox, which is its proxy, and nothing to other hosts."""
    send = requests.adapters.HTTPAdapter.send

    def send_redirected(adapter, request, **options):
        if not COS_DOMAINS.match(request.url):
            raise requests.exceptions.ConnectionError(f"{request.url} is no host of COS")
        request.url = re.sub("^https", "http", request.url)
        options["proxies"] = {"http": cloud}
        return send(adapter, request, **options)

    requests.adapters.HTTPAdapter.send = send_redirected


def timed_out(_signal, _frame):
    raise TimeoutError(f"it took more than {TEST_TIMEOUT} s")


def result_of(test):
    signal.alarm(TEST_TIMEOUT)
    try:
        test()
        return {"ok": True}
    except BaseException as error:
        return {"ok": False, "why": f"{type(error).__name__}: {error}"}
    finally:
        signal.alarm(0)


def main(checkout, cloud, secret_id, secret_key, left_out_file):
    redirect_to(cloud)
    account = {"APPID": APPID, "SECRET_ID": secret_id, "SECRET_KEY": secret_key, "REGION": REGION}
    for prefix in ["COS_", "COS_VECTORS_"]:
        os.environ.update({prefix + name: value for name, value in account.items()})
    os.environ.update(SETTINGS)
    sys.path.insert(0, checkout)
    left_out = json.loads(Path(left_out_file).read_text())
    # The suite writes its progress to standard output, and files into the current folder.
    output, sys.stdout = sys.stdout, open(os.devnull, "w")
    with tempfile.TemporaryDirectory(prefix="cosbroker-python-suite-") as folder:
        os.chdir(folder)
        suite = importlib.import_module("ut.test")
        logging.disable()
        signal.signal(signal.SIGALRM, timed_out)
        suite.setUp()
        tests = {name: test for name, test in vars(suite).items() if name.startswith("test_") and callable(test)}
        for name, test in tests.items():
            is_left_out = any(fnmatchcase(name, pattern) for pattern in left_out)
            result = {"left_out": True} if is_left_out else result_of(test)
            print(json.dumps({"test": name, **result}), file=output, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
