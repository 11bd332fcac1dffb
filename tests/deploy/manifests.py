"""Renders what lies in deploy/ and checks it strictly: Kubernetes' kinds, KServe's, KEDA's and the operator's.

    python3 tests/deploy/manifests.py FOLDER...     other folders than those of deploy/

Also checks what schemas cannot say: that selectors select the pods, and that the time to end suffices. Needs kubectl and
the packages of requirements.txt; the wheels of models.txt lie in --wheels.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, Iterator, List

import jsonschema
import kubernetes_validate
import yaml

import schemas

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
WHEELS = Path(__file__).resolve().parent / ".venv" / "wheels"
# The oldest that knows preStop's `sleep`, and the newest that the schemas know.
VERSIONS = ("1.30", "1.37")
# Unpacked here where there is none; see the Makefile.
UNPACKED = ROOT / "vendor" / "tools" / "usr" / "bin" / "kubectl"
# Classes of custom kinds.
KINDS = {
    "serving.kserve.io/v1alpha1 ClusterServingRuntime": "V1alpha1ClusterServingRuntime",
    "serving.kserve.io/v1beta1 InferenceService": "V1beta1InferenceService",
    "keda.sh/v1alpha1 ScaledObject": "ScaledObject",
    "monitoring.coreos.com/v1 ServiceMonitor": "ServiceMonitor",
}
# What closing connections takes after the exit timeout, seconds (docs/limits.md).
CLOSING = 5
Document = Dict[str, object]


def kubectl() -> str:
    """The tool's path or name."""
    return str(UNPACKED) if UNPACKED.exists() else "kubectl"


def render(folder: Path) -> List[Document]:
    """The documents that Kustomize makes of a folder."""
    done = subprocess.run([kubectl(), "kustomize", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{folder}: {done.stderr}")
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def folders() -> List[Path]:
    """Everything that is meant to be applied. Bases and components are rendered as parts of it."""
    found = [path.parent for path in sorted(DEPLOY.rglob("kustomization.yaml"))]
    return [one for one in found if "components" not in one.parts and one.name != "base"]


def name(document: Document) -> str:
    """What it is."""
    return f"{document['kind']} {document['metadata']['name']}"


class Checker:
    """Schemas, read once."""

    def __init__(self, wheels: Path) -> None:
        self.custom: Dict[str, schemas.Custom] = {}
        kubernetes = schemas.Kubernetes(Path(kubernetes_validate.__file__).parent, VERSIONS[-1])
        sources: Dict[str, Callable] = {
            "kserve": schemas.openapi,
            "cloudcoil_models_keda": lambda wheel: schemas.pydantic(wheel, "cloudcoil/models/keda/v1alpha1.py"),
            "cloudcoil_models_prometheus_operator": lambda wheel: schemas.pydantic(
                wheel, "cloudcoil/models/prometheus_operator/v1.py"),
        }
        for package, read in sources.items():
            custom = schemas.Custom(dict(read(wheel(wheels, package))), kubernetes)
            for kind, made in KINDS.items():
                if made in custom.classes:
                    self.custom[kind] = jsonschema.Draft7Validator(custom.schema(made))
        if missing := KINDS.keys() - self.custom.keys():
            raise ValueError(f"no classes for {sorted(missing)}")

    def faults(self, document: Document) -> Iterator[str]:
        """What is wrong with one document."""
        kind = f"{document['apiVersion']} {document['kind']}"
        if kind in self.custom:
            for error in self.custom[kind].iter_errors(document):
                yield f"{name(document)}: {error.json_path}: {error.message[:200]}"
            return
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                place = ".".join(map(str, error.path))
                yield f"{name(document)} (Kubernetes {version}): {place}: {error.message[:200]}"
            except kubernetes_validate.SchemaNotFoundError as error:
                yield f"{name(document)}: {error.message}"


def wheel(folder: Path, package: str) -> Path:
    """The one wheel of a package."""
    found = list(folder.glob(f"{package}-*.whl"))
    if len(found) != 1:
        sys.exit(f"{folder} has {len(found)} wheels of {package}: make deploy-python")
    return found[0]


def together(documents: List[Document]) -> Iterator[str]:
    """What is wrong with documents beside each other."""
    pods = [one["spec"]["template"] for one in documents if one["kind"] == "Deployment"]
    for one in documents:
        if one["kind"] == "InferenceService":
            yield from ending(one["spec"]["predictor"])
    services = [one for one in documents if one["kind"] == "Service"]
    for pod in pods:
        labels = pod["metadata"]["labels"]
        for one in documents:
            wanted = selector(one)
            if wanted is not None and not (wanted and wanted.items() <= labels.items()):
                yield f"{name(one)} selects {wanted}, and the pods are {labels}"
        yield from ending(pod["spec"])
    for one in documents:
        if one["kind"] == "ServiceMonitor":
            wanted = one["spec"]["selector"]["matchLabels"]
            count = sum(wanted.items() <= service["metadata"]["labels"].items() for service in services)
            if count != 1:
                yield f"{name(one)} selects {count} Services"
        target = one["spec"].get("scaleTargetRef") if isinstance(one.get("spec"), dict) else None
        if target and not any(name(other) == f"Deployment {target['name']}" for other in documents):
            yield f"{name(one)} scales {target['name']}, which is not there"


def selector(document: Document) -> object:
    """The labels of pods that a document means, if it means any."""
    spec = document.get("spec", {})
    if document["kind"] == "Service":
        return spec.get("selector", {})
    held = {"PodDisruptionBudget": "selector", "NetworkPolicy": "podSelector", "Deployment": "selector"}
    key = held.get(document["kind"])
    return spec.get(key, {}).get("matchLabels", {}) if key else None


def ending(pod: Document) -> Iterator[str]:
    """Whether the pod is killed before the server has ended by itself."""
    for container in pod.get("containers", []):
        told = {one["name"]: one.get("value") for one in container.get("env", [])}
        if "MIMI_EXIT_NOTICE_SECS" not in told:
            # Not a server: the proxy of a mesh, say.
            continue
        sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        needs = sleep + int(told["MIMI_EXIT_NOTICE_SECS"]) + int(told["MIMI_EXIT_TIMEOUT_SECS"]) + CLOSING
        grace = pod.get("terminationGracePeriodSeconds", 30)
        if grace < needs:
            yield f"terminationGracePeriodSeconds {grace} is less than the {needs} s that ending takes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--wheels", type=Path, default=WHEELS)
    args = parser.parse_args()
    checker, count, wrong = Checker(args.wheels), 0, []
    for folder in args.folders or folders():
        documents = render(folder)
        count += len(documents)
        for document in documents:
            wrong += [f"{folder}: {fault}" for fault in checker.faults(document)]
        wrong += [f"{folder}: {fault}" for fault in together(documents)]
    print(f"manifests: {count} documents of {len(args.folders or folders())} folders, {len(wrong)} faults")
    if wrong or not count:
        sys.exit("\n".join(wrong) or "nothing was checked")


if __name__ == "__main__":
    main()
