import Glibc
import IOTrap
import Synchronization

/// Unpacks an archive: reads it ahead, and keeps many files in flight.
struct Restore {
    /// How much of a file is written at once, and the memory of each piece in flight.
    private static let pieceBytes = 1 << 18

    private let executor: IOExecutor
    private let report: Problems
    private let pool: IOBufferPool
    private var tree: TargetTree
    private var directories: [(path: String, mode: UInt32, modified: Int64)] = []
    private var hardLinks: [(path: String, target: String)] = []
    private var links: [(path: String, target: String, modified: Int64)] = []

    init(into root: String, inFlight: Int, on executor: IOExecutor, report: Problems) {
        self.executor = executor
        self.report = report
        pool = IOBufferPool(capacity: Self.pieceBytes, count: inFlight)
        tree = TargetTree(root)
    }

    /// Runs on the executor. Problems with single files are reported, and the others go on.
    /// - Throws: when the archive cannot be read on.
    mutating func run(_ archive: borrowing IOFile) async throws {
        var reader = ArchiveReader(try archive.blocks(of: 1 << 20, readAhead: 4))
        try await withThrowingDiscardingTaskGroup { group in
            while let header = try await reader.next() {
                do {
                    guard let path = try tree.relative(header.name) else { continue }
                    try prepare(path, header)
                    guard "07".contains(header.kind) else { continue }
                    try await unpack(path, header, &reader, &group)
                } catch let refusal as Refusal {
                    report.add(refusal.description)
                }
            }
        }
        finish()
    }

    /// Directories at once; links when all files are there, so that no file goes through one.
    private mutating func prepare(_ path: String, _ header: TarHeader) throws(Refusal) {
        try tree.makeParents(of: path)
        switch header.kind {
        case "0", "7": try tree.makeWay(for: path)
        case "5":
            try tree.makeDirectory(path)
            directories.append((tree.absolute(path), header.mode, header.modified))
        case "1":
            guard let target = try tree.relative(header.target) else {
                throw Refusal(description: "\(path): a hard link to the directory itself")
            }
            hardLinks.append((path, target))
        case "2": links.append((path, header.target, header.modified))
        default:
            throw Refusal(
                description: "\(path): skipped, entries of type '\(header.kind)' are not supported")
        }
    }

    /// Reads a file's bytes from the archive; the writes are tasks of the group.
    private func unpack(
        _ path: String, _ header: TarHeader, _ reader: inout ArchiveReader,
        _ group: inout ThrowingDiscardingTaskGroup<any Error>
    ) async throws {
        let output = Output(
            path: tree.absolute(path), mode: header.mode, modified: header.modified, report: report)
        if header.size <= Int64(Self.pieceBytes) {
            // No more files in flight than there are buffers.
            var buffer = await pool.nextBuffer()
            try await reader.read(into: &buffer)
            let piece = Piece(buffer, at: 0)
            group.addTask(executorPreference: executor) { await output.write(whole: piece) }
            return
        }
        guard let file = await output.open() else { return }
        let pieces = (header.size + Int64(Self.pieceBytes) - 1) / Int64(Self.pieceBytes)
        let large = LargeOutput(output, file, pieces: Int(pieces))
        for index in 0..<pieces {
            var buffer = await pool.nextBuffer()
            try await reader.read(into: &buffer)
            let piece = Piece(buffer, at: index * Int64(Self.pieceBytes))
            group.addTask(executorPreference: executor) { await large.write(piece) }
        }
    }

    /// What had to wait until all files are there. Directories last: their times change with what
    /// is put into them, and their modes may forbid it.
    private func finish() {
        for link in hardLinks {
            report.note { () throws(Refusal) in
                try tree.makeHardLink(link.path, to: link.target)
            }
        }
        for link in links {
            report.note { () throws(Refusal) in
                try tree.makeLink(link.path, to: link.target)
                try TargetTree.setTime(tree.absolute(link.path), link.modified)
            }
        }
        for directory in directories.reversed() {
            report.note { () throws(Refusal) in
                guard chmod(directory.path, directory.mode) == 0 else {
                    throw TargetTree.failure("set the mode of", directory.path)
                }
                try TargetTree.setTime(directory.path, directory.modified)
            }
        }
    }
}

/// Some bytes of a file on their way to it.
final class Piece: Sendable {
    let buffer: IOBuffer
    let offset: Int64

    init(_ buffer: consuming IOBuffer, at offset: Int64) {
        self.buffer = buffer
        self.offset = offset
    }
}

/// A file that is being made.
struct Output: Sendable {
    let path: String
    let mode: UInt32
    let modified: Int64
    let report: Problems

    /// All of a file in one operation.
    func write(whole piece: Piece) async {
        do throws(IOError) {
            try await IOFile.write(
                contents: piece.buffer, to: path, options: [.exclusive, .noFollow],
                permissions: mode)
            setTime()
        } catch {
            report.add("\(error)")
        }
    }

    func open() async -> IOFile? {
        do throws(IOError) {
            return try await IOFile.open(
                path, .writeOnly, options: [.exclusive, .noFollow], permissions: mode)
        } catch {
            report.add("\(error)")
            return nil
        }
    }

    func setTime() {
        report.note { () throws(Refusal) in try TargetTree.setTime(path, modified) }
    }
}

/// A file that is written in several pieces.
final class LargeOutput: Sendable {
    private let output: Output
    private let file: IOFile
    private let piecesLeft: Atomic<Int>
    private let hasFailed = Atomic<Bool>(false)

    init(_ output: Output, _ file: consuming IOFile, pieces: Int) {
        self.output = output
        self.file = file
        piecesLeft = Atomic(pieces)
    }

    func write(_ piece: Piece) async {
        do throws(IOError) {
            try await file.write(piece.buffer, at: piece.offset)
        } catch {
            // One line for a file, however many of its pieces fail.
            let isFirst = !hasFailed.exchange(true, ordering: .relaxed)
            if isFirst { output.report.add("\(error)") }
        }
        let left = piecesLeft.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue
        if left == 0 && !hasFailed.load(ordering: .relaxed) { output.setTime() }
    }
}

/// What went wrong, on the standard error output.
final class Problems: Sendable {
    private let total = Atomic<Int>(0)

    var count: Int { total.load(ordering: .relaxed) }

    func add(_ text: String) {
        total.wrappingAdd(1, ordering: .relaxed)
        complain("restore: \(text)")
    }

    func note(_ body: () throws(Refusal) -> Void) {
        do throws(Refusal) { try body() } catch { add(error.description) }
    }
}
