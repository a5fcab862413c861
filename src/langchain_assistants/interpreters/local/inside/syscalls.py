"""The system calls that code in a jail may make: name, x86-64's number, aarch64's.

The numbers are those of the kernel's headers, asm/unistd_64.h and
asm-generic/unistd.h; `-`: the architecture has no such call.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

_COLUMNS = {"x86_64": 1, "aarch64": 2}
AUDIT_ARCHITECTURES: Mapping[str, int] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

COMMON = """
read 0 63, write 1 64, close 3 57, stat 4 -, fstat 5 80, lstat 6 -, poll 7 -,
lseek 8 62, mprotect 10 226, munmap 11 215, brk 12 214, rt_sigaction 13 134,
rt_sigprocmask 14 135, rt_sigreturn 15 139, pread64 17 67, pwrite64 18 68, readv 19 65,
writev 20 66, access 21 -, pipe 22 -, select 23 -, sched_yield 24 124, mremap 25 216,
msync 26 227, mincore 27 232, dup 32 23, dup2 33 -, pause 34 -, nanosleep 35 101,
getitimer 36 102, alarm 37 -, setitimer 38 103, getpid 39 172, sendto 44 206,
recvfrom 45 207, shutdown 48 210, getsockname 51 204, getpeername 52 205,
getsockopt 55 209, exit 60 93, uname 63 160, fsync 74 82, fdatasync 75 83,
ftruncate 77 46, getdents 78 -, getcwd 79 17, chdir 80 49, fchdir 81 50, rename 82 -,
mkdir 83 -, rmdir 84 -, creat 85 -, link 86 -, unlink 87 -, symlink 88 -, readlink 89 -,
umask 95 166, gettimeofday 96 169, getrlimit 97 163, getrusage 98 165, sysinfo 99 179,
times 100 153, getuid 102 174, getgid 104 176, geteuid 107 175, getegid 108 177,
getppid 110 173, getpgrp 111 -, getgroups 115 158, getresuid 118 148, getresgid 120 150,
rt_sigpending 127 136, rt_sigtimedwait 128 137, rt_sigsuspend 130 133,
sigaltstack 131 132, statfs 137 43, fstatfs 138 44, sched_get_priority_max 146 125,
sched_get_priority_min 147 126, mlock 149 228, munlock 150 229, arch_prctl 158 -,
gettid 186 178, readahead 187 213, time 201 -, futex 202 98, getdents64 217 61,
set_tid_address 218 96, restart_syscall 219 128, fadvise64 221 223, exit_group 231 94,
mkdirat 258 34, newfstatat 262 79, unlinkat 263 35, renameat 264 38, renameat2 316 276,
linkat 265 37, symlinkat 266 36, readlinkat 267 78, faccessat 269 48,
faccessat2 439 439, pselect6 270 72, ppoll 271 73, set_robust_list 273 99,
timerfd_create 283 85, eventfd 284 -, timerfd_settime 286 86, timerfd_gettime 287 87,
eventfd2 290 19, dup3 292 24, pipe2 293 59, preadv 295 69, pwritev 296 70,
getcpu 309 168, getrandom 318 278, membarrier 324 283, mlock2 325 284,
copy_file_range 326 285, preadv2 327 286, pwritev2 328 287, statx 332 291, rseq 334 293
"""
"""Harmless with any argument, given what the jail shows.

Not among them: what would make memory or files that belong to no process that is
watched (memfd_create, descriptors in sendmsg, larger buffers by setsockopt, pages of
files that sendfile puts into pipes), what uses up a quota of the host's user (epoll),
names (socket, connect, bind), locks of files that can only be read (flock), and what
would let a stopped process go on (timer_create, whose signal can be SIGCONT), and new
sessions (setsid), each of which the scheduler gives as much as all of the host's.
"""

CHECKED = """
open 2 -, mmap 9 222, ioctl 16 29, socket 41 198, socketpair 53 199, clone 56 220,
kill 62 129, fcntl 72 25, prctl 157 167, tgkill 234 131, openat 257 56, madvise 28 233,
fallocate 285 47, prlimit64 302 261, close_range 436 436, tkill 200 130,
getpgid 121 155, getsid 124 156, getpriority 140 141, sched_getparam 143 121,
sched_getscheduler 145 120, sched_getaffinity 204 123, clock_gettime 228 113,
clock_getres 229 114, clock_nanosleep 230 115
"""
"""Harmless with some arguments: see `seccomp`."""

PROCESSES = """
fork 57 -, vfork 58 -, execve 59 221, execveat 322 281, wait4 61 260, waitid 247 95,
setpgid 109 154, truncate 76 45
"""
"""Harmless where a session sees its own processes and mounts only."""

METADATA = """
chmod 90 -, fchmod 91 52, fchmodat 268 53, fchmodat2 452 452, chown 92 -,
fchown 93 55, lchown 94 -, fchownat 260 54, utime 132 -, utimes 235 -,
futimesat 261 -, utimensat 280 88
"""
"""Change a file's mode, owner and times, which Landlock does not watch over."""

ATTRIBUTES = """
setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7, getxattr 191 8, lgetxattr 192 9,
fgetxattr 193 10, listxattr 194 11, llistxattr 195 12, flistxattr 196 13,
removexattr 197 14, lremovexattr 198 15, fremovexattr 199 16
"""
"""Extended attributes, which nothing here needs."""


def is_known(machine: str) -> bool:
    """Return whether there is a table for an architecture."""
    return machine in _COLUMNS


def numbers(table: str, machine: str | None = None) -> dict[str, int]:
    """Return a table's calls by name, for an architecture or for this machine's."""
    column = _COLUMNS[machine or os.uname().machine]
    rows = (row.split() for row in table.split(","))
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}
