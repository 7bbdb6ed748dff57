"""A Flask server around qcloud-python-sts, as the vendor's demo has it: each request is a call to STS."""

import logging
import sys

from flask import Flask, jsonify
from sts.sts import Sts

sts_address, port = sys.argv[1:]
app = Flask(__name__)


@app.get("/v1/credentials")
def credentials():
    sts = Sts({
        "url": f"http://{sts_address}/",
        "domain": sts_address,
        "secret_id": "AKIDbench",
        "secret_key": "bench",
        "duration_seconds": 1800,
        "bucket": "examplebucket-1250000000",
        "region": "ap-guangzhou",
        "allow_prefix": ["users/alice/*"],
        "allow_actions": ["name/cos:PutObject", "name/cos:PostObject"],
    })
    return jsonify(sts.get_credential())


logging.getLogger("werkzeug").disabled = True
app.run(host="127.0.0.1", port=int(port))
