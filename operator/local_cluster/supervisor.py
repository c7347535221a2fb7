"""The process that owns the components of one cluster: starts them, watches them, ends them.

It has one thread on purpose: the kernel kills the components when the thread that started them is gone, so nothing is
left even after a SIGKILL. Must not know who started it, only that it has to end when that process is gone.
"""

import http.client
import os
import signal
import ssl
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import yaml

from local_cluster.certificates import Authority, write_private
from local_cluster.components import (
    AUDIT_POLICY,
    Credentials,
    KeyPair,
    Ports,
    api_server_command,
    controller_manager_command,
    etcd_command,
    kubeconfig,
)
from local_cluster.directory import Directory, Phase, State
from local_cluster.errors import LocalClusterError, PortTakenError
from local_cluster.processes import Child, free_port, is_free

# What others send to the supervisor.
PAUSE = signal.SIGUSR1
RESUME = signal.SIGUSR2
_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

# A start takes 5 seconds; this is for a machine that does much else.
READY_SECONDS = 120.0
_LOOK_SECONDS = 0.1
_PORT_ATTEMPTS = 5
_PORT_TAKEN = "address already in use"


class _StopRequested(Exception):  # noqa: N818 - no error
    """A signal or the end of the parent asks us to end."""


def supervise(
    directory: Directory,
    binaries: dict[str, Path],
    *,
    audit_log: bool,
    parent: int | None,
    when_ready: Callable[[], None] = lambda: None,
) -> None:
    """Run a cluster until a signal says stop or the parent is gone.

    Parameters
    ----------
    directory
        Where the cluster lives.
    binaries
        The path of each component.
    audit_log
        Whether the API server writes one.
    parent
        The process to end with; None to run until told.
    when_ready
        Called once, when the cluster can be used.

    Raises
    ------
    LocalClusterError
        If a cluster runs in that folder already, or a component does not come up or ends by itself.
    """
    # Signals are taken with sigtimedwait and interrupt nothing; children start with an empty mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, (*_STOP, PAUSE, RESUME))
    with directory.locked() as lock:
        supervisor = _Supervisor(directory, binaries, lock, audit_log=audit_log, parent=parent)
        try:
            supervisor.run(when_ready)
        except _StopRequested:
            supervisor.end()
            supervisor.say(Phase.STOPPED)
        except Exception as error:
            # Whatever it was, whoever waits for us reads the state.
            supervisor.end()
            supervisor.say(Phase.FAILED, str(error) or repr(error))
            raise


class _Supervisor:
    def __init__(
        self, directory: Directory, binaries: dict[str, Path], lock: int, *, audit_log: bool, parent: int | None
    ) -> None:
        self._directory = directory
        self._binaries = binaries
        self._lock = lock
        self._audit_log = directory.audit_log if audit_log else None
        self._parent = parent
        self._children: dict[str, Child] = {}
        self._ports: Ports | None = None
        self._signals: list[signal.Signals] = []

    def run(self, when_ready: Callable[[], None]) -> None:
        """Start everything, then do what signals say. Ends only by raising."""
        self.say(Phase.STARTING)
        self._credentials = self._make_credentials()
        self._start_on_free_ports()
        self._start_controller_manager()
        phase = Phase.READY
        self.say(phase)
        when_ready()
        while True:
            self._check_children()
            match self._next_signal():
                case signal.SIGUSR1 if phase is Phase.READY:
                    self._children.pop("kube-apiserver").kill()
                    phase = Phase.PAUSED
                    self.say(phase)
                case signal.SIGUSR2 if phase is Phase.PAUSED:
                    self._resume()
                    phase = Phase.READY
                    self.say(phase)

    def end(self) -> None:
        """End all components; etcd last, so that the others can finish their writes."""
        for name in ("kube-controller-manager", "kube-apiserver", "etcd"):
            if child := self._children.pop(name, None):
                child.terminate()
                child.wait()

    def say(self, phase: Phase, error: str = "") -> None:
        """Write the state."""
        self._directory.write_state(
            State(
                phase=phase,
                supervisor=os.getpid(),
                server=self._server if self._ports else "",
                audit_log=str(self._audit_log) if self._audit_log else None,
                components={name: child.pid for name, child in self._children.items()},
                error=error,
            )
        )

    @property
    def _server(self) -> str:
        assert self._ports is not None  # noqa: S101 - for the type checker
        return f"https://127.0.0.1:{self._ports.api_server}"

    def _make_credentials(self) -> Credentials:
        authority = Authority(self._directory.certificates)
        return Credentials(
            authority=authority.certificate,
            server=KeyPair(*authority.key_pair("server", "local-cluster-server")),
            # The group that is allowed everything, whatever RBAC says.
            admin=KeyPair(*authority.key_pair("admin", "admin", ("system:masters",))),
            controller_manager=KeyPair(*authority.key_pair("controller-manager", "system:kube-controller-manager")),
            service_accounts=authority.signing_key("service-accounts"),
        )

    def _start_on_free_ports(self) -> None:
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            last = self._directory.last_port()
            api_server = last if last is not None and is_free(last) else free_port()
            self._ports = Ports(api_server=api_server, etcd=free_port(), etcd_peer=free_port())
            try:
                self._start_etcd_and_api_server(self._ports)
            except PortTakenError:
                self.end()
                if attempt == _PORT_ATTEMPTS:
                    raise
            else:
                return

    def _start_etcd_and_api_server(self, ports: Ports) -> None:
        credentials = self._credentials
        command = etcd_command(self._binaries["etcd"], self._directory.data, ports, credentials)
        self._spawn("etcd", command)
        # Not waited for: the API server starts faster than it needs etcd, and tries again by itself.
        self._start_api_server(ports)
        for path, user, key_pair in (
            (self._directory.kubeconfig, "admin", credentials.admin),
            (self._directory.controller_kubeconfig, "controller-manager", credentials.controller_manager),
        ):
            write_private(path, kubeconfig(self._server, credentials.authority, user, key_pair))
        self._directory.remember_port(ports.api_server)

    def _start_api_server(self, ports: Ports) -> None:
        if self._audit_log:
            write_private(self._directory.audit_policy, yaml.safe_dump(AUDIT_POLICY, sort_keys=False).encode())
        command = api_server_command(
            self._binaries["kube-apiserver"],
            ports,
            self._credentials,
            audit_policy=self._directory.audit_policy if self._audit_log else None,
            audit_log=self._audit_log,
        )
        self._spawn("kube-apiserver", command)
        self._wait_until(lambda: self._answers("/readyz"), "kube-apiserver")

    def _start_controller_manager(self) -> None:
        self._spawn(
            "kube-controller-manager",
            controller_manager_command(
                self._binaries["kube-controller-manager"],
                self._directory.controller_kubeconfig,
                self._credentials,
            ),
        )
        # Without these two no pod can be created in the namespace.
        for path in ("serviceaccounts/default", "configmaps/kube-root-ca.crt"):
            self._wait_until(
                lambda path=path: self._answers(f"/api/v1/namespaces/default/{path}"),  # type: ignore[misc]
                "kube-controller-manager",
            )

    def _resume(self) -> None:
        assert self._ports is not None  # noqa: S101 - for the type checker
        # It gives up when it was just starting while the API server went away.
        manager_is_gone = self._children["kube-controller-manager"].exit_code is not None
        if manager_is_gone:
            del self._children["kube-controller-manager"]
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            try:
                self._start_api_server(self._ports)
            except PortTakenError:
                # Another port would not be "back again" to those who wait: give whoever has it time to go.
                self._children.pop("kube-apiserver").kill()
                if attempt == _PORT_ATTEMPTS:
                    raise
                time.sleep(1)
            else:
                break
        if manager_is_gone:
            self._start_controller_manager()

    def _spawn(self, name: str, command: list[str]) -> None:
        log = self._directory.logs / f"{name}.log"
        self._children[name] = Child(name, command, log, inherit=(self._lock,))

    def _wait_until(self, is_true: Callable[[], bool], name: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not is_true():
            self._check_children()
            if time.monotonic() > deadline:
                raise LocalClusterError(
                    f"{name} was not ready after {READY_SECONDS:.0f} seconds. {self._children[name].last_words()}"
                )
            self._next_signal(postpone=True)

    def _check_children(self) -> None:
        for name, child in self._children.items():
            code = child.exit_code
            if code is None or (name == "kube-controller-manager" and "kube-apiserver" not in self._children):
                continue
            if _PORT_TAKEN in child.log_since_start():
                raise PortTakenError(
                    f"{name} found its port taken, {_PORT_ATTEMPTS} times. Start again. {child.last_words()}"
                )
            raise LocalClusterError(f"{name} ended with exit code {code}. {child.last_words()}")

    def _next_signal(self, *, postpone: bool = False) -> signal.Signals | None:
        """Wait a moment for a signal. One that is neither stop nor now of use is kept for later (`postpone`)."""
        if self._parent is not None and os.getppid() != self._parent:
            raise _StopRequested
        if self._signals and not postpone:
            return self._signals.pop(0)
        information = signal.sigtimedwait((*_STOP, PAUSE, RESUME), _LOOK_SECONDS)
        if information is None:
            return None
        received = signal.Signals(information.si_signo)
        if received in _STOP:
            raise _StopRequested
        if postpone:
            self._signals.append(received)
            return None
        return received

    def _answers(self, path: str) -> bool:
        credentials = self._credentials
        tls = ssl.create_default_context(cafile=str(credentials.authority))
        tls.load_cert_chain(credentials.admin.certificate, credentials.admin.key)
        # Whatever proxy the environment names: this is our own machine.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls))
        try:
            with direct.open(self._server + path, timeout=5):
                return True
        except (OSError, http.client.HTTPException):  # refused, not ready, not found, broken off
            return False
