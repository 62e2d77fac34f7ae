"""A virtual machine for tests: Debian's kernel and this machine's programs in QEMU, all in software (no
KVM, no root). Its shell answers over a socket; frames are sent into its network cards, and what the
cards send is counted.
"""
import glob
import os
import select
import shutil
import socket
import subprocess
import tempfile
import time

import mrtest

KERNEL_PACKAGE = "linux-image-cloud-amd64"  # a metapackage; unpacked, never installed
KERNEL_FOLDER = os.path.join(mrtest.ROOT, "build", "guest-kernel")
MODULES = ["uio", "uio_pci_generic", "irqbypass", "vfio", "vfio_virqfd", "vfio_iommu_type1", "vfio-pci-core", "vfio-pci"]
BOOT_PATIENCE = 400  # seconds; it needs 7 where the machine has nothing else to do
INIT = """#!/bin/sh
mkdir -p /proc /sys /dev /tmp /root /var/run
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/hugepages /dev/shm
mount -t hugetlbfs huge /dev/hugepages
for name in MODULES; do insmod /modules/$name.ko; done
ulimit -l unlimited
export HOME=/root
exec 3<>/dev/ttyS1 >/dev/ttyS1 2>&1 # what is sent from now on waits
stty -F /dev/ttyS1 raw -echo
echo ready
sh /dev/ttyS1 </dev/null # as a script: it neither prompts nor echoes
"""


class Missing(Exception):
    """There is no such machine here, and why."""


def kernel():
    """Paths of a kernel and of the folder with its modules; fetched with apt (27 MB) if need be."""
    def found():
        images = glob.glob(os.path.join(KERNEL_FOLDER, "boot", "vmlinuz-*"))
        return (images[0], glob.glob(os.path.join(KERNEL_FOLDER, "lib", "modules", "*"))[0]) if images else None
    if found():
        return found()
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise Missing("no kernel for the virtual machine, and no apt to fetch one with")
    depends = subprocess.run(["apt-cache", "depends", KERNEL_PACKAGE], capture_output=True, text=True, check=False)
    names = [line.split()[-1] for line in depends.stdout.splitlines() if "Depends: linux-image-" in line]
    if not names:
        raise Missing(f"apt knows no package {KERNEL_PACKAGE}")
    os.makedirs(os.path.dirname(KERNEL_FOLDER), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(KERNEL_FOLDER)) as folder:
        done = subprocess.run(["apt-get", "-qq", "download", names[0]], cwd=folder, capture_output=True, text=True,
                              check=False)
        packages = glob.glob(os.path.join(folder, "*.deb"))
        if done.returncode or not packages:
            raise Missing(f"apt-get download {names[0]}: {done.stderr.strip()[-200:]}")
        new = os.path.join(folder, "kernel")
        subprocess.run(["dpkg-deb", "-x", packages[0], new], check=True)
        shutil.rmtree(KERNEL_FOLDER, ignore_errors=True)
        os.rename(new, KERNEL_FOLDER)
    return found()


def libraries(program):
    """The shared libraries of a program, with the loader; none of a static one."""
    printed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return [word for line in printed.splitlines() for word in line.split() if word.startswith("/")]


def make_initrd(path, modules, files):
    """A cpio archive: busybox, the kernel's modules, millrace with its libraries, and `files`: {path there: here}."""
    with tempfile.TemporaryDirectory() as root:
        def put(source, there, mode=0o755):
            to = os.path.join(root, there.lstrip("/"))
            os.makedirs(os.path.dirname(to), exist_ok=True)
            shutil.copy(source, to)
            os.chmod(to, mode)
        busybox = shutil.which("busybox")
        put(busybox, "/bin/busybox")
        for library in libraries(busybox) + libraries(mrtest.MILLRACE):
            put(library, library)
        for name in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
            if name != "busybox":
                os.symlink("busybox", os.path.join(root, "bin", name))
        for name in MODULES:
            at = glob.glob(os.path.join(modules, "**", f"{name}.ko"), recursive=True)
            if not at:
                raise Missing(f"the kernel has no module {name}")
            put(at[0], f"/modules/{name}.ko")
        put(mrtest.MILLRACE, "/bin/millrace")
        subprocess.run(["strip", os.path.join(root, "bin", "millrace")], check=True)
        for there, here in files.items():
            put(here, there, 0o644)
        with open(os.path.join(root, "init"), "w", encoding="utf-8") as file:
            file.write(INIT.replace("MODULES", " ".join(MODULES)))
        os.chmod(os.path.join(root, "init"), 0o755)
        names = subprocess.run(["find", "."], cwd=root, capture_output=True, check=True).stdout
        with open(path, "wb") as file:
            subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names, stdout=file, check=True)


class Card:
    """A network card of the guest: `model` with `options`; its cable is a pair of datagram sockets, a frame a
    datagram, or a tap (which cards with several queues want)."""

    def __init__(self, model, options="", tap=None, queues=1):
        self.model, self.options, self.tap, self.queues = model, options, tap, queues
        self.address = self.socket = None

    def words(self, index, folder):
        slot = 4 + index
        self.address = f"0000:00:{slot:02x}.0"
        if self.tap:
            cable = f"tap,id=n{index},ifname={self.tap},script=no,downscript=no,queues={self.queues}"
            # pylint: disable=no-member
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.socket.bind((self.tap, 0))
        else:
            ours, theirs = os.path.join(folder, f"host{index}"), os.path.join(folder, f"guest{index}")
            cable = f"dgram,id=n{index},local.type=unix,local.path={theirs},remote.type=unix,remote.path={ours}"
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.socket.bind(ours)
            self.peer = theirs
        return ["-netdev", cable, "-device", f"{self.model},netdev=n{index},bus=pcie.0,addr={slot:#x},romfile="
                + (f",{self.options}" if self.options else "")]

    def send(self, frames, pause):
        """In order; waits where the card does not take them, and `pause` seconds after each 16."""
        for i, frame in enumerate(frames):
            if self.tap:
                self.socket.send(frame)
            else:
                self.socket.sendto(frame, self.peer)
            if i % 16 == 15:
                time.sleep(pause)

    def sent(self):
        """Frames that the guest has sent out of this card since the last call."""
        frames = []
        while select.select([self.socket], [], [], 0)[0]:
            frame, sender = self.socket.recvfrom(65536)
            if not self.tap or sender[2] != socket.PACKET_OUTGOING:  # pylint: disable=no-member
                frames.append(frame)
        return frames


class Guest:
    """The machine, up and running, with a shell."""

    def __init__(self, cards, files, mib=1024, append=""):
        image, modules = kernel()
        for tool in "qemu-system-x86_64", "busybox", "cpio":
            if not shutil.which(tool):
                raise Missing(f"{tool} is not installed")
        self.folder = tempfile.mkdtemp()
        self.process = None
        initrd, shell = os.path.join(self.folder, "initrd"), os.path.join(self.folder, "shell")
        make_initrd(initrd, modules, files)
        words = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", str(mib),
                 "-machine", "q35,kernel-irqchip=off", "-device", "intel-iommu,caching-mode=on",
                 "-nodefaults", "-nographic", "-no-reboot",
                 "-kernel", image, "-initrd", initrd,
                 # the kernel gives up where no timer rings in time, as on a busy machine
                 "-append", f"console=ttyS0 quiet panic=-1 no_timer_check intel_iommu=on iommu=pt {append}",
                 "-serial", f"file:{self.folder}/console", "-chardev",
                 f"socket,id=shell,path={shell},server=on,wait=off", "-serial", "chardev:shell"]
        for i, card in enumerate(cards):
            words += card.words(i, self.folder)
        with open(os.path.join(self.folder, "qemu"), "wb") as errors:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
        until = time.monotonic() + 60
        while not os.path.exists(shell) and self.process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        self.shell = socket.socket(socket.AF_UNIX)
        try:
            self.shell.connect(shell)
        except OSError as error:
            raise RuntimeError(f"qemu: {self.console()}") from error
        self.rest, self.serial = b"", 0
        self.read_until(b"ready\n", BOOT_PATIENCE)

    def console(self):
        said = ""
        for name in "qemu", "console":
            path = os.path.join(self.folder, name)
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as file:
                    said += file.read()
        return said[-2000:]

    def read_until(self, mark, seconds):
        until = time.monotonic() + seconds
        while mark not in self.rest:
            if time.monotonic() > until or self.process.poll() is not None:
                raise RuntimeError(f"the guest does not answer: {self.rest[-500:]} {self.console()}")
            if select.select([self.shell], [], [], 0.2)[0]:
                self.rest += self.shell.recv(65536)
        before, self.rest = self.rest.split(mark, 1)
        return before

    def sh(self, command, seconds=300):
        """Runs it in the guest's shell: (exit code, what it printed)."""
        self.serial += 1
        mark = f"done-{self.serial}-"
        self.shell.sendall(f"{command}\necho {mark[:-1]}''-$?-\n".encode())
        text = self.read_until(mark.encode(), seconds)
        code = self.read_until(b"-\n", seconds)
        return int(code), text.decode(errors="replace").replace("\r", "")

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder)
