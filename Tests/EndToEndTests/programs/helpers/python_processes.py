"""Python with threads, subprocesses and pools of processes; prints only what is reproducible."""
import hashlib
import mmap
import multiprocessing
import os
import shutil
import subprocess
import tempfile
import threading

PAGE = 4096


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


def fill(number):
    """Writes blocks of one file through descriptors of its own, syncs, reads them back."""
    path = "pool-%d" % number
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    for block in range(20):
        os.pwrite(descriptor, bytes([number, block]) * (PAGE // 2), block * PAGE)
    os.fsync(descriptor)
    os.pwritev(descriptor, [b"x" * 100, b"y" * 100], 20 * PAGE)
    os.fdatasync(descriptor)
    parts = [bytearray(50), bytearray(150)]
    count = os.preadv(descriptor, parts, 20 * PAGE)
    size = os.fstat(descriptor).st_size
    os.close(descriptor)
    return count, size, digest(path)


def shared_file():
    """Eight threads write, sync and read one file while the process forks."""
    descriptor = os.open("shared", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)

    def work(number):
        for block in range(number, 80, 8):
            os.pwrite(descriptor, bytes([number]) * PAGE, block * PAGE)
            os.fsync(descriptor)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        child = os.fork()
        if child == 0:
            ok = os.pwrite(descriptor, b"", 0) == 0 and len(os.pread(descriptor, 10, 0)) <= 10
            os.fsync(descriptor)
            os._exit(0 if ok else 1)
        print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    for thread in threads:
        thread.join()
    os.close(descriptor)
    print("shared", digest("shared"))


def direct_file():
    """Large aligned transfers past the page cache, with a short read at the end of the file."""
    length = 3 << 20
    buffer = mmap.mmap(-1, length)
    buffer.write(bytes(i % 253 for i in range(length)))
    descriptor = os.open("large", os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o600)
    print("direct write", os.pwrite(descriptor, buffer, 0))
    print("direct overwrite", os.pwrite(descriptor, buffer, 0))
    target = mmap.mmap(-1, 2 * length)
    print("direct read", os.preadv(descriptor, [target], 0), target[:length] == buffer[:])
    print("direct short read", os.preadv(descriptor, [target], 1 << 20))
    os.close(descriptor)
    print("large", digest("large"))


def main():
    with multiprocessing.Pool(4) as pool:
        for result in pool.map(fill, range(8)):
            print("pool", *result)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        print("spawned", *pool.map(fill, [9])[0])
    result = subprocess.run(["sh", "-c", "cat; echo error >&2; exit 5"], input=b"to the child\n",
                            capture_output=True, close_fds=True, check=False)
    print("child", result.returncode, result.stdout, result.stderr)
    children = [subprocess.Popen(["head", "-c", str(1000 * i), "data"], stdout=subprocess.PIPE)
                for i in range(1, 9)]
    print("children", [len(child.communicate()[0]) for child in children])
    shared_file()
    direct_file()
    with tempfile.TemporaryFile(dir=".") as file:
        file.write(b"z" * 100000)
        file.flush()
        os.fsync(file.fileno())
        print("temporary", os.pread(file.fileno(), 5, 99997))
    shutil.copyfile("data", "shutil")
    print("shutil", digest("shutil"))


if __name__ == "__main__":
    main()
