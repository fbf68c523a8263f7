#!/usr/bin/env python3
"""Prints how deep the stack gets in each exported function of a library (x86-64).

    stack.py LIBRARY LIMIT_BYTES LAZY_FUNCTION

The depth is read off the disassembly: pushes and what is taken off rsp, along every path
through a function, and from there into what it calls. A call through a pointer or into
another library ends a path with its return address: what comes then is the original's own
use. LAZY_FUNCTION runs at load, and in a hook only if that comes before; what a hook uses
in that case stands in a column of its own. Fails where a hook exceeds the limit in either.
"""

import functools
import re
import subprocess
import sys

WORD_BYTES = 8

HEADER = re.compile(r"^([0-9a-f]+) <(.*)>:$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\t(?:bnd |notrack |rep[nz]* )?(\S+)\s*([^#]*?)\s*(?:#\s*([0-9a-f]+).*)?$")
DIRECT = re.compile(r"^([0-9a-f]+) <")
SLOT = re.compile(r"^([0-9a-f]+) R_X86_64_RELATIVE\s+\*ABS\*\+0x([0-9a-f]+)")
EXPORT = re.compile(r"^([0-9a-f]+) T (\S+)")
HASH = re.compile(r"::h[0-9a-f]{16}$")


class Unreadable(Exception):
    """The disassembly holds something that this script cannot follow."""


class Function:
    """A function's own instructions, and after `walk` its depth and its calls."""

    def __init__(self, start, name):
        self.start = start
        self.name = HASH.sub("", name)
        self.code = {}  # address -> (mnemonic, operands, address in the comment)
        self.own_bytes = 0
        self.calls = {}  # address of another function -> bytes on the stack at its start

    def walk(self, slots, starts):
        addresses = sorted(self.code)
        following = dict(zip(addresses, addresses[1:]))
        seen = {}
        pending = [(self.start, 0, None)]
        at_tables = []
        while pending or self.jump_into_rest(seen, at_tables, addresses, pending):
            address, depth, frame = pending.pop()
            if address in seen and depth <= seen[address]:
                continue
            if address in seen:
                raise Unreadable(f"{self.name}: two depths at {address:x}: {seen[address]} and {depth}")
            seen[address] = depth
            mnemonic, operands, slot = self.code[address]
            depth, frame = moved(self.name, mnemonic, operands, depth, frame)
            self.own_bytes = max(self.own_bytes, depth)
            target = self.target(operands, slot, slots)
            if mnemonic == "call":
                self.call(target, depth + WORD_BYTES)
            elif mnemonic == "jmp" and target not in self.code:
                if target is None:
                    at_tables.append((depth, frame))
                else:
                    self.call(target, depth)
            elif mnemonic.startswith("j"):
                if target in self.code:
                    pending.append((target, depth, frame))
                else:
                    self.call(target, depth)
            elif mnemonic == "lea" and slot in starts and slot != self.start:
                # Its address may be called from anywhere in here.
                self.calls.setdefault(slot, None)
            ends = mnemonic in ("jmp", "ret", "ud2", "hlt", "int3")
            if not ends and address in following:
                pending.append((following[address], depth, frame))
        for callee, depth in self.calls.items():
            if depth is None:
                self.calls[callee] = self.own_bytes + WORD_BYTES

    def jump_into_rest(self, seen, at_tables, addresses, pending):
        """What no path has reached can be reached by a jump through a table only."""
        rest = [it for it in addresses if it not in seen and self.code[it][0] not in ("int3", "nop", "ud2")]
        if rest and at_tables:
            depth, frame = max(at_tables, key=lambda it: it[0])
            pending.append((rest[0], depth, frame))
            return True
        return False

    def call(self, target, depth):
        self.own_bytes = max(self.own_bytes, depth)
        if target is not None:
            self.calls[target] = max(depth, self.calls.get(target) or 0)

    @staticmethod
    def target(operands, slot, slots):
        direct = DIRECT.match(operands)
        if direct:
            return int(direct[1], 16)
        return slots.get(slot) if "[rip" in operands else None


def moved(name, mnemonic, operands, depth, frame):
    """The depth after an instruction, and the depth that rbp stands for."""
    if mnemonic == "push" or mnemonic == "pushf":
        return depth + WORD_BYTES, frame
    if mnemonic == "pop" or mnemonic == "popf":
        return depth - WORD_BYTES, frame
    if mnemonic == "leave":
        return frame - WORD_BYTES, None
    first, _, second = operands.partition(",")
    if operands == "rbp,rsp" and mnemonic == "mov":
        return depth, depth
    if first != "rsp" or mnemonic in ("cmp", "test"):
        return depth, frame
    if mnemonic in ("sub", "add") and re.fullmatch(r"0x[0-9a-f]+|[0-9]+", second):
        size = int(second, 0)
        size -= (size >> 63) << 64
        return depth + (size if mnemonic == "sub" else -size), frame
    if mnemonic == "and":
        return depth + (-int(second, 0) & 0xFFFF) - 1, frame
    offset = re.fullmatch(r"\[(rsp|rbp)(?:([+-])(0x[0-9a-f]+))?\]", second)
    if mnemonic == "lea" and offset and (offset[1] == "rsp" or frame is not None):
        size = int(offset[3] or "0", 16) * (-1 if offset[2] == "+" else 1)
        return (depth if offset[1] == "rsp" else frame) + size, frame
    if mnemonic == "mov" and second == "rbp" and frame is not None:
        return frame, frame
    raise Unreadable(f"{name}: {mnemonic} {operands}")


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def read(library):
    """Every function of the library by its address, walked; and the exported ones by name."""
    functions = {}
    current = None
    for line in output("objdump", "-dC", "-M", "intel", "--no-show-raw-insn", library):
        if header := HEADER.match(line):
            start = int(header[1], 16)
            current = functions[start] = Function(start, header[2])
        elif current and (match := INSTRUCTION.match(line)):
            slot = int(match[4], 16) if match[4] else None
            current.code[int(match[1], 16)] = (match[2], match[3], slot)
    slots = {}
    for line in output("objdump", "-R", library):
        if match := SLOT.match(line):
            slots[int(match[1], 16)] = int(match[2], 16)
    exported = {}
    for line in output("nm", "-D", "--defined-only", library):
        if match := EXPORT.match(line):
            exported[match[2]] = int(match[1], 16)
    for function in functions.values():
        function.walk(slots, functions.keys())
    return functions, exported


def deepest(functions, start, left_out):
    """The bytes that a function uses at the most, and the path that uses them."""

    @functools.cache
    def use(address):
        function = functions[address]
        active.append(address)
        found = (function.own_bytes, ((function.own_bytes, function.name),))
        for callee, depth in function.calls.items():
            if callee in active:
                raise Unreadable(f"{function.name} calls itself by way of {functions[callee].name}")
            if callee in functions and functions[callee].name != left_out:
                bytes_, path = use(callee)
                found = max(found, (depth + bytes_, ((depth, function.name), *path)))
        active.pop()
        return found

    active = []
    return use(start)


def main():
    library, limit, lazy = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    functions, exported = read(library)
    if not exported or lazy not in {function.name for function in functions.values()}:
        raise Unreadable(f"{library} exports nothing, or holds no {lazy}: was it stripped?")
    print(f"{'function':14} {'bytes':>6} {'before load':>12}")
    worst = (0, ())
    for name, start in sorted(exported.items()):
        loaded, before = deepest(functions, start, lazy), deepest(functions, start, None)
        print(f"{name:14} {loaded[0]:6} {before[0]:12}")
        worst = max(worst, loaded, before)
    print(f"{lazy} by itself: {max(deepest(functions, it.start, None)[0] for it in functions.values() if it.name == lazy)}")
    print(f"deepest: {worst[0]} bytes of {limit}")
    if worst[0] > limit:
        print("too deep:", file=sys.stderr)
        for size, name in worst[1]:
            print(f"  {size:5} {name}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Unreadable as why:
        print(f"stack.py: {why}", file=sys.stderr)
        sys.exit(1)
