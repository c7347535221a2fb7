"""The chart and the plain manifests on a real API server: rendered, admitted, installed, and with which rights.

No pod runs here (there is no kubelet): what is tested is everything up to the pod that the ReplicaSet makes.
"""

import dataclasses
import itertools
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from hpc_operator.settings import Settings
from local_cluster import ensure_binaries

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "azure-hpc-operator"
MINIMAL = CHART / "ci" / "minimal-values.yaml"
FULL = CHART / "ci" / "full-values.yaml"
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
PLURALS = ("hpcenvironments", "storagetiers", "computepartitions")
CRDS = tuple(f"customresourcedefinition.apiextensions.k8s.io/{plural}.azurehpc.io" for plural in PLURALS)
# Another name than the one that someone may have installed on the cluster for good.
RELEASE = "chart-test-azure-hpc-operator"


@pytest.fixture(scope="session")
def helm(cluster, tmp_path_factory):
    """Run helm; against the test's cluster where the command speaks to one."""
    binary = ensure_binaries(("helm",))["helm"]
    home = tmp_path_factory.mktemp("helm")
    environment = os.environ | {
        # Neither the user's repositories and plugins nor their cluster.
        "KUBECONFIG": str(cluster.kubeconfig),
        "HELM_CACHE_HOME": str(home),
        "HELM_CONFIG_HOME": str(home),
        "HELM_DATA_HOME": str(home),
    }

    def run(*arguments, check=True):
        done = subprocess.run(
            [str(binary), *map(str, arguments)], env=environment, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    return run


def _render(helm, *arguments, namespace="azure-hpc-operator", name="azure-hpc-operator"):
    text = helm("template", name, CHART, "--namespace", namespace, *arguments).stdout
    return [document for document in yaml.safe_load_all(text) if document]


def _kustomize(folder):
    """Build with the kustomize inside kubectl."""
    kubectl = ensure_binaries(("kubectl",))["kubectl"]
    built = subprocess.run([str(kubectl), "kustomize", str(folder)], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(built.stdout))


def _only(documents, kind):
    (found,) = [document for document in documents if document["kind"] == kind]
    return found


def _operator_container(documents):
    (container,) = _only(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    return container


def _environment(documents):
    # The API server leaves an empty value out.
    def value(entry):
        field = entry.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        return f"<{field}>" if field else entry.get("value", "")

    return {entry["name"]: value(entry) for entry in _operator_container(documents)["env"]}


def _eventually(holds, seconds=15):
    """Wait for a controller of the cluster."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "the controllers of the cluster did not do it in time"
        time.sleep(0.1)


class TestRendering:
    @pytest.mark.parametrize(
        "values", [[], ["--values", MINIMAL], ["--values", FULL]], ids=["default", "minimal", "full"]
    )
    def test_lint_has_nothing_to_say(self, helm, values):
        done = helm("lint", "--strict", CHART, *values)
        # An icon is a matter of taste; without a subscription, lint repeats our sentence about it.
        ours = ("icon is recommended", "azure.subscriptionId must name")
        said = [line for line in (done.stdout + done.stderr).splitlines() if "[" in line]
        assert [line for line in said if not any(text in line for text in ours)] == []

    def test_without_a_subscription_it_says_what_to_write(self, helm):
        done = helm("template", "x", CHART, check=False)
        assert done.returncode != 0
        assert "azure.subscriptionId must name the Azure subscription" in done.stderr
        assert "--set azure.subscriptionId=" in done.stderr

    def test_an_unknown_value_is_refused(self, helm):
        done = helm("template", "x", CHART, "--values", MINIMAL, "--set", "replicaCount=2", check=False)
        assert done.returncode != 0
        assert "replicaCount" in done.stderr

    def test_the_crds_are_those_of_the_repository(self, helm):
        rendered = {
            document["metadata"]["name"]: document
            for document in _render(helm, "--values", MINIMAL)
            if document["kind"] == "CustomResourceDefinition"
        }
        for path in (ROOT / "crds").iterdir():
            source = yaml.safe_load(path.read_text(encoding="utf-8"))
            crd = rendered.pop(source["metadata"]["name"])
            assert crd["metadata"]["annotations"].items() >= source["metadata"].get("annotations", {}).items()
            assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
            assert crd | {"metadata": None} == source | {"metadata": None}
        assert rendered == {}

    def test_the_crds_may_go_with_the_release_or_be_left_out(self, helm):
        kept_not = _render(helm, "--values", MINIMAL, "--set", "crds.keep=false", "--show-only", "templates/crds.yaml")
        assert len(kept_not) == len(PLURALS)
        assert all("helm.sh/resource-policy" not in crd["metadata"].get("annotations", {}) for crd in kept_not)
        without = _render(helm, "--values", MINIMAL, "--set", "crds.enabled=false")
        assert "CustomResourceDefinition" not in {document["kind"] for document in without}

    def test_every_setting_reaches_the_process(self, helm):
        assert _environment(_render(helm, "--values", FULL)) == {
            "HPC_SUBSCRIPTION_ID": "11111111-2222-3333-4444-555555555555",
            "HPC_ARM_ENDPOINT": "https://management.usgovcloudapi.net",
            "HPC_METRICS_ADDRESS": "0.0.0.0:9090",
            "HPC_LOG_FORMAT": "text",
            "HPC_LOG_LEVEL": "DEBUG",
            "HPC_DRIFT_PERIOD": "1h30m",
            "HPC_NAMESPACES": "climate,genomics",
            "HPC_LEADER_ELECTION": "true",
            "HPC_LEASE_NAME": "azure-hpc-operator",
            "HPC_LEASE_NAMESPACE": "<metadata.namespace>",
            "HPC_WORKERS": "8",
            "HTTPS_PROXY": "http://proxy.example.com:3128",
        }

    def test_the_process_reads_them_and_the_defaults_are_its_own(self, helm):
        full = Settings.from_environment(_environment(_render(helm, "--values", FULL)))
        assert full.metrics_address == ("0.0.0.0", 9090)
        assert full.namespaces == ("climate", "genomics")
        least = _environment(_render(helm, "--values", MINIMAL))
        own = Settings.from_environment({"HPC_SUBSCRIPTION_ID": least["HPC_SUBSCRIPTION_ID"], "HPC_LOG_FORMAT": "json"})
        lease = ("<metadata.namespace>", "azure-hpc-operator")
        assert Settings.from_environment(least) == dataclasses.replace(own, lease=lease)

    def test_workload_identity(self, helm):
        documents = _render(helm, "--values", FULL)
        assert _only(documents, "ServiceAccount")["metadata"]["annotations"] == {
            "azure.workload.identity/client-id": "66666666-7777-8888-9999-aaaaaaaaaaaa",
            "azure.workload.identity/tenant-id": "bbbbbbbb-cccc-dddd-eeee-ffffffffffff",
            "example.com/owner": "hpc-team",
        }
        pod = _only(documents, "Deployment")["spec"]["template"]
        assert pod["metadata"]["labels"]["azure.workload.identity/use"] == "true"
        assert pod["spec"]["serviceAccountName"] == "hpc"

    def test_an_existing_service_account_is_used_and_not_made(self, helm):
        options = ("--set", "serviceAccount.create=false", "--set", "serviceAccount.name=theirs")
        documents = _render(helm, "--values", MINIMAL, *options)
        assert "ServiceAccount" not in {document["kind"] for document in documents}
        assert _only(documents, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "theirs"
        assert _only(documents, "ClusterRoleBinding")["subjects"][0]["name"] == "theirs"

    def test_watching_some_namespaces_takes_a_role_in_each_and_nothing_cluster_wide(self, helm):
        everywhere = _only(_render(helm, "--values", MINIMAL), "ClusterRoleBinding")["roleRef"]["name"]
        documents = _render(helm, "--values", FULL)
        assert "ClusterRoleBinding" not in {document["kind"] for document in documents}
        assert everywhere not in {d["metadata"]["name"] for d in documents if d["kind"] == "ClusterRole"}
        for kind in ("Role", "RoleBinding"):
            found = {_name(document)[1:] for document in documents if document["kind"] == kind}
            assert found == {
                ("climate", "azure-hpc-operator"),
                ("genomics", "azure-hpc-operator"),
                ("azure-hpc-operator", "azure-hpc-operator-lease"),
            }

    def test_one_replica_has_no_disruption_budget_that_would_hold_up_a_drain_for_nothing(self, helm):
        assert _only(_render(helm, "--values", MINIMAL), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
        alone = _render(helm, "--values", MINIMAL, "--set", "replicas=1")
        assert _only(alone, "Deployment")["spec"]["replicas"] == 1
        assert "PodDisruptionBudget" not in {document["kind"] for document in alone}

    def test_replicas_keep_apart_where_they_can(self, helm):
        documents = _render(helm, "--values", MINIMAL)
        pod = _only(documents, "Deployment")["spec"]["template"]
        spread = pod["spec"]["topologySpreadConstraints"]
        assert {item["topologyKey"] for item in spread} == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
        for item in spread:
            assert item["whenUnsatisfiable"] == "ScheduleAnyway"
            assert item["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()

    def test_a_release_of_any_name_has_valid_and_distinct_names(self, helm):
        one = {_name(d) for d in _render(helm, "--values", MINIMAL, "--set", "crds.enabled=false", name="one")}
        other = {_name(d) for d in _render(helm, "--values", MINIMAL, "--set", "crds.enabled=false", name="x" * 53)}
        assert not one & other
        assert all(len(name) <= 63 for _, _, name in one | other)


@pytest.fixture(scope="module")
def chart(helm):
    """The chart's objects with its defaults."""
    return _render(helm, "--set", "azure.subscriptionId=00000000-0000-0000-0000-000000000000")


@pytest.fixture(scope="module")
def manifests():
    """The objects of the plain manifests."""
    return _kustomize(ROOT / "manifests")


class TestPlainManifests:
    def test_they_are_the_same_objects_as_the_chart_with_its_defaults(self, chart, manifests):
        without_namespace = {_name(d): _comparable(d) for d in manifests if d["kind"] != "Namespace"}
        assert without_namespace == {_name(d): _comparable(d) for d in chart}

    def test_the_namespace_enforces_the_restricted_level(self, manifests):
        key, value = RESTRICTED.split("=")
        assert _only(manifests, "Namespace")["metadata"]["labels"][key] == value

    def test_the_overlay_of_the_documentation(self, tmp_path):
        text = (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
        (overlay,) = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "../manifests" in block]
        folder = tmp_path / "overlay"
        folder.mkdir()
        # A relative path, because kustomize takes no other.
        manifests = os.path.relpath(ROOT / "manifests", folder.resolve())
        (folder / "kustomization.yaml").write_text(overlay.replace("../manifests", manifests), encoding="utf-8")
        documents = _kustomize(folder)
        assert _environment(documents)["HPC_SUBSCRIPTION_ID"] == "11111111-2222-3333-4444-555555555555"
        assert _environment(documents)["HPC_NAMESPACES"] == "", "the patch may not replace the other settings"
        assert _only(documents, "ServiceAccount")["metadata"]["annotations"] == {
            "azure.workload.identity/client-id": "66666666-7777-8888-9999-aaaaaaaaaaaa"
        }

    def test_the_api_server_takes_them_without_a_warning(self, cluster):
        # The namespace comes first, because a dry run of it makes none for the objects that live in it.
        cluster.kubectl("apply", "--server-side", "--filename", str(ROOT / "manifests" / "namespace.yaml"))
        try:
            done = cluster.kubectl(
                "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-k", str(ROOT / "manifests")
            )
            assert "Warning" not in done.stderr
        finally:
            cluster.kubectl("delete", "namespace", "azure-hpc-operator")


def _name(document):
    return document["kind"], document["metadata"].get("namespace"), document["metadata"]["name"]


def _comparable(document):
    """The object without what only says which tool made it, and without the order of rules' words."""
    labels = {k: v for k, v in document["metadata"].get("labels", {}).items() if k.startswith("rbac.")}
    rest = {key: value for key, value in document.items() if key not in {"metadata", "rules"}}
    return rest | {"labels": labels, "rules": _rules(document.get("rules", []))}


def _rules(rules):
    """Rules as single rights: group, resource, verb, name of the one object."""
    return {
        right
        for rule in rules
        for right in itertools.product(
            rule.get("apiGroups", []), rule.get("resources", []), rule["verbs"], rule.get("resourceNames", [""])
        )
    }


@pytest.fixture(scope="module")
def namespaces(cluster):
    """A namespace that enforces the restricted level, and two to watch."""
    names = {"release": "chart-test", "climate": "chart-test-climate", "genomics": "chart-test-genomics"}
    for name in names.values():
        cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", names["release"], RESTRICTED)
    yield names
    cluster.kubectl("delete", "namespace", *names.values())


def _installed_crds(cluster):
    return set(cluster.kubectl("get", "customresourcedefinitions", "--output=name").stdout.split())


def _crd_options(cluster):
    """Take over the CRDs where another test has installed them already: the cluster has one set for all."""
    return ("--take-ownership",) if _installed_crds(cluster) & set(CRDS) else ()


@pytest.fixture
def release(cluster, helm, namespaces):
    """A release with the least values; gives the arguments that name its namespace."""
    where = ("--namespace", namespaces["release"])
    helm("install", RELEASE, CHART, *where, "--values", MINIMAL, *_crd_options(cluster))
    yield where
    helm("uninstall", RELEASE, *where, "--ignore-not-found", "--wait")


class TestRelease:
    """One release from installation to removal; each test installs what it needs."""

    def test_the_notes_say_what_to_do_next(self, helm, release):
        notes = helm("get", "notes", RELEASE, *release).stdout
        assert "azure.clientId is empty" in notes
        assert f"system:serviceaccount:chart-test:{RELEASE}" in notes
        assert "kubectl get hpcenv" in notes

    def test_the_restricted_level_admits_the_pod(self, cluster, release):
        def pods():
            return cluster.kubectl("get", "pods", *release, "--output=name").stdout.split()

        # The ReplicaSet makes it: an admission that refuses would leave none.
        _eventually(pods)

    def test_the_service_leads_to_the_pod(self, cluster, release):
        service = json.loads(cluster.kubectl("get", "service", f"{RELEASE}-metrics", *release, "--output=json").stdout)
        selector = ",".join(f"{key}={value}" for key, value in service["spec"]["selector"].items())
        _eventually(lambda: cluster.kubectl("get", "pods", *release, "--selector", selector, "--output=name").stdout)

    def test_no_dry_run_has_a_warning(self, cluster, helm, release):
        for values in (MINIMAL, FULL):
            options = ("--values", values, "--set", "watchNamespaces=null", "--set", "crds.enabled=false")
            text = helm("template", "other", CHART, *release, *options).stdout
            done = cluster.kubectl("apply", "--server-side", "--dry-run=server", "--filename=-", input=text)
            assert "Warning" not in done.stderr

    def test_an_upgrade_changes_the_deployment_and_keeps_the_rest(self, cluster, helm, release):
        helm("upgrade", RELEASE, CHART, *release, "--reset-then-reuse-values", "--set", "logging.level=DEBUG")
        deployment = cluster.kubectl("get", "deployment", RELEASE, *release, "--output=json").stdout
        settings = _environment([json.loads(deployment)])
        assert settings["HPC_LOG_LEVEL"] == "DEBUG"
        assert settings["HPC_SUBSCRIPTION_ID"] == "11111111-2222-3333-4444-555555555555"

    def test_an_upgrade_from_all_namespaces_to_some_takes_the_cluster_wide_rights_away(
        self, cluster, helm, release, namespaces
    ):
        watched = f"watchNamespaces={{{namespaces['climate']},{namespaces['genomics']}}}"
        helm("upgrade", RELEASE, CHART, *release, "--reset-then-reuse-values", "--set", watched)
        user = _service_account(release)
        for namespace, expected in (
            (namespaces["climate"], "yes"),
            (namespaces["genomics"], "yes"),
            (namespaces["release"], "no"),
        ):
            assert _can(cluster, user, "list", "hpcenvironments.azurehpc.io", namespace) == expected
        assert _can(cluster, user, "list", "hpcenvironments.azurehpc.io") == "no"

    def test_uninstalling_keeps_the_crds_and_nothing_else(self, cluster, helm, release):
        before = _installed_crds(cluster)
        done = helm("uninstall", RELEASE, *release, "--wait")
        assert "kept due to the resource policy" in done.stdout
        assert _installed_crds(cluster) == before >= set(CRDS)
        kinds = (
            "deployments,services,serviceaccounts,clusterroles,clusterrolebindings,roles,rolebindings,networkpolicies,"
            "poddisruptionbudgets"
        )
        selector = f"app.kubernetes.io/instance={RELEASE}"
        left = cluster.kubectl("get", kinds, "--all-namespaces", "--selector", selector, "--output=name").stdout
        assert left == ""

    def test_installing_again_takes_the_kept_crds(self, helm, release):
        helm("uninstall", RELEASE, *release, "--wait")
        # No --take-ownership: they still bear the name of this release.
        helm("install", RELEASE, CHART, *release, "--values", MINIMAL)

    def test_the_full_example_installs(self, cluster, helm, namespaces):
        where = ("--namespace", namespaces["release"])
        watched = f"watchNamespaces={{{namespaces['climate']},{namespaces['genomics']}}}"
        options = ("--values", FULL, "--set", "crds.enabled=false", "--set", watched)
        helm("install", "full", CHART, *where, *options)
        try:
            policy = json.loads(
                cluster.kubectl("get", "networkpolicy", "full-azure-hpc-operator", *where, "--output=json").stdout
            )
            assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
            assert {"protocol": "TCP", "port": 3128} in policy["spec"]["egress"][-1]["ports"]
        finally:
            helm("uninstall", "full", *where, "--wait")


def _service_account(release):
    return f"system:serviceaccount:{release[1]}:{RELEASE}"


def _can(cluster, user, verb, resource, namespace=None):
    """Ask the API server; a resource with a slash is one of the subresources."""
    name, _, subresource = resource.partition("/")
    arguments = [f"--as={user}", "auth", "can-i", verb, name]
    if subresource:
        arguments.append(f"--subresource={subresource}")
    arguments += ["--namespace", namespace] if namespace else ["--all-namespaces"]
    return cluster.kubectl(*arguments, check=False).stdout.strip()


NEEDED = [
    *itertools.product(("get", "list", "watch", "patch"), (f"{plural}.azurehpc.io" for plural in PLURALS)),
    *itertools.product(("patch",), (f"{plural}.azurehpc.io/status" for plural in PLURALS)),
    ("create", "events"),
]
# What an attacker in the pod would want first, and what other operators often ask for.
FORBIDDEN = [
    *itertools.product(("create", "update", "delete", "deletecollection"), ("hpcenvironments.azurehpc.io",)),
    ("delete", "storagetiers.azurehpc.io"),
    ("delete", "computepartitions.azurehpc.io"),
    ("update", "hpcenvironments.azurehpc.io/status"),
    ("patch", "computepartitions.azurehpc.io/scale"),
    *itertools.product(("get", "list", "watch", "create"), ("secrets", "configmaps")),
    *itertools.product(("get", "list", "watch"), ("customresourcedefinitions.apiextensions.k8s.io", "namespaces")),
    ("create", "pods"),
    ("create", "pods/exec"),
    ("list", "pods"),
    ("list", "nodes"),
    ("create", "serviceaccounts/token"),
    # Its own Lease is in TestRights.
    *itertools.product(("get", "list", "patch", "create"), ("leases.coordination.k8s.io",)),
    *itertools.product(("list", "patch", "delete"), ("events",)),
    ("create", "clusterrolebindings.rbac.authorization.k8s.io"),
    ("escalate", "clusterroles.rbac.authorization.k8s.io"),
    ("impersonate", "users"),
]


@pytest.fixture(scope="class")
def installed(cluster, helm, namespaces):
    """As `release`, but one for all questions about rights, which change nothing."""
    where = ("--namespace", namespaces["release"])
    helm("install", RELEASE, CHART, *where, "--values", MINIMAL, *_crd_options(cluster))
    yield where
    helm("uninstall", RELEASE, *where, "--wait")


@pytest.fixture(scope="class")
def people(cluster, installed, namespaces):
    """Three users with the cluster's own roles in one namespace; the aggregation takes a moment."""
    for role in ("view", "edit", "admin"):
        cluster.kubectl(
            "create",
            "rolebinding",
            role,
            "--namespace",
            namespaces["climate"],
            f"--clusterrole={role}",
            f"--user={role}er",
        )
    arguments = (cluster, "adminer", "delete", "hpcenvironments.azurehpc.io", namespaces["climate"])
    _eventually(lambda: _can(*arguments) == "yes")
    return namespaces["climate"]


class TestRights:
    """What the operator and people may do once the chart is installed, asked of the API server."""

    @pytest.mark.parametrize(("verb", "resource"), NEEDED)
    def test_the_operator_may(self, cluster, installed, verb, resource):
        assert _can(cluster, _service_account(installed), verb, resource) == "yes"

    @pytest.mark.parametrize(("verb", "resource"), FORBIDDEN)
    def test_the_operator_may_not(self, cluster, installed, verb, resource):
        assert _can(cluster, _service_account(installed), verb, resource) == "no"

    def test_the_operator_has_no_right_that_is_not_in_the_table(self, cluster, installed):
        def rights(user):
            review = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectRulesReview",
                "spec": {"namespace": installed[1]},
            }
            answer = cluster.kubectl(
                f"--as={user}", "create", "--filename=-", "--output=json", "--validate=ignore", input=json.dumps(review)
            )
            return _rules(json.loads(answer.stdout)["status"]["resourceRules"])

        everybody = rights(f"system:serviceaccount:{installed[1]}:default")
        own = {
            (verb, f"{resource}.{group}" if group else resource, name)
            for group, resource, verb, name in rights(_service_account(installed)) - everybody
        }
        needed = {
            (verb, re.sub(r"^(\w+)\.azurehpc\.io/(\w+)$", r"\1/\2.azurehpc.io", resource), "")
            for verb, resource in NEEDED
        }
        leases = "leases.coordination.k8s.io"
        assert own == needed | {("create", leases, ""), ("get", leases, RELEASE), ("patch", leases, RELEASE)}

    @pytest.mark.parametrize(
        ("verb", "resource", "allowed"),
        [
            ("list", "hpcenvironments.azurehpc.io", {"view", "edit", "admin"}),
            ("watch", "storagetiers.azurehpc.io", {"view", "edit", "admin"}),
            ("get", "computepartitions.azurehpc.io/scale", {"view", "edit", "admin"}),
            ("create", "hpcenvironments.azurehpc.io", {"edit", "admin"}),
            ("patch", "storagetiers.azurehpc.io", {"edit", "admin"}),
            ("delete", "computepartitions.azurehpc.io", {"edit", "admin"}),
            ("deletecollection", "hpcenvironments.azurehpc.io", {"edit", "admin"}),
            ("patch", "computepartitions.azurehpc.io/scale", {"edit", "admin"}),
            # What the operator observed is the operator's to write.
            ("patch", "hpcenvironments.azurehpc.io/status", set()),
        ],
    )
    def test_people_may(self, cluster, people, verb, resource, allowed):
        roles = ("view", "edit", "admin")
        assert {role for role in roles if _can(cluster, f"{role}er", verb, resource, people) == "yes"} == allowed

    def test_people_may_nothing_in_other_namespaces(self, cluster, people, namespaces):
        assert _can(cluster, "adminer", "list", "hpcenvironments.azurehpc.io", namespaces["genomics"]) == "no"


# Everything that the operator asks of Kubernetes, through its own host: list and watch, finalizer, status, event.
HOST = """
import asyncio, logging, os
from hpc_operator.kubernetes_host.host import Host

def make(cluster):
    async def reconcile(key):
        environment = cluster.snapshot(key).environment
        if environment is None:
            return
        if environment.deleting:
            await cluster.remove_finalizer(environment)
            return
        await cluster.add_finalizer(environment)
        if not environment.status.step:
            await cluster.write_status(environment, {"step": "Storage"})
            await cluster.emit(environment, "Normal", "Tested", "The chart's rights are enough.")
    return reconcile

logging.basicConfig(level=logging.INFO)
namespaces = tuple(name for name in os.environ["HPC_NAMESPACES"].split(",") if name)
asyncio.run(Host(make, workers=1, namespaces=namespaces).run())
"""


class TestOperatorWithTheRightsOfTheChart:
    @pytest.mark.parametrize("watch", ["all", "some"])
    def test_it_can_do_its_work(self, cluster, helm, release, namespaces, tmp_path, watch):
        namespace = namespaces["climate"]
        watched = [namespace, namespaces["genomics"]] if watch == "some" else []
        options = ("--reset-then-reuse-values", "--set-json", f"watchNamespaces={json.dumps(watched)}")
        helm("upgrade", RELEASE, CHART, *release, *options)
        environment = os.environ | {
            "KUBECONFIG": str(_kubeconfig_of(cluster, release, tmp_path)),
            "HPC_NAMESPACES": ",".join(watched),
        }
        name = f"watch-{watch}"
        get = ("get", "hpcenvironment", name, "--namespace", namespace, "--ignore-not-found")
        log = tmp_path / "log"
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen([sys.executable, "-c", HOST], env=environment, stdout=output, stderr=output)
        try:
            cluster.kubectl("apply", "--filename=-", "--namespace", namespace, input=json.dumps(_hpc_environment(name)))
            fields = "{.metadata.finalizers[0]} {.status.step}"
            done = "azurehpc.io/azure-resources Storage"
            _eventually(lambda: cluster.kubectl(*get, f"--output=jsonpath={fields}").stdout == done, 60)
            events = ("get", "events", "--namespace", namespace, f"--field-selector=involvedObject.name={name}")
            _eventually(lambda: "The chart's rights are enough." in cluster.kubectl(*events).stdout)
            # That the object goes shows that the watch works: the list at the start knew nothing of it.
            cluster.kubectl("delete", "hpcenvironment", name, "--namespace", namespace, "--timeout=30s")
            assert process.poll() is None
        finally:
            process.terminate()
            process.wait(30)
            print(log.read_text(encoding="utf-8"))  # which pytest shows when the test fails
            # Then nobody else lets the object go.
            _release(cluster, get, name, namespace)
        assert not re.search("403|forbidden|refuses us", log.read_text(encoding="utf-8"), re.IGNORECASE)


def _hpc_environment(name):
    spec = {"location": "westeurope", "network": {"addressSpace": ["10.40.0.0/20"]}, "scheduler": {"slurm": {}}}
    return {"apiVersion": "azurehpc.io/v1alpha1", "kind": "HPCEnvironment", "metadata": {"name": name}, "spec": spec}


def _kubeconfig_of(cluster, release, folder):
    """A kubeconfig with a token of the release's ServiceAccount and nothing else."""
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text(encoding="utf-8"))
    token = cluster.kubectl("create", "token", RELEASE, *release).stdout.strip()
    for user in config["users"]:
        user["user"] = {"token": token}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def _release(cluster, get, name, namespace):
    if cluster.kubectl(*get, "--output=name").stdout:
        arguments = ("hpcenvironment", name, "--namespace", namespace)
        cluster.kubectl("patch", *arguments, "--type=merge", '--patch={"metadata":{"finalizers":null}}')
        cluster.kubectl("delete", *arguments, "--ignore-not-found")
