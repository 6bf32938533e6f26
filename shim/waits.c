/*
 * Hooks of waits that show an interruption: they fail with EINTR, or return less, when
 * the kernel completes a request of the thread's own ring meanwhile. What is on the ring
 * ends before such a wait begins. Other waits the kernel takes up again by itself.
 */
#include <sys/epoll.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/socket.h>

#include "iotrap_libaio.h"
#include "record.h"

EXPORT int epoll_wait(int queue, struct epoll_event *events, int most, int timeout)
{
	iotrap_settle_rings();
	return REAL(epoll_wait)(queue, events, most, timeout);
}

EXPORT int epoll_pwait(int queue, struct epoll_event *events, int most, int timeout,
		       const sigset_t *mask)
{
	iotrap_settle_rings();
	return REAL(epoll_pwait)(queue, events, most, timeout, mask);
}

EXPORT int epoll_pwait2(int queue, struct epoll_event *events, int most,
			const struct timespec *timeout, const sigset_t *mask)
{
	iotrap_settle_rings();
	return REAL(epoll_pwait2)(queue, events, most, timeout, mask);
}

EXPORT int semop(int set, struct sembuf *operations, size_t count)
{
	iotrap_settle_rings();
	return REAL(semop)(set, operations, count);
}

EXPORT int semtimedop(int set, struct sembuf *operations, size_t count,
		      const struct timespec *timeout)
{
	iotrap_settle_rings();
	return REAL(semtimedop)(set, operations, count, timeout);
}

EXPORT int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
	iotrap_settle_rings();
	return REAL(sigtimedwait)(set, info, timeout);
}

EXPORT int sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
	iotrap_settle_rings();
	return REAL(sigwaitinfo)(set, info);
}

EXPORT ssize_t msgrcv(int queue, void *message, size_t size, long type, int flags)
{
	iotrap_settle_rings();
	return REAL(msgrcv)(queue, message, size, type, flags);
}

EXPORT int msgsnd(int queue, const void *message, size_t size, int flags)
{
	iotrap_settle_rings();
	return REAL(msgsnd)(queue, message, size, flags);
}

EXPORT ssize_t recv(int fd, void *buffer, size_t count, int flags)
{
	iotrap_settle_rings();
	return REAL(recv)(fd, buffer, count, flags);
}

EXPORT ssize_t recvfrom(int fd, void *buffer, size_t count, int flags, struct sockaddr *address,
			socklen_t *size)
{
	iotrap_settle_rings();
	return REAL(recvfrom)(fd, buffer, count, flags, address, size);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	iotrap_settle_rings();
	return REAL(recvmsg)(fd, message, flags);
}

EXPORT int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags,
		    struct timespec *timeout)
{
	iotrap_settle_rings();
	return REAL(recvmmsg)(fd, messages, count, flags, timeout);
}

EXPORT ssize_t send(int fd, const void *buffer, size_t count, int flags)
{
	iotrap_settle_rings();
	return REAL(send)(fd, buffer, count, flags);
}

EXPORT ssize_t sendto(int fd, const void *buffer, size_t count, int flags,
		      const struct sockaddr *address, socklen_t size)
{
	iotrap_settle_rings();
	return REAL(sendto)(fd, buffer, count, flags, address, size);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	if (unlikely(iotrap_recording))
		iotrap_record_message(message);
	iotrap_settle_rings();
	return REAL(sendmsg)(fd, message, flags);
}

EXPORT int accept(int fd, struct sockaddr *address, socklen_t *size)
{
	iotrap_settle_rings();
	return REAL(accept)(fd, address, size);
}

EXPORT int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	iotrap_settle_rings();
	return REAL(accept4)(fd, address, size, flags);
}

EXPORT int connect(int fd, const struct sockaddr *address, socklen_t size)
{
	iotrap_settle_rings();
	return REAL(connect)(fd, address, size);
}
