"""Attacks that a jail has to refuse at once: code, tried one after the other.

Each piece calls `attempt(deed, act)`; what does not raise an OSError was done. The
host's side of it is in H: see `hostile`.
"""

from __future__ import annotations

PRELUDE = """
import ctypes, errno, os, resource, signal, socket, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
done = []

def attempt(deed, act, *args):
    try:
        act(*args)
    except (OSError, ValueError):
        return
    done.append(deed)

def call(number, *args):
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    if libc.syscall(ctypes.c_long(number), *words) < 0:
        raise OSError(ctypes.get_errno(), "refused")

def read(path):
    with open(path, "rb") as file:
        file.read(1)

def write(path):
    with open(path, "ab") as file:
        file.write(b"x")

libc.mmap.restype = ctypes.c_void_p

def share(flags, fd):
    words = [ctypes.c_size_t(4096), 3, flags, fd, ctypes.c_long(0)]
    if libc.mmap(None, *words) == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "refused")
"""

PROBES: dict[str, str] = {
    "files_of_the_host_are_not_read": """
for path in (H["secret"], "/etc/passwd", "/etc/shadow", H["project"], H["ssh"]):
    attempt(path, read, path)
    attempt(path + " by open_code", lambda: __import__("io").open_code(path).close())
for path in (H["folder"], H["home"], "/", "/etc", "/root", "/home", "/var", "/proc/1"):
    if H["jail"] == "landlock":
        attempt(path, os.listdir, path)
for path in (H["folder"], "/home", "/var", "/sys", "/etc/ssl"):
    attempt(path, os.listdir, path)
if H["jail"] == "bubblewrap" and os.path.exists(H["home"]):
    done += set(os.listdir(H["home"])) - set(H["shown"])
""",
    "files_of_the_host_are_not_written": """
for path in (H["secret"], H["folder"] + "/new", "/new", "/etc/new", "/usr/lib/new"):
    attempt(path, write, path)
for path in (os.__file__, sys.executable, H["inside"] + "/new.py", "/dev/new"):
    attempt(path, lambda: open(path, "ab").close())
attempt("mkdir", os.mkdir, H["folder"] + "/d")
attempt("remove", os.unlink, H["secret"])
attempt("link out", os.link, H["secret"], "stolen")
attempt("rename", os.rename, H["secret"], "stolen")
attempt("truncate", os.truncate, H["secret"], 0)
try:
    if os.readlink("/proc/1/fd/2").startswith("/tmp"):
        done.append("errors of the first process")
except OSError:
    pass
open("own", "w").write("mine")
attempt("truncate while reading", os.open, "own", os.O_RDONLY | os.O_TRUNC)
if open("own").read() != "mine":
    done.append("own file truncated")
""",
    "modes_and_times_of_host_files_stay": """
for act in (lambda p: os.chmod(p, 0o777), lambda p: os.utime(p, (1, 1)),
            lambda p: os.chown(p, os.getuid(), -1)):
    try:
        act(H["secret"])
        act(os.__file__)
    except OSError:
        pass
attempt("attribute", os.setxattr, H["secret"], "user.x", b"1")
""",
    "environments_are_not_seen": """
if H["marker"] in repr(os.environ):
    done.append("environ")
for pid in (H["pid"], os.getppid()):
    if pid > 2:
        for name in ("environ", "mem", "maps", "fd/0", "root", "cwd", "cmdline"):
            attempt(f"/proc/{pid}/{name}", read, f"/proc/{pid}/{name}")
if H["jail"] == "bubblewrap":
    pids = [name for name in os.listdir("/proc") if name.isdigit()]
    if len(pids) > 2:
        done.append(f"processes {pids}")
    try:
        if H["marker"].encode() in open("/proc/1/environ", "rb").read():
            done.append("environ of the first")
    except OSError:
        pass
""",
    "other_sessions_are_out_of_reach": """
attempt("folder", os.listdir, H["other"])
attempt("file", read, H["other"] + "/data/private")
attempt("write", write, H["other"] + "/data/new")
attempt("neighbours", os.listdir, os.path.dirname(H["other"]))
attempt("memory", read, f"/proc/{H['other_pid']}/mem")
if H["other_pid"] > 8:
    attempt("signal", os.kill, H["other_pid"], 0)
""",
    "there_is_no_network": """
attempt("tcp", lambda: socket.create_connection(("127.0.0.1", H["port"]), 1))
attempt("outside", lambda: socket.create_connection(("192.0.2.1", 80), 1))
attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(
    b"x", ("127.0.0.1", H["udp"])))
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_PACKET, socket.AF_NETLINK,
               socket.AF_VSOCK):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        attempt(f"socket {family} {kind}", socket.socket, family, kind)
attempt("name", socket.getaddrinfo, "localhost", 80)
""",
    "sockets_of_the_host_are_out_of_reach": """
def stream(name):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(name)

def datagram(name):
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.sendto(b"x", name)

for name in (H["unix"], H["abstract"]):
    attempt(name, stream, name)
for name in (H["unix_datagram"], H["abstract_datagram"], "/dev/log"):
    attempt(name, datagram, name)
    a, b = socket.socketpair()
    attempt(name + " by a stream", a.sendto, b"x", name)
""",
    "processes_of_the_host_are_left_alone": """
pid = H["pid"]
if pid > 8:
    attempt("signal", os.kill, pid, 0)
    attempt("priority", os.setpriority, os.PRIO_PROCESS, pid, 19)
    attempt("affinity", os.sched_setaffinity, pid, {0})
    attempt("limit", resource.prlimit, pid, resource.RLIMIT_CPU, (1, 1))
    attempt("group", os.killpg, pid, 0)
if H["jail"] == "landlock":
    attempt("everybody", os.kill, -1, 0)
    attempt("parent", os.kill, os.getppid(), 0)
r, w = os.pipe()
import fcntl
attempt("owner of a pipe", fcntl.fcntl, r, fcntl.F_SETOWN, pid)
attempt("signal of a pipe", fcntl.fcntl, r, fcntl.F_SETSIG, signal.SIGKILL)
attempt("owner by ioctl", fcntl.ioctl, r, 0x8901, pid.to_bytes(4, "little"))
""",
    "the_kernel_gives_no_other_way": """
import platform
NUMBERS = {
    "ptrace": 101, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161,
    "unshare": 272, "setns": 308, "bpf": 321, "perf_event_open": 298, "keyctl": 250,
    "add_key": 248, "io_uring_setup": 425, "userfaultfd": 323, "kexec_load": 246,
    "process_vm_readv": 310, "process_vm_writev": 311, "init_module": 175,
    "open_by_handle_at": 304, "name_to_handle_at": 303, "clone3": 435,
    "pidfd_open": 434, "pidfd_getfd": 438, "pidfd_send_signal": 424, "mknod": 133,
    "mknodat": 259, "shmget": 29, "shmat": 30, "msgget": 68, "msgsnd": 69,
    "semget": 64, "mq_open": 240, "memfd_create": 319, "inotify_init1": 294,
    "fanotify_init": 300, "openat2": 437, "sendmsg": 46, "bind": 49, "connect": 42,
    "setuid": 105, "setresuid": 117, "capset": 126, "personality": 135,
    "reboot": 169, "sethostname": 170, "settimeofday": 164, "swapon": 167,
    "acct": 163, "quotactl": 179, "move_mount": 429, "fsopen": 430, "seccomp": 317,
    "landlock_create_ruleset": 444, "vmsplice": 278, "splice": 275, "iopl": 172,
    "modify_ldt": 154, "setdomainname": 171, "syslog": 103, "vhangup": 153,
}
if platform.machine() == "x86_64":
    for name, number in NUMBERS.items():
        attempt(name, call, number, 0, 0, 0, 0, 0)
    attempt("x32", call, 0x40000000 | 39)
attempt("namespace", call, 56, 0x10000000 | 17, 0, 0, 0, 0)
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP = 1, 4, 22
for option in (PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, 8, 28, 35, 47):
    attempt(f"prctl {option}", call, 157, option, 0, 0, 0, 0)
attempt("raise a limit", resource.setrlimit, resource.RLIMIT_AS, (-1, -1))
attempt("more files", resource.setrlimit, resource.RLIMIT_NOFILE, (9999, 9999))
attempt("another user", os.setuid, 0)
if resource.getrlimit(resource.RLIMIT_CORE)[0] > 1:
    done.append("crashes leave their memory")
for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
    if H["jail"] == "bubblewrap":
        line = next(l for l in open("/proc/self/status") if l.startswith(name))
        if name != "CapBnd" and int(line.split()[1], 16):
            done.append(line)
""",
    "no_writable_place_escapes_the_count": """
for path in ("/x", "/dev/x", "/usr/x", "/etc/x", "/mnt/x", "/proc/x", "/run/x"):
    attempt(path, write, path)
if H["jail"] == "bubblewrap":
    for path in (os.environ["TMPDIR"] + "/x", "/dev/shm/x", "/mnt/data/x"):
        write(path)
    mounts = [l.split()[:4] for l in open("/proc/mounts")]
    writable = {m[1] for m in mounts if "rw" in m[3].split(",") and m[2] == "tmpfs"}
    if writable:
        done.append(f"writable tmpfs {writable}")
""",
    "no_process_in_the_jail_is_without_a_filter": """
if H["jail"] == "bubblewrap":
    for pid in filter(str.isdigit, os.listdir("/proc")):
        status = open(f"/proc/{pid}/status").read()
        limits = open(f"/proc/{pid}/limits").read().splitlines()
        sizes = ("Max file size", "Max address space", "Max open files")
        done += [f"{pid} {l}" for l in limits if l.startswith(sizes) and "unlim" in l]
        if "Seccomp:\\t2" not in status:
            done.append(f"{pid} {status}")
    if "THP_enabled:\\t0" not in open("/proc/self/status").read():
        done.append("has huge pages")
    if open("/proc/self/oom_score_adj").read() != "1000\\n":
        done.append("is not the first to go when memory ends")
    group = "/proc/self/autogroup"
    if os.path.exists(group):
        until = time.monotonic() + 20
        while not open(group).read().endswith(" nice 10\\n"):
            if time.monotonic() > until:
                done.append("takes the processors from others")
                break
            time.sleep(0.05)
""",
    "no_memory_belongs_to_nobody": """
MAP_SHARED, MAP_SHARED_VALIDATE, MAP_PRIVATE, MAP_ANONYMOUS = 1, 3, 2, 0x20
share(MAP_PRIVATE | MAP_ANONYMOUS, -1)
for flags in (MAP_SHARED, MAP_SHARED_VALIDATE):
    attempt(f"anonymous {flags}", share, flags | MAP_ANONYMOUS, -1)
attempt("zeros", lambda: share(MAP_SHARED, os.open("/dev/zero", os.O_RDWR)))
attempt("read zeros", lambda: share(MAP_PRIVATE, os.open("/dev/zero", os.O_RDONLY)))
CLOCK_MONOTONIC, SIGEV_NONE = 1, 1
if os.uname().machine == "x86_64":
    event = (ctypes.c_int * 16)(0, 0, 0, SIGEV_NONE)
    attempt("a timer", call, 222, CLOCK_MONOTONIC, event, (ctypes.c_int * 1)())
a, b = socket.socketpair()
for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
    attempt(f"buffer {option}", a.setsockopt, socket.SOL_SOCKET, option, 1 << 24)
""",
    "no_disk_belongs_to_nobody": """
import platform
FALLOC_FL_KEEP_SIZE, CLOSE_RANGE_UNSHARE = 1, 2
CLONE_VM, CLONE_FS, CLONE_FILES, CLONE_SIGHAND = 0x100, 0x200, 0x400, 0x800
own = open("beyond", "wb")
os.posix_fallocate(own.fileno(), 0, 4096)
if platform.machine() == "x86_64":
    attempt("beyond the end", call, 285, own.fileno(), FALLOC_FL_KEEP_SIZE, 0, 1 << 30)
    attempt("descriptors of its own", call, 436, 900, 901, CLOSE_RANGE_UNSHARE)
    thread = CLONE_VM | CLONE_SIGHAND | 0x10000
    for shared in (0, CLONE_FS, CLONE_FILES):
        try:
            call(56, thread | shared, 0, 0, 0, 0)
        except PermissionError:
            continue
        except OSError as error:
            done.append(f"a thread with files of its own {shared} {error}")
if os.fstat(own.fileno()).st_blocks > 8:
    done.append("allocated")
""",
    "the_first_process_is_out_of_reach": """
if H["jail"] == "bubblewrap":
    for name in ("mem", "maps", "environ", "fd/0", "auxv"):
        attempt(name, read, "/proc/1/" + name)
    attempt("write", os.open, "/proc/1/mem", os.O_RDWR)
""",
    "no_session_has_processors_of_its_own": """
attempt("setsid", os.setsid)
attempt("first", os.nice, -1)
""",
    "nobody_goes_on_whom_the_host_has_stopped": """
attempt("itself", os.kill, os.getpid(), signal.SIGCONT)
attempt("a thread", signal.pthread_kill, threading.get_ident(), signal.SIGCONT)
if H["jail"] == "bubblewrap":
    attempt("all", os.kill, -1, signal.SIGCONT)
    attempt("a group", os.killpg, os.getpgrp(), signal.SIGCONT)
    if os.uname().machine == "x86_64":
        attempt("a child that ends", call, 56, int(signal.SIGCONT), 0, 0, 0, 0)
""",
    "no_program_of_the_host_is_started_for_a_crash": """
attempt("core", resource.setrlimit, resource.RLIMIT_CORE, (0, 1))
""",
    "names_of_the_host_are_not_told": """
for name in ("keys", "key-users", "kallsyms", "cmdline", "timer_list"):
    attempt(name, read, "/proc/" + name)
if H["jail"] == "bubblewrap":
    for line in open("/proc/self/cgroup").read().split():
        if line.rpartition(":")[2].strip("/"):
            done.append(line)
""",
    "nothing_of_the_machine_is_set": """
import itertools, stat
for top, folders, files in itertools.chain(os.walk("/proc"), os.walk("/proc/self/")):
    folders[:] = [n for n in folders if not n.isdigit() and n != "fd"]
    for name in files:
        try:
            file = os.open(f"{top}/{name}", os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            continue
        # /dev/null hides some, and the numbers of its own processes need a right.
        if not stat.S_ISCHR(os.fstat(file).st_mode) and name != "ns_last_pid":
            done.append(f"{top}/{name}")
        os.close(file)
""",
    "files_are_opened_to_read_or_write_only": """
for path in (H["secret"], os.__file__, "own", "/dev/ptmx", "/dev/null"):
    for more in (0, os.O_TRUNC, os.O_CREAT):
        attempt(f"{path} {more}", os.open, path, 3 | more)
for path in ("/dev/ptmx", "/dev/tty", "/dev/pts/0", "/dev/console", "/dev/kvm"):
    attempt(path, os.open, path, os.O_RDWR)
""",
    "files_of_the_host_are_not_locked": """
import fcntl
for operation in (fcntl.LOCK_SH, fcntl.LOCK_EX):
    with open(os.__file__) as shared:
        attempt(f"{operation}", fcntl.flock, shared, operation | fcntl.LOCK_NB)
""",
    "a_program_with_more_rights_gains_none": """
import subprocess, glob
def execute(path):
    os.execv(path, [path])
if H["jail"] == "landlock":
    for path in glob.glob("/usr/bin/*")[:3]:
        attempt(path, execute, path)
else:
    for path in ("/usr/bin/su", "/usr/bin/mount", "/usr/bin/newgrp"):
        if os.path.exists(path):
            out = subprocess.run([path, "-c", "id -u"], capture_output=True, text=True)
            if out.returncode == 0 or "0" in out.stdout.split():
                done.append(path)
""",
}
