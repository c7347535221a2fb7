"""Which programs make up the local cluster, at which versions, and where their code and releases are.

The versions stand in the go.mod files under sources/ and nowhere else. Must not know how programs are found or built.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCES = Path(__file__).parent / "sources"


@dataclass(frozen=True)
class Release:
    """Where a project publishes its own builds for Linux; the checksum file lies beside them."""

    url: str
    checksums: str
    member: str | None = None  # the program's path inside the archive; None where the download is the program itself


@dataclass(frozen=True)
class Pin:
    """One program: the Go module that fixes its version, how to compile it, where it is published."""

    name: str
    source: str
    module: str
    package: str
    release: Release
    # `{version}` and `{minor}` (of Kubernetes) are filled in; without these the programs call themselves v0.0.0.
    version_variables: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """The version that go.mod requires, with its leading v."""
        return required_version(self.source, self.module)

    @property
    def linker_flags(self) -> str:
        """What to give `go build -ldflags`: no debug information, and the version."""
        minor = required_version("kubernetes", "k8s.io/kubernetes").split(".")[1]
        variables = (variable.format(version=self.version, minor=minor) for variable in self.version_variables)
        return " ".join(("-s -w", *(f"-X {variable}" for variable in variables)))


@cache
def required_version(source: str, module: str) -> str:
    """Read from sources/<source>/go.mod at which version it requires the module."""
    text = (SOURCES / source / "go.mod").read_text(encoding="utf-8")
    found = re.search(rf"^(?:require\s+|\t){re.escape(module)} (v\S+)", text, re.MULTILINE)
    if found is None:
        raise LookupError(f"sources/{source}/go.mod does not require {module}.")
    return found[1]


def _kubernetes(name: str) -> Pin:
    url = f"https://dl.k8s.io/release/{{version}}/bin/linux/{{arch}}/{name}"
    return Pin(
        name=name,
        source="kubernetes",
        module="k8s.io/kubernetes",
        package=f"k8s.io/kubernetes/cmd/{name}",
        release=Release(url=url, checksums=f"{url}.sha256"),
        version_variables=("k8s.io/component-base/version.gitVersion={version}",),
    )


_ETCD = "https://github.com/etcd-io/etcd/releases/download/{version}"
_HELM = "https://get.helm.sh/helm-{version}-linux-{arch}.tar.gz"

# In the order in which they are built: what others wait for comes first.
PINS: dict[str, Pin] = {
    pin.name: pin
    for pin in (
        _kubernetes("kube-apiserver"),
        _kubernetes("kubectl"),
        Pin(
            name="etcd",
            source="etcd",
            module="go.etcd.io/etcd/server/v3",
            package="go.etcd.io/etcd/server/v3",
            release=Release(
                url=f"{_ETCD}/etcd-{{version}}-linux-{{arch}}.tar.gz",
                checksums=f"{_ETCD}/SHA256SUMS",
                member="etcd-{version}-linux-{arch}/etcd",
            ),
        ),
        _kubernetes("kube-controller-manager"),
        Pin(
            name="helm",
            source="helm",
            module="helm.sh/helm/v3",
            package="helm.sh/helm/v3/cmd/helm",
            release=Release(url=_HELM, checksums=f"{_HELM}.sha256sum", member="linux-{arch}/helm"),
            version_variables=(
                "helm.sh/helm/v3/internal/version.version={version}",
                # What `helm template` and `helm lint` take for the cluster's version when they speak to none.
                "helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1",
                "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor={minor}",
                "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1",
                "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor={minor}",
            ),
        ),
    )
}
