import Foundation
import Glibc
import IOTrap
import Testing

/// A directory that goes away with the test, on a file system that knows O_DIRECT.
final class Scratch: Sendable {
    let path: String

    init() throws {
        var template = Array("/var/tmp/iotrap-swift-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func callAsFunction(_ name: String) -> String { path + "/" + name }

    /// A file of bytes that say where they are; its path.
    func file(_ name: String, bytes: Int) throws -> String {
        let content = (0..<bytes).map(Self.byte)
        #expect(FileManager.default.createFile(atPath: self(name), contents: Data(content)))
        return self(name)
    }

    /// The byte of `file` at an offset.
    static func byte(_ offset: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: offset &* 31 &+ offset >> 8)
    }

    func content(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: self(name))))
    }
}

/// Bytes of a span that are not what `Scratch.byte` says.
func wrongBytes(_ bytes: RawSpan, at offset: Int) -> Int {
    (0..<bytes.byteCount).count {
        bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self) != Scratch.byte(offset + $0)
    }
}

/// What a body throws; nil when it does not.
func failure<R: ~Copyable>(_ body: () throws(IOError) -> R) -> IOError? {
    do throws(IOError) {
        _ = try body()
        return nil
    } catch {
        return error
    }
}

/// The same for an asynchronous body, which stays where it is called.
nonisolated(nonsending) func failure<R: ~Copyable>(
    _ body: nonisolated(nonsending) () async throws(IOError) -> R
) async -> IOError? {
    do throws(IOError) {
        _ = try await body()
        return nil
    } catch {
        return error
    }
}

/// The body of an exit test, of which only the place of an issue is told: what it throws is told by
/// the process that waits, through a file.
nonisolated(nonsending) func reporting(
    to path: String, _ body: nonisolated(nonsending) () async throws -> Void
) async {
    do {
        try await body()
    } catch {
        try? "\(error)".write(toFile: path, atomically: false, encoding: .utf8)
        Issue.record("it threw")
    }
}

/// Tells what an exit test threw.
func expectNoReport(_ path: String, at location: SourceLocation = #_sourceLocation) {
    let text = try? String(contentsOfFile: path, encoding: .utf8)
    #expect(text == nil, sourceLocation: location)
}

/// Waits for what others bring about. The bound only keeps a broken test from waiting for ever.
nonisolated(nonsending) func eventually(
    _ condition: nonisolated(nonsending) () async throws -> Bool
) async rethrows -> Bool {
    for _ in 0..<6000 {
        if try await condition() { return true }
        try? await Task.sleep(for: .milliseconds(10))
    }
    return false
}

/// What a task gives; fails when it goes on waiting.
func outcome<T: Sendable>(
    of task: Task<T, Never>, at location: SourceLocation = #_sourceLocation
) async throws -> T {
    let result = Late<T>()
    Task { await result.set(task.value) }
    _ = await eventually { await result.value != nil }
    return try #require(await result.value, "it waits for ever", sourceLocation: location)
}

/// A value that comes later.
actor Late<T: Sendable> {
    private(set) var value: T?

    func set(_ value: T) { self.value = value }
}

/// Keeps an executor's thread asleep until told otherwise: a FIFO that nobody writes to yet.
struct Pipe: ~Copyable {
    let reading: Int32
    let writing: Int32

    init() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        // Servers that other tests start must not keep it.
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        reading = ends[0]
        writing = ends[1]
    }

    /// A file on a descriptor of its own for the reading end.
    func file() throws -> IOFile {
        try IOFile.adopt(fcntl(reading, F_DUPFD_CLOEXEC, 0), path: "pipe")
    }

    func send(_ byte: UInt8) { withUnsafeBytes(of: byte) { _ = write(writing, $0.baseAddress, 1) } }

    /// Puts so many bytes in, which have to fit.
    func send(count: Int) {
        let bytes = [UInt8](repeating: 1, count: count)
        #expect(write(writing, bytes, count) == count)
    }

    /// Bytes that nobody has read yet.
    var unread: Int {
        var count: Int32 = 0
        #expect(ioctl(reading, UInt(FIONREAD), &count) == 0)
        return Int(count)
    }

    deinit {
        close(reading)
        close(writing)
    }
}
