"""Django with SimpleJWT, as the issuer of an app's tokens: simplejwt.py CLOUD. The users Alice and Bob log in at
/api/token/ with the password "a-password-of-the-test". Prints its address, then one JSON line for each line of its input:
    login NAME         the tokens of this user, got over HTTP
    upload CREDENTIALS whether the home of these credentials can be written, by Tencent's SDK
"""

import json
import logging
import os
import sys
import tempfile
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
import requests
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from qcloud_cos import CosConfig, CosS3Client, CosServiceError

PASSWORD = "a-password-of-the-test"


class Silent(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def make_login(directory):
    """What `settings.py` of an app says, with SimpleJWT as its guide sets it up."""
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        SECRET_KEY=os.environ["DJANGO_SIGNING_KEY"],
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{directory}/db"}},
        ROOT_URLCONF=__name__,
    )
    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.urls import path
    from rest_framework_simplejwt.views import TokenObtainPairView

    globals()["urlpatterns"] = [path("api/token/", TokenObtainPairView.as_view())]
    call_command("migrate", verbosity=0)
    for name in ["alice", "bob"]:
        User.objects.create_user(name, password=PASSWORD)
    server = make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def login(address, name):
    answer = requests.post(f"{address}/api/token/", json={"username": name, "password": PASSWORD}, timeout=30)
    answer.raise_for_status()
    return answer.json()


def upload(cloud, answer):
    credentials = answer["credentials"]
    config = CosConfig(
        Region=answer["region"],
        Scheme="http",
        Proxies={"http": cloud},
        SecretId=credentials["tmpSecretId"],
        SecretKey=credentials["tmpSecretKey"],
        Token=credentials["sessionToken"],
    )
    try:
        CosS3Client(config, retry=0).put_object(answer["bucket"], b"x", answer["prefix"] + "x")
        return 200
    except CosServiceError as error:
        return error.get_status_code()


def main(cloud):
    logging.disable()
    with tempfile.TemporaryDirectory() as directory:
        address = make_login(directory)
        print(json.dumps(address), flush=True)
        for line in sys.stdin:
            command, argument = line.split(maxsplit=1)
            if command == "login":
                print(json.dumps(login(address, argument.strip())), flush=True)
            if command == "upload":
                print(json.dumps(upload(cloud, json.loads(argument))), flush=True)


main(*sys.argv[1:])
