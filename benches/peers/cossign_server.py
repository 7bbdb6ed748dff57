"""cossign as it is on PyPI, with its STS on this machine: its URL of STS is fixed."""

import logging
import sys

from cossign import cossign

sts, port = sys.argv[1:]
url_of_call = cossign.cam_url
cossign.cam_url = lambda *arguments: url_of_call(*arguments).replace("https://sts.api.qcloud.com", f"http://{sts}")
# It prints each call and each credential.
cossign.print = lambda *_: None
logging.getLogger("werkzeug").disabled = True
cossign.app.run(host="127.0.0.1", port=int(port))
