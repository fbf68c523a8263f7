"""terminal.py COMMAND…: a shell with job control that has one job, on a terminal of its own.

The job's script tells its state on the terminal; this types at it and says what it sees."""
import fcntl, os, pty, select, signal, sys, termios, time

def wait_for(text, seen=bytearray()):
    start = time.time()
    while text not in seen:
        if time.time() - start > 8:
            sys.exit(f"waited in vain for {text!r}, saw {bytes(seen)!r}")
        if select.select([master], [], [], 0.1)[0]:
            try:
                seen += os.read(master, 4096)
            except OSError:
                sys.exit(f"the terminal is gone, saw {bytes(seen)!r}")
    del seen[: seen.index(text) + len(text)]

def job_state(flags):
    start = time.time()
    while True:
        pid, status = os.waitpid(job, flags | os.WNOHANG)
        if pid:
            return status
        if time.time() - start > 8:
            sys.exit("the job's state does not change")
        time.sleep(0.01)

def expect(what, condition):
    if not condition:
        sys.exit(f"not so: {what}")

def told_of(process, file):
    # A name need not be text.
    with open(f"/proc/{process}/{file}", errors="replace") as told:
        return told.read()

def stat_of(process):
    return told_of(process, "stat").rpartition(") ")[2].split()

def children_of(process, name=None):
    others = [int(each) for each in os.listdir("/proc") if each.isdigit()]
    def is_one(other):
        try:
            named = name is None or told_of(other, "comm").strip() == name
            return named and stat_of(other)[1] == str(process)
        except OSError:
            return False
    return [other for other in others if is_one(other)]

def in_front(group):
    os.tcsetpgrp(slave, group)

master, slave = pty.openpty()
os.setsid()
fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
signal.signal(signal.SIGTTIN, signal.SIG_IGN)
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    in_front(os.getpid())
    # As a shell does: whoever started the tests may have had some ignored.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTOU, signal.SIGTTIN):
        signal.signal(number, signal.SIG_DFL)
    for stream in range(3):
        os.dup2(slave, stream)
    os.execvp(sys.argv[1], sys.argv[1:])
wait_for(b"ready")

# Ctrl-C reaches the command once, which has a trap for it and goes on.
os.write(master, b"\x03")
wait_for(b"interrupted 1")
# Ctrl-Z stops both; the terminal is the shell's again.
os.write(master, b"\x1a")
status = job_state(os.WUNTRACED)
expect("stopped by Ctrl-Z", os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGTSTP)
in_front(os.getpid())
time.sleep(0.6)
# bg: what reads from the terminal in the background is stopped again.
os.killpg(job, signal.SIGCONT)
expect("goes on", os.WIFCONTINUED(job_state(os.WCONTINUED)))
os.killpg(job, signal.SIGUSR1)
status = job_state(os.WUNTRACED)
expect("stopped as a reader", os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGTTIN)
# fg: it reads its line.
in_front(job)
os.killpg(job, signal.SIGCONT)
os.write(master, b"a line\n")
wait_for(b"read a line")
# bg, and fg before this shell hears that the job reads again: it needs no second fg. The keeper of
# a sealed one is held until then.
os.write(master, b"\x1a")
job_state(os.WUNTRACED)
in_front(os.getpid())
keepers = children_of(job, "rampart-keeper")
os.killpg(job, signal.SIGCONT)
expect("goes on again", os.WIFCONTINUED(job_state(os.WCONTINUED)))
if keepers:
    os.kill(keepers[0], signal.SIGSTOP)
    os.killpg(job, signal.SIGUSR1)
    command = children_of(keepers[0])[0]
    while stat_of(command)[0] != "T":
        time.sleep(0.01)
    in_front(job)
    os.kill(keepers[0], signal.SIGCONT)
else:
    os.killpg(job, signal.SIGUSR1)
    job_state(os.WUNTRACED)
    in_front(job)
    os.killpg(job, signal.SIGCONT)
os.write(master, b"another line\n")
wait_for(b"read another line")
# Ctrl-\ ends both, and the job's status tells by what.
os.write(master, b"\x1c")
status = job_state(0)
expect("ended by Ctrl-\\", os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGQUIT)
print("as a shell expects")
