"""What a kubelet does with containerd by CRI, on the host that containerd.sh has made: pods that fwd attaches.

Words: fwd, and the directory with the configuration of containerd and with its image.
"""

import concurrent.futures
import ipaddress
import json
import os
import signal
import subprocess
import sys
import time

import grpc
from cri_api.v1 import api_pb2 as cri
from cri_api.v1 import api_pb2_grpc as service

FWD, WORK = sys.argv[1:3]
SOCKET = "/run/containerd/containerd.sock"
IMAGE = "localhost/box:1"
HOST, HOST6 = "198.51.100.2", "[2001:db8::2]"
OUTSIDE, OUTSIDE6 = "203.0.113.9", "2001:db8:9::9"
AT_ONCE = 100
PATIENCE = 120


def fail(why):
    with open(f"{WORK}/containerd.log") as log:
        sys.stderr.write("".join(log.readlines()[-12:]))
    sys.exit(f"containerd: {why}")


def until(what, true):
    """Waits until something is true; an error means that it is not yet."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if true():
                return
        except (grpc.RpcError, OSError, subprocess.CalledProcessError):
            pass
        if time.monotonic() > deadline:
            fail(f"this does not become true: {what}")
        time.sleep(0.1)


def done(what):
    print(f"ok: {what}", flush=True)


class Containerd:
    """The daemon, and what is asked of it."""

    def __init__(self):
        self.start()
        subprocess.run(["ctr", "-a", SOCKET, "-n", "k8s.io", "image", "import", f"{WORK}/image.tar"], check=True, stdout=subprocess.DEVNULL)

    def start(self):
        self.log = open(f"{WORK}/containerd.log", "a")
        self.daemon = subprocess.Popen(["containerd", "--config", f"{WORK}/containerd.toml"], stdout=self.log, stderr=self.log)
        self.channel = grpc.insecure_channel(f"unix://{SOCKET}")
        self.pods = service.RuntimeServiceStub(self.channel)
        until("containerd answers", lambda: self.pods.Version(cri.VersionRequest(), timeout=5))
        until("its network is ready", lambda: all(it.status for it in self.pods.Status(cri.StatusRequest()).status.conditions))

    def kill(self):
        self.channel.close()
        self.daemon.kill()
        self.daemon.wait()


class Pod:
    """A pod: a sandbox, which serves a page at port 80."""

    def __init__(self, containerd, name, ports=(), annotations=None):
        self.containerd = containerd
        mapped = [cri.PortMapping(host_port=port, container_port=80, protocol=cri.TCP) for port in ports]
        self.config = cri.PodSandboxConfig(
            metadata=cri.PodSandboxMetadata(name=name, namespace="default", uid=name),
            hostname=name, log_directory=f"/run/logs/{name}", port_mappings=mapped, annotations=annotations or {},
            dns_config=cri.DNSConfig(servers=["198.51.100.53"], searches=["default.svc"], options=["ndots:5"]),
            linux=cri.LinuxPodSandboxConfig(),
        )
        self.id = containerd.pods.RunPodSandbox(cri.RunPodSandboxRequest(config=self.config), timeout=PATIENCE).pod_sandbox_id

    def status(self, verbose=False):
        return self.containerd.pods.PodSandboxStatus(cri.PodSandboxStatusRequest(pod_sandbox_id=self.id, verbose=verbose))

    def addresses(self):
        """Of both families, as containerd tells them."""
        network = self.status().status.network
        return [network.ip] + [it.ip for it in network.additional_ips]

    def info(self):
        return json.loads(self.status(verbose=True).info["info"])

    def netns(self):
        """The file by which containerd keeps the namespace."""
        return next(it["path"] for it in self.info()["runtimeSpec"]["linux"]["namespaces"] if it["type"] == "network")

    def run_container(self):
        config = cri.ContainerConfig(
            metadata=cri.ContainerMetadata(name="box"), image=cri.ImageSpec(image=IMAGE), command=["/bin/sleep", "3600"],
            log_path="box.log", linux=cri.LinuxContainerConfig(security_context=cri.LinuxContainerSecurityContext(
                capabilities=cri.Capability(add_capabilities=["NET_RAW"]))),
        )
        request = cri.CreateContainerRequest(pod_sandbox_id=self.id, config=config, sandbox_config=self.config)
        self.container = self.containerd.pods.CreateContainer(request).container_id
        self.containerd.pods.StartContainer(cri.StartContainerRequest(container_id=self.container))

    def inside(self, *command):
        """Runs a command in the pod's container, and returns what it printed; none if it failed."""
        request = cri.ExecSyncRequest(container_id=self.container, cmd=command, timeout=20)
        answer = self.containerd.pods.ExecSync(request)
        return answer.stdout.decode() if answer.exit_code == 0 else None

    def stop(self):
        self.containerd.pods.StopPodSandbox(cri.StopPodSandboxRequest(pod_sandbox_id=self.id), timeout=PATIENCE)

    def remove(self):
        self.containerd.pods.RemovePodSandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=self.id), timeout=PATIENCE)

    def end(self):
        self.stop()
        self.remove()


def page(url, netns=None):
    """Whether the page is there for the host, or for another namespace."""
    enter = ["nsenter", f"--net=/run/netns/{netns}"] if netns else []
    script = f"import urllib.request; print(urllib.request.urlopen('http://{url}/', timeout=10).read().decode(), end='')"
    asked = subprocess.run([*enter, sys.executable, "-c", script], capture_output=True, text=True)
    return asked.stdout == "hello\n"


def check(true, otherwise):
    if not true:
        fail(otherwise)


def attached():
    """The endpoints of fwd, by the ids of their pods."""
    shown = subprocess.run([FWD, "ls", "--json"], check=True, capture_output=True, text=True).stdout
    return {it["container"]: it for it in json.loads(shown)}


def links():
    """Interfaces of pods on the host."""
    shown = subprocess.run(["ip", "-j", "link"], check=True, capture_output=True, text=True).stdout
    return [it["ifname"] for it in json.loads(shown) if it["ifname"] not in ("lo", "eth0", "pods")]


def nothing_left(after):
    check(attached() == {}, f"something is up {after}: {attached()}")
    check(links() == [], f"interfaces are left {after}: {links()}")


def one_and_another(containerd):
    bandwidth = {"kubernetes.io/ingress-bandwidth": "50M", "kubernetes.io/egress-bandwidth": "100M"}
    web, other = Pod(containerd, "web", [8080], bandwidth), Pod(containerd, "other")
    addresses = web.addresses()
    families = [ipaddress.ip_address(it).version for it in addresses]
    check(families == [4, 6], f"the pod has not an address of each family: {addresses}")
    shown = attached()
    check(set(shown) == {web.id, other.id}, f"fwd has others: {shown}")
    rates = [shown[web.id][key]["rate"] for key in ("rate_in", "rate_out")]
    check(rates == [50_000_000, 100_000_000], f"the limits are not those of the annotations: {rates}")
    other.run_container()
    resolv = other.inside("cat", "/etc/resolv.conf")
    check(resolv == "search default.svc\nnameserver 198.51.100.53\noptions ndots:5\n", f"resolv.conf is another: {resolv}")
    check("eth0" in other.inside("ip", "-o", "addr"), "the container is not in the pod's namespace")
    for outside in (OUTSIDE, OUTSIDE6):
        check(other.inside("ping", "-c", "1", "-W", "5", outside), f"no way out to {outside}")
    for address in addresses:
        check(other.inside("ping", "-c", "1", "-W", "5", address), f"pods do not reach each other at {address}")
    done("addresses of both families, limits, DNS, out with NAT, pod to pod")

    for host in (HOST, HOST6):
        check(page(f"{host}:8080", "internet"), f"the published port is not reached from outside at {host}")
        check(page(f"{host}:8080"), f"the published port is not reached by the host's address {host}")
    check(page("127.0.0.1:8080"), "the published port is not reached by 127.0.0.1")
    check(other.inside("wget", "-q", "-O", "-", f"http://{HOST}:8080/") == "hello\n", "the published port is not reached from a pod")
    check(page(addresses[0]) and page(f"[{addresses[1]}]"), "the host does not reach the pod, as probes do")
    done("published ports, and probes of the host")

    try:
        Pod(containerd, "second", [8080])
        fail("a port is given twice")
    except grpc.RpcError as error:
        check("8080" in error.details(), f"not a word of the port: {error.details()}")
    check(len(attached()) == 2, "a pod that was refused is attached")
    done("a port that is taken is refused, and nothing of that pod is left")

    web.stop()
    check(not page(f"{HOST}:8080", "internet"), "the port is published still")
    web.stop()
    web.remove()
    other.end()
    nothing_left("after pods are removed")
    done("stop, once more, remove")


def killed(containerd):
    # The sandbox's process dies, and its namespace stays until the pod is stopped.
    pod = Pod(containerd, "killed", [8080])
    os.kill(pod.info()["pid"], signal.SIGKILL)
    until("the sandbox is known to be gone", lambda: pod.status().status.state == cri.SANDBOX_NOTREADY)
    pod.end()
    nothing_left("after a sandbox was killed")

    # Its namespace goes with it, so that DEL names none.
    pod = Pod(containerd, "lost", [8080])
    path = pod.netns()
    os.kill(pod.info()["pid"], signal.SIGKILL)
    subprocess.run(["umount", "-l", path], check=True)
    os.unlink(path)
    until("the sandbox is known to be gone", lambda: pod.status().status.state == cri.SANDBOX_NOTREADY)
    successor = Pod(containerd, "successor", [8080])
    check(page(f"{HOST}:8080", "internet"), "the port does not lead to its new pod")
    pod.end()
    check(page(f"{HOST}:8080", "internet"), "DEL of a pod that was lost takes the port of another")
    successor.end()
    nothing_left("after a namespace was lost")
    done("DEL after the sandbox was killed, with its namespace and without")


def restarted(containerd):
    pod = Pod(containerd, "lasting", [8080])
    containerd.kill()
    check(page(f"{HOST}:8080", "internet"), "nothing is forwarded without containerd")
    containerd.start()
    check(page(f"{HOST}:8080", "internet"), "nothing is forwarded after containerd was started again")
    pod.end()
    nothing_left("after containerd was killed")
    done("containerd is killed and started again")

    # Killed while it attaches: nobody asks for a DEL of that pod, and the plugin may go on.
    for moment in (0.05, 0.1, 0.2, 0.4, 0.8):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            call = pool.submit(Pod, containerd, "half", [8080])
            time.sleep(moment)
            containerd.daemon.kill()
            call.exception()
        containerd.kill()
        for name in os.listdir("/run/netns"):
            if name.startswith("cni-"):
                # It may not have been mounted yet.
                subprocess.run(["umount", "-l", f"/run/netns/{name}"], stderr=subprocess.DEVNULL)
                os.unlink(f"/run/netns/{name}")
        for pid in sandboxes():
            os.kill(pid, signal.SIGKILL)
        containerd.start()
        for sandbox in containerd.pods.ListPodSandbox(cri.ListPodSandboxRequest()).items:
            containerd.pods.StopPodSandbox(cri.StopPodSandboxRequest(pod_sandbox_id=sandbox.id))
            containerd.pods.RemovePodSandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox.id))
        pod = Pod(containerd, "whole", [8080])
        check(page(f"{HOST}:8080", "internet"), f"what a killed containerd left is in the way ({moment})")
        pod.end()
        nothing_left(f"after containerd was killed in a call ({moment})")
    done("containerd is killed in a call")


def sandboxes():
    """Processes of pods: those that serve the page."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as words:
                if words.read().startswith(b"/bin/httpd\0"):
                    found.append(int(pid))
        except OSError:
            pass
    return found


def at_once(containerd):
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        start = time.monotonic()
        pods = list(pool.map(lambda number: Pod(containerd, f"pod{number}", [10_000 + number]), range(AT_ONCE)))
        took = time.monotonic() - start
        addresses = {address for pod in pods for address in pod.addresses()}
        check(len(addresses) == 2 * AT_ONCE, f"{len(addresses)} addresses for {AT_ONCE} pods")
        check(len(attached()) == AT_ONCE, f"{len(attached())} endpoints for {AT_ONCE} pods")
        for number in (0, AT_ONCE // 2, AT_ONCE - 1):
            check(page(f"{HOST}:{10_000 + number}", "internet"), f"pod{number} is not reached")
        start = time.monotonic()
        list(pool.map(Pod.end, pods))
        gone = time.monotonic() - start
    nothing_left("after all pods went at once")
    done(f"{AT_ONCE} pods at once ({took:.1f} s), and away at once ({gone:.1f} s)")


def main():
    containerd = Containerd()
    for story in (one_and_another, killed, restarted, at_once):
        try:
            story(containerd)
        except grpc.RpcError as error:
            fail(f"{story.__name__}: {error.details()}")
    containerd.kill()


main()
