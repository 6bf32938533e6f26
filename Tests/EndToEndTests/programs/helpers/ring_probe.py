"""Exits 0 when io_uring_setup(2) works for this user, 3 with the reason when it is refused."""
import ctypes
import os
import sys

NUMBER = 425  # __NR_io_uring_setup, the same on x86-64 and arm64

libc = ctypes.CDLL(None, use_errno=True)
params = ctypes.create_string_buffer(120)
ring = libc.syscall(NUMBER, 4, params)
if ring < 0:
    print("io_uring_setup:", os.strerror(ctypes.get_errno()))
    sys.exit(3)
os.close(ring)
