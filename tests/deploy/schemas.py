"""Strict JSON schemas of custom resources, from Python packages whose classes were generated from the CRDs.

The classes are read as text, never imported: KServe's SDK wants fifty packages, and Kubernetes' own types are taken from
kubernetes-validate's schemas. What a class does not name is refused, as the API server's strict validation does.
"""

import ast
import json
import re
import zipfile
from pathlib import Path
from typing import Dict, Iterator, Optional, Tuple

# What generated classes call Kubernetes' own types.
CORE = ["io.k8s.api.core.v1.", "io.k8s.apimachinery.pkg.apis.meta.v1.", "io.k8s.apimachinery.pkg.api.resource."]
PLAIN = {
    "str": {"type": "string"}, "int": {"type": "integer"}, "float": {"type": "number"}, "bool": {"type": "boolean"},
    "object": {}, "datetime": {"type": "string"}, "Any": {}, "IntOrString": {"type": ["integer", "string"]},
    "ResourceQuantity": {"type": ["string", "number"]}, "V1beta1MetricQuantity": {"type": "string"},
    "None": {"type": "null"},
}
Schema = Dict[str, object]


def strict(properties: Schema, required: list) -> Schema:
    """A class."""
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


class Kubernetes:
    """Kubernetes' own types, as kubernetes-validate keeps them."""

    def __init__(self, package: Path, version: str) -> None:
        path = package / "kubernetes-json-schema" / f"v{version}.0-local-strict" / "_definitions.json"
        self.known = json.loads(path.read_text())["$defs"]

    def find(self, name: str) -> Optional[str]:
        """The full name of `V1Container`, `K8sIoApiAutoscalingV2...` or `ObjectMeta`."""
        far = re.fullmatch(r"K8sIoApi([A-Z][a-z]+)(V\d\w*?)([A-Z]\w*)", name)
        if far:
            tries = [f"io.k8s.api.{far[1].lower()}.{far[2].lower()}.{far[3]}"]
        else:
            tries = [prefix + re.sub(r"^V1(?=[A-Z])", "", name) for prefix in CORE]
        return next((one for one in tries if one in self.known), None)


def openapi(wheel: Path) -> Iterator[Tuple[str, Schema]]:
    """Classes of openapi-generator: `openapi_types` and `attribute_map`. What is required is what the constructor checks."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if not re.fullmatch(r"kserve/models/v\d\w+\.py", name):
                continue
            text = archive.read(name).decode()
            for one in ast.parse(text).body:
                if isinstance(one, ast.ClassDef):
                    yield one.name, openapi_class(one, text)


def openapi_class(one: ast.ClassDef, text: str) -> Schema:
    held = {}
    for line in one.body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            held[line.targets[0].id] = ast.literal_eval(line.value)
    names, types = held.get("attribute_map", {}), held.get("openapi_types", {})
    required = [names[key] for key in names if f"Invalid value for `{key}`, must not be `None`" in text]
    return strict({names[key]: openapi_type(types[key]) for key in names}, required)


def typed(name: str) -> Schema:
    """A plain type, or a class by name."""
    return PLAIN[name] if name in PLAIN else {"$ref": f"#/definitions/{name}"}


def openapi_type(text: str) -> Schema:
    text = text.strip()
    if text.startswith("list["):
        return {"type": "array", "items": openapi_type(text[5:-1])}
    if text.startswith("dict("):
        return {"type": "object", "additionalProperties": openapi_type(text[5:-1].split(",", 1)[1])}
    return typed(text)


def pydantic(wheel: Path, module: str) -> Iterator[Tuple[str, Schema]]:
    """Classes of pydantic: annotations, with the name in `Field(alias=...)` where it differs."""
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(module).decode()
    for one in ast.parse(text).body:
        if isinstance(one, ast.ClassDef):
            root = [base.slice for base in one.bases if isinstance(base, ast.Subscript)]
            yield one.name, annotated(root[0]) if root else pydantic_class(one)


def pydantic_class(one: ast.ClassDef) -> Schema:
    properties, required = {}, []
    for line in one.body:
        if not isinstance(line, ast.AnnAssign):
            continue
        name = line.target.id
        for keyword in fields(line.annotation):
            if keyword.arg == "alias":
                name = ast.literal_eval(keyword.value)
        properties[name] = annotated(line.annotation)
        if line.value is None:
            required.append(name)
    return strict(properties, required)


def fields(annotation: ast.expr) -> list:
    """What `Field` says within `Annotated`."""
    if isinstance(annotation, ast.Subscript) and getattr(annotation.value, "id", "") == "Annotated":
        return annotation.slice.elts[1].keywords
    return []


def annotated(node: ast.expr) -> Schema:
    """The schema of an annotation."""
    if isinstance(node, ast.Constant):
        return PLAIN[str(node.value)] if node.value is None else {"const": node.value}
    if isinstance(node, (ast.Name, ast.Attribute)):
        name = node.id if isinstance(node, ast.Name) else node.attr
        return typed(name)
    kind = node.value.id
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if kind in ("Annotated", "Optional"):
        return annotated(parts[0])
    if kind in ("List", "Dict"):
        inner = annotated(parts[-1])
        return {"type": "array", "items": inner} if kind == "List" else {"type": "object", "additionalProperties": inner}
    if kind in ("Union", "Literal"):
        return {"anyOf": [annotated(part) for part in parts]}
    raise ValueError(f"an annotation of the kind {kind}")


class Custom:
    """Custom resources by kind."""

    def __init__(self, classes: Dict[str, Schema], kubernetes: Kubernetes) -> None:
        self.classes, self.kubernetes = classes, kubernetes

    def schema(self, name: str) -> Schema:
        """The schema of a class, with everything that it leads to."""
        definitions: Schema = {}
        waiting = [name]
        while waiting:
            one = waiting.pop()
            if one not in definitions:
                definitions[one] = self.definition(one)
                waiting += re.findall(r'"#/definitions/([^"]+)"', json.dumps(definitions[one]))
        return {"$ref": f"#/definitions/{name}", "definitions": definitions}

    def definition(self, name: str) -> Schema:
        if name in self.classes:
            return self.classes[name]
        full = name if name in self.kubernetes.known else self.kubernetes.find(name)
        if full is None:
            # A package may lack a class. Then nobody can say whether what uses it is right.
            return {"not": {}, "description": f"no schema of {name}"}
        text = json.dumps(self.kubernetes.known[full])
        return json.loads(re.sub(r'"[^"]*#/\$defs/', '"#/definitions/', text))
