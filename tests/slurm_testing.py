"""A Slurm cluster of this machine's own: munged, slurmctld and a few slurmd on loopback, for as long as a test lasts.

The daemons run as root (slurmd wants to be), keep their files in a folder of the test's, and are ended by process id. No cgroups, no
systemd; accounting, with slurmdbd and its database, where it is asked for.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PROGRAMS = ("munged", "slurmctld", "slurmd", "slurmdbd", "mariadbd", "sbatch", "squeue", "scontrol", "scancel", "sacct", "sacctmgr")

CONF = """
ClusterName=lathe
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd-%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,requeue_setup_env_fail
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MpiDefault=none
ReturnToService=2
SlurmdTimeout=6
SlurmctldTimeout=10
InactiveLimit=0
KillWait=4
MinJobAge={min_job_age}
MaxArraySize=1001
{accounting}
JobCompType=jobcomp/none
SlurmdParameters=config_overrides
{nodes}
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""

NO_ACCOUNTING = "AccountingStorageType=accounting_storage/none"
ACCOUNTING = """AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={port}
AccountingStoragePass={root}/munge.socket
JobAcctGatherType=jobacct_gather/none"""

DBD_CONF = """
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
DbdHost=localhost
DbdPort={port}
SlurmUser=root
LogFile={root}/slurmdbd.log
PidFile={root}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={storage_port}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
"""


def missing():
    """Why there can be no cluster here; None if there can."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    lacking = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if lacking:
        return f"{', '.join(lacking)} not installed (scripts/setup --tests)"
    if os.geteuid() != 0:
        return "Slurm's daemons need root"
    return None


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def program(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


class Cluster:
    """`with Cluster() as cluster:` nodes n1, n2, ..., one CPU each; partitions `low` (the default, preempted) and `high`."""

    def __init__(self, nodes=4, min_job_age=300, accounting=False):
        self._folder = tempfile.TemporaryDirectory(prefix="lathe-slurm-")
        self.root = pathlib.Path(self._folder.name)
        self.nodes = [f"n{i + 1}" for i in range(nodes)]
        self._processes = {}
        ports = free_ports(nodes + 3)
        lines = [f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=1000 State=UNKNOWN"
                 for name, port in zip(self.nodes, ports[3:])]
        self.conf = self.root / "slurm.conf"
        self.conf.write_text(CONF.format(host=socket.gethostname(), port=ports[0], root=self.root, nodes="\n".join(lines),
                                         min_job_age=min_job_age,
                                         accounting=ACCOUNTING.format(root=self.root, port=ports[1]) if accounting else NO_ACCOUNTING))
        # Looked for beside slurm.conf. Without it slurmd looks for a mounted cgroup file system, which it does not need here.
        (self.root / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
        self._storage_port = ports[2] if accounting else None
        dbd_conf = self.root / "slurmdbd.conf"  # likewise
        dbd_conf.write_text(DBD_CONF.format(root=self.root, port=ports[1], storage_port=ports[2]))
        dbd_conf.chmod(0o600)
        (self.root / "state").mkdir()
        self.env = {**os.environ, "SLURM_CONF": str(self.conf)}

    def __enter__(self):
        try:
            self._start_munge()
            if self._storage_port:
                self._start_accounting()
            self.start_controller()
            for node in self.nodes:
                self.start_node(node)
            self.wait_for_nodes()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name in sorted(self._processes, key=lambda n: (n == "munged", n == "slurmctld")):
            self._end(name, signal.SIGTERM)
        # What batch scripts may have left behind has the cluster's folder in its environment.
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    ours = f"SLURM_CONF={self.conf}".encode() in (entry / "environ").read_bytes().split(b"\0")
                    if ours and int(entry.name) != os.getpid():
                        os.kill(int(entry.name), signal.SIGKILL)
                except OSError:
                    pass
        self._folder.cleanup()

    def _start(self, name, *command):
        with open(self.root / f"{name}.out", "ab") as log:
            self._processes[name] = subprocess.Popen(command, env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                                     start_new_session=True)

    def _end(self, name, number):
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start_munge(self):
        key = self.root / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        self._start("munged", program("munged"), "--foreground", "--force", f"--socket={self.root}/munge.socket", f"--key-file={key}",
                    f"--pid-file={self.root}/munged.pid", f"--log-file={self.root}/munged.log", f"--seed-file={self.root}/munged.seed")
        deadline = time.monotonic() + 10
        while not (self.root / "munge.socket").exists():
            if time.monotonic() > deadline:
                raise RuntimeError((self.root / "munged.out").read_text())
            time.sleep(0.02)

    def _start_accounting(self):
        (self.root / "db").mkdir()
        # Without tables of users, so that there is nothing to set up.
        self._start("mariadbd", program("mariadbd"), "--no-defaults", "--user=root", f"--datadir={self.root}/db", f"--socket={self.root}/db.socket",
                    f"--port={self._storage_port}", "--bind-address=127.0.0.1", "--skip-grant-tables", "--innodb-buffer-pool-size=16M")
        self._wait_for_port(self._storage_port)
        self._start("slurmdbd", program("slurmdbd"), "-D")
        deadline = time.monotonic() + 30
        while "lathe" not in self.run("sacctmgr", "--immediate", "add", "cluster", "lathe", check=False):
            if time.monotonic() > deadline:
                raise RuntimeError((self.root / "slurmdbd.log").read_text()[-3000:])
            time.sleep(0.2)

    @staticmethod
    def _wait_for_port(port, seconds=30):
        deadline = time.monotonic() + seconds
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port)).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def start_controller(self):
        self._start("slurmctld", program("slurmctld"), "-D", "-f", str(self.conf))

    def stop_controller(self):
        self._end("slurmctld", signal.SIGTERM)

    def start_node(self, node):
        self._start(node, program("slurmd"), "-D", "-N", node, "-f", str(self.conf))

    def kill_node(self, node):
        """As if its machine had lost power: the daemon and all that ran there."""
        self._end(node, signal.SIGKILL)
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    there = f"SLURMD_NODENAME={node}".encode() in (entry / "environ").read_bytes().split(b"\0")
                    ours = f"SLURM_CONF={self.conf}".encode() in (entry / "environ").read_bytes().split(b"\0")
                    command = (entry / "cmdline").read_bytes()
                    if (there and ours) or command.startswith(f"slurmstepd: [".encode()) and self._steps_of(entry, node):
                        os.kill(int(entry.name), signal.SIGKILL)
                except OSError:
                    pass

    def _steps_of(self, entry, node):
        return any(os.readlink(fd).startswith(f"{self.root}/spool-{node}") or os.readlink(fd) == f"{self.root}/slurmd-{node}.log"
                   for fd in (entry / "fd").iterdir() if fd.is_symlink())

    def run(self, *command, check=True):
        result = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60)
        if check and result.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {result.stdout}{result.stderr}")
        return result.stdout

    def wait_for_nodes(self, seconds=30):
        deadline = time.monotonic() + seconds
        while True:
            states = self.run("sinfo", "--noheader", "--Node", "--partition=low", "--format=%T", check=False).split()
            if len(states) == len(self.nodes) and set(states) <= {"idle", "mixed", "allocated"}:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"no cluster: {states}\n" + (self.root / "slurmctld.log").read_text()[-3000:])
            time.sleep(0.1)

    def jobs(self):
        """What is in the queue: a list of (id, name, state)."""
        rows = self.run("squeue", "--noheader", "--array", "--format=%i|%j|%T").splitlines()
        return [tuple(row.strip().split("|")) for row in rows]

    def hurry(self):
        """Slurm lets jobs that it has queued again wait for two minutes; not here."""
        for row in self.run("squeue", "--noheader", "--array", "--states=PENDING", "--format=%i %r", check=False).splitlines():
            job, reason = row.split(maxsplit=1)
            if reason.strip() == "BeginTime":
                self.run("scontrol", "update", f"jobid={job}", "starttime=now", check=False)
