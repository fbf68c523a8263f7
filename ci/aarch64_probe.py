"""Calls every hook of an aarch64 library in an emulator, under a server that allows and one
that denies, and compares what was asked and what ran.

    aarch64_probe.py DIRECTORY LIBRARY

DIRECTORY has the emulated `start` and `variadic` and the native `witness` (see
tests/guarded/probes). What a guest starts runs natively: a program for another machine, whose
loader complains of the library unless that was kept from it, as it is where the hook knows the
file.
"""

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

EMULATOR = [shutil.which("qemu-aarch64") or "qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]
BY_PATH = """execve execv execl execle fexecve execveat execveat_directory execveat_empty
    syscall_execve syscall_execveat syscall_execveat_empty posix_spawn""".split()
BY_NAME = "execvp execvpe execlp posix_spawnp".split()
LINES = "system popen".split()
# Where the hook does not know which file is run in the end.
UNKNOWN_FILE = BY_NAME + LINES + ["fexecve"]
LINE = "rm -rf 'a b'"
# Of arguments: on both sides of the number that comes in registers.
COUNTS = (1, 2, 6, 7, 31, 33, 400, 5000)


class Server:
    """Answers every question alike, and remembers what was asked."""

    def __init__(self, path):
        self.allows = True
        self.asked = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def serve(self, connection):
        stream = connection.makefile("rwb")
        while stream.readline():
            length = 0
            while (header := stream.readline()) not in (b"\r\n", b""):
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            self.asked.append(json.loads(stream.read(length))["params"]["command"])
            body = json.dumps({"allowed": self.allows, "message": "no"}).encode()
            stream.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
            stream.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            stream.flush()


def expected_arguments(count):
    return " ".join(["rm"] + [str(number % 10) for number in range(1, count)])


def main():
    directory, library = sys.argv[1:]
    room = tempfile.mkdtemp()
    os.mkdir(f"{room}/bin")
    shutil.copy(f"{directory}/witness", f"{room}/bin/rm")
    server = Server(f"{room}/socket")
    environment = {
        # To the stand-in and nowhere else: a shell that cannot start it may try the next one.
        "PATH": f"{room}/bin",
        "QEMU_SET_ENV": f"LD_PRELOAD={os.path.abspath(library)}",
        "RAMPART_URL": f"unix://{room}/socket",
        "RAMPART_FAIL_OPEN": "0",
        "RAMPART_NOTICE": "0",
    }
    marks = f"{room}/marks"
    failures = 0

    def check(words, question):
        nonlocal failures
        server.asked.clear()
        if os.path.exists(marks):
            os.unlink(marks)
        run = subprocess.run(EMULATOR + words, env=environment, capture_output=True, text=True, timeout=60)
        ran = open(marks, encoding="utf-8").read().splitlines() if os.path.exists(marks) else []
        said = run.stderr.splitlines()
        if words[1] in UNKNOWN_FILE:
            said = [line for line in said if "cannot be preloaded" not in line]
        # The emulator has no execveat: what matters is that it was reached.
        is_missing = "execveat" in words[1] and f"errno {errno.ENOSYS} " in run.stdout
        should_run = server.allows and not is_missing
        if server.asked[:1] != [question] or len(ran) != should_run or said:
            failures += 1
            allows = "allowed" if server.allows else "denied"
            print(f"{allows}: {words[1:4]}: asked {server.asked}, ran {ran}\n{run.stdout}{run.stderr}")

    start, variadic, rm = f"{directory}/start", f"{directory}/variadic", f"{room}/bin/rm"
    checks = 0
    for server.allows in (True, False):
        for function in BY_PATH + BY_NAME:
            program = rm if function in BY_PATH else "rm"
            check([start, function, program, "rm", "-rf", "a b"], LINE)
        for function in LINES:
            check([start, function, LINE], LINE)
        for function in ("execl", "execlp", "execle"):
            for count in COUNTS:
                check([variadic, function, str(count), rm], expected_arguments(count))
        checks += len(BY_PATH + BY_NAME + LINES) + 3 * len(COUNTS)
    shutil.rmtree(room)
    print(f"{checks} calls on aarch64, {failures} failures")
    sys.exit(failures > 0)


main()
