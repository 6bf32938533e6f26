"""A daemon that closes every descriptor: daemon.py WAY MOMENT RESULT

WAY is loop, closerange, close_range or closefrom; MOMENT says whether the first I/O comes before
or after it. Then descriptors 0, 1, 2 and 3 must be the next ones, and I/O by several threads must
work. RESULT.done tells how it went.
"""
import ctypes
import os
import resource
import sys
import threading
import traceback

PAGE = 4096


def work(path):
    """Threads that write, sync and read back; returns nothing, raises when anything is wrong."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    problems = []

    def run(number):
        try:
            content = bytes([65 + number]) * PAGE
            for block in range(number, 40, 4):
                assert os.pwritev(descriptor, [content[:100], content[100:]], block * PAGE) == PAGE
                os.fdatasync(descriptor)
                assert os.pread(descriptor, PAGE, block * PAGE) == content
        except BaseException as problem:  # pylint: disable=broad-except
            problems.append(problem)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.fsync(descriptor)
    os.close(descriptor)
    if problems:
        raise problems[0]


def close_everything(way):
    limit = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 65536)
    libc = ctypes.CDLL(None, use_errno=True)
    if way == "loop":
        for descriptor in range(limit):
            try:
                os.close(descriptor)
            except OSError:
                pass
    elif way == "closerange":
        os.closerange(0, limit)
    elif way == "close_range":
        assert libc.close_range(0, ctypes.c_uint(0xFFFFFFFF), 0) == 0
    else:
        libc.closefrom(0)


def daemon(way, moment, result):
    if moment == "before":
        work(result)
    close_everything(way)
    for expected in (0, 1, 2):
        number = os.open("/dev/null", os.O_RDWR)
        assert number == expected, "descriptor %d instead of %d" % (number, expected)
    number = os.open(result, os.O_RDWR | os.O_CREAT, 0o600)
    assert number == 3, "descriptor %d instead of 3" % number
    os.close(number)
    work(result)
    # Descriptors must be handed out in order once more, after rings have come back.
    numbers = [os.open("/dev/null", os.O_RDONLY) for _ in range(100)]
    assert numbers == list(range(3, 103)), "descriptors %s" % numbers
    for number in numbers:
        os.close(number)
    work(result)


def main():
    way, moment, result = sys.argv[1:4]
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    try:
        daemon(way, moment, result)
        text = "ok"
    except BaseException:  # pylint: disable=broad-except
        text = traceback.format_exc()
    with open(result + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(result + ".new", result + ".done")


main()
