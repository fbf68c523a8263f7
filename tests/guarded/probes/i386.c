/* A 32-bit program without a C library, which prints its environment. */
static long call(long number, long a, long b, long c)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
	return result;
}

__attribute__((used)) static void start(long *stack)
{
	for (char **entry = (char **)(stack + stack[0] + 2); *entry; entry++) {
		long length = 0;
		while ((*entry)[length])
			length++;
		call(4, 1, (long)*entry, length);
		call(4, 1, (long)"\n", 1);
	}
	call(1, 0, 0, 0);
}

__asm__(".globl _start\n_start:\n mov %esp, %eax\n push %eax\n call start\n");
