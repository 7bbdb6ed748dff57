"""Renders what deploy/ has for Kubernetes and Compose, checks it, and prints the documents as a JSON list.

render.py chart DIR VALUES   lints and renders a Helm chart with values, given as JSON
render.py manifest FILE      reads YAML documents; - is stdin
render.py compose FILE       reads a Compose file
"""

import json
import sys

import helm_python
import kubernetes_validate
import yaml
from compose_spec import PyCompose

# What deploy/ promises, and what is the newest.
KUBERNETES_VERSIONS = ["1.30", kubernetes_validate.utils.latest_version()]
# Resources that others define.
NOT_KUBERNETES = {"PodMonitor", "Kustomization"}


def check(documents):
    for document in documents:
        if document["kind"] in NOT_KUBERNETES:
            continue
        for version in KUBERNETES_VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
    return documents


def read(text):
    return [document for document in yaml.safe_load_all(text) if document]


def chart(directory, values):
    values = json.loads(values)
    findings = helm_python.lint(directory, values=values, strict=True)
    with helm_python.Chart.load(directory) as loaded:
        loaded.validate_schema(values)
        rendered = loaded.render(values, name="keys", namespace="cosbroker")
    notes = [text for name, text in rendered.items() if name.endswith("NOTES.txt")]
    manifests = [text for name, text in sorted(rendered.items()) if name.endswith(".yaml")]
    return {
        "findings": findings,
        "notes": "".join(notes),
        "documents": check([document for text in manifests for document in read(text)]),
    }


def main(kind, *arguments):
    if kind == "chart":
        return chart(*arguments)
    [file] = arguments
    text = sys.stdin.read() if file == "-" else open(file, encoding="utf-8").read()
    if kind == "manifest":
        return check(read(text))
    compose = PyCompose.from_yaml(text)
    # That what services name exists, and that every field is one of the specification.
    compose.validate()
    return [compose.to_spec().model_dump(mode="json", exclude_none=True)]


print(json.dumps(main(*sys.argv[1:])))
