"""Non-blocking MPI file requests: mpi_file.py FILE. Every process of a job has a part of the file.

Open MPI makes POSIX AIO requests of them, many for one call where a view of the file has gaps.
The file is the same after each run. Prints one line for each process whose reads were right.
"""
import sys

from mpi4py import MPI

BLOCK = 8192
BLOCKS = 96
job = MPI.COMM_WORLD
rank = job.rank


def data(number):
    """What block `number` of this process holds, of a length of its own."""
    return bytearray([1 + (number * 7 + rank * 101) % 250]) * (BLOCK - number * 37)


def check(what, expected, found):
    """All blocks must be right, and the first that is not is named."""
    for number, (one, other) in enumerate(zip(expected, found)):
        if one != other:
            sys.exit("rank %d, %s: block %d differs" % (rank, what, number))


def blocks(file):
    """Each block is a request of its own, and all of them are in flight together."""
    start = rank * BLOCKS
    expected = [data(number) for number in range(BLOCKS)]
    MPI.Request.Waitall([file.Iwrite_at((start + number) * BLOCK, block)
                         for number, block in enumerate(expected)])
    file.Sync()
    found = [bytearray(len(block)) for block in expected]
    MPI.Request.Waitall([file.Iread_at((start + number) * BLOCK, block)
                         for number, block in enumerate(found)])
    check("blocks", expected, found)


def strides(file):
    """One request covers every second KiB: the gaps keep their bytes."""
    start = job.size * BLOCKS * BLOCK + rank * (1 << 20)
    plain = bytes([0xA0 + rank]) * (1 << 19)
    file.Write_at(start, plain)
    file.Sync()
    # The type ends where the next piece begins.
    every_second = MPI.BYTE.Create_vector(1, 1024, 2048).Create_resized(0, 2048).Commit()
    file.Set_view(start, MPI.BYTE, every_second)
    written = bytearray((offset // 1024) % 251 for offset in range(100 * 1024))
    file.Iwrite_at(0, written).Wait()
    found = bytearray(len(written))
    file.Iread_at(0, found).Wait()
    check("strides", [written], [found])
    file.Set_view(start + 1024, MPI.BYTE, every_second)
    gaps = bytearray(100 * 1024)
    file.Iread_at(0, gaps).Wait()
    check("gaps", [plain[:len(gaps)]], [gaps])
    file.Set_view(0, MPI.BYTE, MPI.BYTE)


def main():
    """Fills the file, reads it back."""
    file = MPI.File.Open(job, sys.argv[1], MPI.MODE_RDWR | MPI.MODE_CREATE)
    blocks(file)
    strides(file)
    job.Barrier()
    file.Close()
    # One write: the launcher passes on what comes, in pieces.
    sys.stdout.write("rank %d ok\n" % rank)


main()
