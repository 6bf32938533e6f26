/* Seccomp filters for programs that must do without some system calls. */
#ifndef SECCOMP_H
#define SECCOMP_H

#include "observe.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#define FILTER_MAX 80

/*
 * Every listed call gets the one action, every other call the other. x86-64 and AArch64 number
 * io_uring alike; the architecture is not checked, as nothing here changes it.
 */
OBSERVE void install_filter(const int *numbers, size_t count, uint32_t listed, uint32_t others)
{
	struct sock_filter code[FILTER_MAX];
	struct sock_fprog program = {.filter = code};
	unsigned short at = 0;

	NEED(count + 4 < FILTER_MAX);
	code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						  offsetof(struct seccomp_data, nr));
	for (size_t index = 0; index < count; index++)
		code[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							  (uint32_t)numbers[index],
							  (uint8_t)(count - index), 0);
	code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, others);
	code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, listed);
	program.len = at;
	NEED(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	NEED(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

OBSERVE void refuse_io_uring(int error)
{
	static const int numbers[] = {SYS_io_uring_setup, SYS_io_uring_enter,
				      SYS_io_uring_register};

	install_filter(numbers, 3, SECCOMP_RET_ERRNO | (uint32_t)error, SECCOMP_RET_ALLOW);
}

#endif
