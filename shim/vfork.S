/*
 * vfork cannot be wrapped in C: the child returns first, on the same stack, and
 * overwrites the frame of any function that made the call. As in libc, the return
 * address waits in a register that the system call preserves.
 */
#include <sys/syscall.h>

	.text
	.globl	vfork
	.globl	__vfork
	.type	vfork, @function
	.type	__vfork, @function
vfork:
__vfork:
	.cfi_startproc
	sub	$8, %rsp
	.cfi_adjust_cfa_offset 8
	call	iotrap_vfork_before
	add	$8, %rsp
	.cfi_adjust_cfa_offset -8
	pop	%rdi
	.cfi_adjust_cfa_offset -8
	.cfi_register %rip, %rdi
	mov	$SYS_vfork, %eax
	syscall
	push	%rdi
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rip, 0
	test	%eax, %eax
	jz	1f
	/* The parent, after its child is gone; or no child was made. */
	sub	$24, %rsp
	.cfi_adjust_cfa_offset 24
	mov	%rax, 8(%rsp)
	call	iotrap_vfork_after
	mov	8(%rsp), %rax
	cmp	$-4095, %rax
	jae	2f
	add	$24, %rsp
	.cfi_adjust_cfa_offset -24
1:	ret
	.cfi_adjust_cfa_offset 24
2:	call	__errno_location@PLT
	mov	8(%rsp), %rcx
	neg	%ecx
	mov	%ecx, (%rax)
	mov	$-1, %rax
	add	$24, %rsp
	.cfi_adjust_cfa_offset -24
	ret
	.cfi_endproc
	.size	vfork, .-vfork
	.section .note.GNU-stack, "", %progbits
