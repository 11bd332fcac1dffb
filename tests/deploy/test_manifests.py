"""That the check of manifests fails where it should: a misspelt field in every kind, and selectors of nothing."""

import copy
import unittest
from typing import Dict, Iterator, Tuple

import manifests

# Fields that are there in a document of the kind, each by its way; the last part is misspelt.
FIELDS = {
    "Deployment": ["spec/strategy", "spec/template/spec/enableServiceLinks",
                   "spec/template/spec/containers/0/securityContext/readOnlyRootFilesystem",
                   "spec/template/spec/containers/0/lifecycle/preStop/sleep/seconds"],
    "Service": ["spec/ports/0/targetPort"],
    "PodDisruptionBudget": ["spec/maxUnavailable"],
    "NetworkPolicy": ["spec/ingress/0/from"],
    "HorizontalPodAutoscaler": ["spec/metrics/0/resource/target/averageUtilization"],
    "PersistentVolumeClaim": ["spec/accessModes"],
    "Job": ["spec/backoffLimitPerIndex", "spec/template/spec/restartPolicy"],
    "ScaledObject": ["spec/pollingInterval", "spec/triggers/0/metadata", "spec/fallback/replicas"],
    "ServiceMonitor": ["spec/endpoints/0/scrapeTimeout"],
    "ClusterServingRuntime": ["spec/protocolVersions", "spec/supportedModelFormats/0/autoSelect",
                              "spec/containers/0/readinessProbe/periodSeconds"],
    "InferenceService": ["spec/predictor/minReplicas", "spec/predictor/autoScaling/metrics/0/external/metric/query",
                         "spec/predictor/terminationGracePeriodSeconds"],
}
Document = Dict[str, object]


def documents() -> Iterator[Document]:
    """Every document of deploy/."""
    for folder in manifests.folders():
        yield from manifests.render(folder)


def holder(document: Document, way: str) -> Tuple[object, str]:
    """What holds the last part of a way, and that part."""
    *parts, last = way.split("/")
    for part in parts:
        document = document[int(part)] if part.isdigit() else document[part]
    return document, last


def values(held: object) -> Iterator[object]:
    """Every value in a document that holds no others."""
    if isinstance(held, (dict, list)):
        for one in held.values() if isinstance(held, dict) else held:
            yield from values(one)
    else:
        yield held


class Misspelt(unittest.TestCase):
    """Documents as they are, spoilt."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.checker = manifests.Checker(manifests.WHEELS)
        cls.documents = list(documents())

    def test_a_misspelt_field_is_refused_in_every_kind(self) -> None:
        kinds = {one["kind"] for one in self.documents} - {"ConfigMap", "ServiceAccount", "Namespace"}
        self.assertEqual(kinds, FIELDS.keys())
        for document in self.documents:
            for way in FIELDS.get(document["kind"], []):
                spoilt = copy.deepcopy(document)
                held, last = holder(spoilt, way)
                held[last + "s"] = held.pop(last)
                told = list(self.checker.faults(spoilt))
                self.assertTrue(told, f"{manifests.name(document)}: {way}s")
                self.assertIn(last, " ".join(told))

    def test_a_wrong_type_is_refused(self) -> None:
        for kind, way in (("Deployment", "spec/minReadySeconds"), ("InferenceService", "spec/predictor/minReplicas"),
                          ("ScaledObject", "spec/minReplicaCount")):
            spoilt = copy.deepcopy(next(one for one in self.documents if one["kind"] == kind))
            held, last = holder(spoilt, way)
            held[last] = "two"
            self.assertTrue(list(self.checker.faults(spoilt)), way)

    def test_an_unknown_kind_is_refused(self) -> None:
        document = {"apiVersion": "example.org/v1", "kind": "Nothing", "metadata": {"name": "x"}}
        self.assertTrue(list(self.checker.faults(document)))

    def test_documents_fit_together(self) -> None:
        whole = manifests.render(manifests.DEPLOY / "kubernetes" / "overlays" / "object-store")
        self.assertEqual(list(manifests.together(whole)), [])
        for kind, way, value, words in (
            ("PodDisruptionBudget", "spec/selector", {"matchLabels": {"app": "other"}}, "selects"),
            ("NetworkPolicy", "spec/podSelector", {}, "selects"),
            ("Service", "spec/selector", {"app": "other"}, "selects"),
            ("ServiceMonitor", "spec/selector", {"matchLabels": {"app": "other"}}, "selects 0"),
            ("ScaledObject", "spec/scaleTargetRef", {"name": "other"}, "not there"),
            ("Deployment", "spec/template/spec/terminationGracePeriodSeconds", 30, "less than"),
        ):
            spoilt = copy.deepcopy(whole)
            held, last = holder(next(one for one in spoilt if one["kind"] == kind), way)
            held[last] = value
            self.assertIn(words, " ".join(manifests.together(spoilt)), kind)

    def test_endings_of_inference_services_have_time(self) -> None:
        whole = manifests.render(manifests.DEPLOY / "kserve" / "object-store")
        self.assertEqual(list(manifests.together(whole)), [])
        predictor = next(one for one in whole if one["kind"] == "InferenceService")["spec"]["predictor"]
        # The proxy of a mesh says nothing of notices.
        predictor["containers"].insert(0, {"name": "proxy", "env": []})
        self.assertEqual(list(manifests.together(whole)), [])
        predictor["terminationGracePeriodSeconds"] = 20
        self.assertIn("less than", " ".join(manifests.together(whole)))

    def test_what_is_scaled_counts_its_own_backlog(self) -> None:
        told = [value for one in self.documents for value in values(one) if "mimi_backlog_seconds" in str(value)]
        self.assertGreaterEqual(len(told), 3)
        self.assertEqual(len(told), len(set(told)), told)

    def test_accounts_are_made_before_they_are_named(self) -> None:
        made = {one["metadata"]["name"] for one in self.documents if one["kind"] == "ServiceAccount"}
        named = [one for one in self.documents if one["kind"] in ("Deployment", "Job")]
        self.assertEqual({one["spec"]["template"]["spec"]["serviceAccountName"] for one in named}, made)


if __name__ == "__main__":
    unittest.main()
