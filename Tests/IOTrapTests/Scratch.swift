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

/// Keeps an executor's thread asleep until told otherwise: a FIFO that nobody writes to yet.
struct Pipe: ~Copyable {
    let reading: Int32
    let writing: Int32

    init() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        reading = ends[0]
        writing = ends[1]
    }

    /// A file on the reading end, which then belongs to it.
    func file() throws -> IOFile { try IOFile.adopt(dup(reading), path: "pipe") }

    func send(_ byte: UInt8) { withUnsafeBytes(of: byte) { _ = write(writing, $0.baseAddress, 1) } }

    deinit {
        close(reading)
        close(writing)
    }
}
