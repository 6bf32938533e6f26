import Testing

@testable import IOTrace

@Suite("Import of strace and blkparse")
struct LogImportTests {
    private let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    /// A kept log.
    private func kept(_ name: String) throws -> String {
        String(decoding: try content(dataDirectory + "/" + name), as: UTF8.self)
    }

    private func load(
        _ text: String, _ format: ImportFormat
    ) throws -> (content: Content, losses: [String: UInt64]) {
        let input = try scratch.file("in", text)
        let report = try TraceImport.convert(
            input, from: format, output: scratch("out"), replaces: true)
        let losses = report.losses.map { ($0.what, $0.count) }
        return (try Content(of: scratch("out")), Dictionary(uniqueKeysWithValues: losses))
    }

    @Test("strace: positions, errors, vectors, duplicates, and what was opened with which flags")
    func strace() throws {
        let (content, losses) = try load(kept("positions.strace"), .strace)
        let kinds = content.events.map { $0.operation }
        #expect(
            kinds == [
                .open, .write, .write, .read, .read, .write, .fdatasync, .write, .truncate,
                .allocate, .close,
            ])
        let data = content.events
        #expect(
            content.files == [TraceFile(path: "data/a\"bä", openFlags: 0o40002, isAbsolute: true)])
        #expect(data[1].offset == 0 && data[1].length == 4096 && data[1].result == 4096)
        #expect(data[1].submitNanoseconds == 1_000_000 && data[1].latencyNanoseconds == 100_000)
        #expect(data[2].offset == 4096 && data[2].result == 512)
        #expect(data[3].offset == 65536 && data[3].call == .pread)
        #expect(data[4].offset == 1000 && data[4].length == 100 && data[4].result == 0)
        #expect(data[5].offset == 40 && data[5].length == 30)
        #expect(data[6].isAfterFile)
        #expect(data[7].result == -28)
        #expect(data[8].offset == 123_456 && data[8].length == 0)
        #expect(data[9].length == 4096)
        #expect(losses["I/O on descriptors whose open is not in the log"] == 1)
        #expect(losses["calls that a trace has no place for: mmap"] == 1)
    }

    @Test("strace: calls that others interrupt keep their place; children and threads their files")
    func straceThreads() throws {
        let (content, losses) = try load(kept("threads.strace"), .strace)
        let events = content.events
        #expect(events.map(\.operation) == [.open, .fsync, .write, .close, .write, .write, .fsync])
        #expect(events.map(\.thread) == [0, 10, 20, 20, 10, 30, 30])
        #expect(events[1].submitNanoseconds == 2_000_000)
        #expect(events[1].latencyNanoseconds == 2_000_000)
        #expect(events[4].offset == 1 && events[5].offset == 3)
        #expect(!events[6].isComplete)
        #expect(losses["calls without an end"] == 1)
        #expect(losses["I/O on descriptors whose open is not in the log"] == 1)
    }

    @Test("strace: requests of libaio are batches, and end when they are reaped")
    func straceLibaio() throws {
        let (content, losses) = try load(kept("libaio.strace"), .strace)
        let events = content.events
        try #require(events.count == 4)
        #expect(events[1].operation == .read && events[2].operation == .write)
        #expect(events[1].batch == 1 && events[2].batch == 1 && events[3].batch == 0)
        #expect(events[1].result == -5 && events[2].result == 16384)
        #expect(events[1].latencyNanoseconds == 1_100_000)
        #expect(events[1].offset == 8192 && events[2].length == 16384)
        #expect(events[3].operation == .fdatasync && !events[3].isComplete)
        #expect(losses["io_submit requests without an end"] == 1)
    }

    @Test("blkparse: issue and completion, discards, flushes, errors")
    func blkparse() throws {
        let log = """
              8,0    3        1     0.000000000   697  G   W 223490 + 8 [kjournald]
              8,0    3        2     0.000001000   697  D   W 223490 + 8 [kjournald]
              8,16   1        3     0.000002000   700  D   R 100 + 64 [fio]
              8,16   1        4     0.000502000     0  C   R 100 + 64 [0]
              8,0    3        5     0.000901000     0  C   W 223490 + 8 [0]
              8,0    3        6     0.001000000   697  D WFS 8 + 8 [kjournald]
              8,0    3        7     0.001100000     0  C WFS 8 + 8 [-5]
              8,0    3        8     0.002000000   697  D   D 0 + 2048 [fstrim]
              8,0    3        9     0.002100000     0  C   D 0 + 2048 [0]
              8,0    3       10     0.003000000   697  D  FN [kworker]
            CPU3 (8,0):
             Reads Queued:           0,        0KiB

            """
        let (content, losses) = try load(log, .blkparse)
        let events = content.events
        try #require(events.count == 5)
        #expect(events.map(\.operation) == [.write, .read, .write, .discard, .fdatasync])
        #expect(content.files.map { $0?.path } == ["block/8-0", "block/8-16"])
        #expect(events[0].offset == 223_490 * 512 && events[0].length == 4096)
        #expect(events[0].submitNanoseconds == 1000 && events[0].latencyNanoseconds == 900_000)
        #expect(events[1].thread == 700 && events[1].depth == 2 && events[1].result == 32768)
        #expect(events[2].flags == 2 && events[2].result == -5)
        #expect(events[3].length == 1 << 20)
        #expect(!events[4].isComplete && events[4].isAfterFile)
        #expect(losses["actions that are neither D nor C"] == 1)
        #expect(losses["requests without an end"] == 1)
    }

    @Test("Garbage in logs is counted, not believed")
    func garbage() throws {
        let log = """
            10 1.000000 openat(AT_FDCWD, "f", O_RDWR) = 3 <0.000010>
            10 1.0 pwrite64(3, "", 18446744073709551615, 9223372036854775807) = 5 <9999999999.0>
            10 1.000000 pwrite64(3, "", -1, -1) = 99999999999999999999 <0.1>
            10 1.000000 write(3, "unterminated
            10 1.000000 read(3
            10 1.000000 io_submit(0x1, 9, [{aio_data=1, aio_fildes=3) = 99 <0.0>
            10 1.000000 clone() = 4294967296 <0.0>
            10 99999999999999999999.0 read(3, "", 1) = 1 <0.0>
            10 0.500000 read(3, "", 1) = 1 <0.1>
            [pid x] 1.0 read(3) = 1
            (((((
            10 1.0 <... read resumed>) = 1

            """
        let (content, losses) = try load(log, .strace)
        #expect(content.end == .complete)
        #expect(losses["lines that are no call with a time"] ?? 0 >= 5)
    }
}
