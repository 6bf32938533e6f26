"""Writes traces (docs/trace-format.md), uncompressed, for the benchmarks of the replayer."""

import struct

READ, WRITE, FDATASYNC = 0, 1, 3
PREAD, IO_SUBMIT = 3, 17
O_RDWR, O_DIRECT = 2, 0o40000

_TABLE = []
for _value in range(256):
    for _ in range(8):
        _value = _value >> 1 ^ (0x82F63B78 if _value & 1 else 0)
    _TABLE.append(_value)


def crc32c(data):
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value):
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def chunk(kind, payload, records, first_event=0):
    head = struct.pack(
        "<IBBHIIIIQQI", 0x4B4E4843, kind, 0, 0, len(payload), len(payload), records, 0, 0,
        first_event, crc32c(payload),
    )
    return head + struct.pack("<I", crc32c(head)) + payload


def write_trace(path, name, size, events, depth, call=IO_SUBMIT):
    """One file opened with O_DIRECT; events are (operation, offset, length), 1 us apart."""
    header = struct.pack("<QIIIIQQQQI", 0x3154504152544F49, 1, 64, 1, 0, 0, 0, 0, 0, 0)
    out = [header + struct.pack("<I", crc32c(header))]
    encoded = name.encode()
    out.append(chunk(2, b"".join(map(varint, (0, 1, O_RDWR | O_DIRECT, 0, size, len(encoded))))
                     + encoded, 1))
    payload, count, first = bytearray(), 0, 0
    for index, (operation, offset, length) in enumerate(events):
        fields = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x100
        if count == 0:
            end = 0
        payload += struct.pack("<H", fields) + zigzag(index * 1000 if count == 0 else 1000)
        payload += bytes((call, operation)) + varint(0) + varint(1)
        payload += zigzag(offset - end) + varint(length) + varint(1000 * depth) + varint(depth)
        end = offset + length
        count += 1
        if len(payload) > 1 << 18:
            out.append(chunk(1, bytes(payload), count, first))
            payload, first, count = bytearray(), first + count, 0
    if count:
        out.append(chunk(1, bytes(payload), count, first))
    total = len(events)
    out.append(chunk(4, b"".join(map(varint, (total, 1, 0, len(out) - 1))), 1))
    with open(path, "wb") as sink:
        sink.write(b"".join(out))
