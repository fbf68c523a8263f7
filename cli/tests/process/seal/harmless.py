"""Starts programs in ways in which what is there afterwards looks like something else."""
import ctypes, os, shutil, subprocess, sys, threading, time
home, calls = sys.argv[1], 0
fails, stays_still, titles = (home + '/' + name for name in ('fails', 'stays', 'titles'))
stays = 'import time; time.sleep(0.05)'
def run(*words, status=0, **more):
    global calls
    calls += 1
    done = subprocess.run(words, **more)
    assert done.returncode == status, (words, done.returncode)
def script(name, text):
    path = os.path.join(home, name)
    with open(path, 'w') as file: file.write(text)
    os.chmod(path, 0o755)
    return path
python = sys.executable
# Scripts, with and without an argument of the interpreter's; a script's script; a link; no name.
run(script('plain', '#!/bin/sh\nsleep 0.05\n'), 'x')
run(script('argument', '#!/bin/sh -e\nsleep 0.05\n'), 'x', 'y')
run(script('by-env', f'#!/usr/bin/env python3\n{stays}\n'))
run(script('of-script', f'#!{home}/plain\n'))
os.symlink('/bin/sleep', home + '/link')
run(home + '/link', '0.05')
run('./link', '0.05', cwd=home)
run('/lib64/ld-linux-x86-64.so.2' if os.path.exists('/lib64/ld-linux-x86-64.so.2') else '/bin/sleep',
    *(['/bin/sleep'] if os.path.exists('/lib64/ld-linux-x86-64.so.2') else []), '0.05')
# One that is gone from its place at once, and one that is replaced.
shutil.copy('/bin/sleep', home + '/short')
gone = subprocess.Popen([home + '/short', '0.05']); os.unlink(home + '/short')
shutil.copy('/bin/true', home + '/short')
assert gone.wait() == 0
# Chains: each asks again at once.
run('env', 'env', 'nice', 'env', 'sh', '-c', 'exec env sh -c "exec sleep 0.05"')
run('sh', '-c', 'exec ' * 1 + 'sh -c "exec sh -c \'exec sleep 0.05\'"')
# A start that fails, after which the program goes on, and starts another one.
bad = script('bad', '\x7fELF nothing')
run(python, '-c', f'''
import os, time
for path in {bad!r}, {bad!r}:
    try: os.execv(path, [path, "long " * 1000])
    except OSError: time.sleep(0.02)
os.execv("/bin/sleep", ["sleep", "0.05"])
''')
# One that fails, and gives back the memory in which its words were.
run(fails, bad)
# What calls itself something else, and writes over its arguments.
run('bash', '-c', 'exec -a another-name sleep 0.05')
run('perl', '-e', '$0 = "x" x 10; select undef, undef, undef, 0.05')
run('perl', '-e', '$0 = "longer " x 100; select undef, undef, undef, 0.05')
# Also all of the memory that it was started with.
for how in 'area', 'top', 'moved': run(titles, how, 'a longer argument')
run(script('titles-script', '#!/usr/bin/perl -w\n$0 = "title" x 9; select undef, undef, undef, 0.05'), 'x')
# A script that is another one by now, and one that is no longer where it was.
run(script('changes', '#!/bin/sh -e\nprintf "#!/bin/false\\n" > $0.new; mv $0.new $0; sleep 0.05\n'), 'x', 'y')
run('./moves', 'x', cwd=os.path.dirname(script('moves', '#!/bin/sh\ncd /; sleep 0.05\n')))
# A program that is named by what it is called, and one that the loader is told to load.
for name in 'one', 'two': os.symlink(stays_still, home + '/' + name); run(home + '/' + name)
os.link(stays_still, home + '/three'); run(home + '/three', 'x')
if busybox := shutil.which('busybox'):
    os.symlink(busybox, home + '/sleep')
    run(home + '/sleep', '0.05'); run(busybox, 'sleep', '0.05'); run(busybox, 'sh', '-c', 'sleep 0.05')
# Programs that came by a descriptor, which has no name; they start others in their place.
def opened(path):
    memory = os.memfd_create('program')
    os.write(memory, open(path, 'rb').read())
    return memory
def by_descriptor(start, *words):
    process = os.fork()
    if not process:
        try: start(*words)
        finally: os._exit(9)
    assert os.waitpid(process, 0)[1] == 0, words
for program, words in (stays_still, ()), (fails, (bad,)), ('/usr/bin/env', ('sleep', '0.05')):
    memory, file = opened(program), os.open(program, os.O_RDONLY)
    for it in memory, file:
        os.set_inheritable(it, True)
        by_descriptor(os.execve, it, (program, *words), os.environ)
        for place in '/proc/self/fd', '/dev/fd', f'/proc/{os.getpid()}/fd':
            by_descriptor(os.execv, f'{place}/{it}', (program, *words))
# The same after a program that has a name, again and again at other moments.
for pause in range(0, 12, 2):
    run('sh', '-c', f'sleep 0.00{pause:02}; exec {python} -c "$0"',
        f'import os; it = os.open({stays_still!r}, os.O_RDONLY); os.execve(it, ["x"], os.environ)')
# One that is traced while it starts.
run(titles, 'traces', stays_still)
# Where the system has an interpreter for a kind of files.
kinds = f"""mount -t binfmt_misc none {home}/kinds && echo ':kind:E::kind::/bin/sh:' > {home}/kinds/register"""
os.mkdir(home + '/kinds')
script('of-a.kind', 'sleep 0.05\n')
if subprocess.run(['unshare', '-Urm', 'sh', '-c', kinds], stderr=subprocess.DEVNULL).returncode == 0:
    run('unshare', '-Urm', 'sh', '-c', f'{kinds}; {home}/of-a.kind x; exec {home}/of-a.kind y z')
else: print('left out: kinds of files', file=sys.stderr)
# While many others start.
def others():
    while busy: subprocess.run([home + '/plain', 'x'])
busy = True
crowd = [threading.Thread(target=others) for _ in range(4)]
for each in crowd: each.start()
# Threads that start a program in their process's place, also two at once.
threads = f'''
import os, threading, time
def start(program): os.execv(program, [program, "0.05"])
for program in PROGRAMS: threading.Thread(target=start, args=(program,)).start()
start(PROGRAMS[0]) if MAIN else time.sleep(60) # until a thread's program takes its place
'''
for programs, main in [(('/bin/sleep',), False), (('/bin/sleep', home + '/link'), False),
                       (('/bin/sleep', home + '/link', home + '/plain'), True)]:
    for _ in range(2):
        run(python, '-c', f'PROGRAMS, MAIN = {programs!r}, {main}\n{threads}')
busy = False
for each in crowd: each.join()
# Many at once.
all_of_them = [subprocess.Popen([home + '/plain', str(i)]) for i in range(20)]
assert all(each.wait() == 0 for each in all_of_them)
print('all of them')
