import CIOTrap
import Foundation
import Glibc
import Testing

@testable import IOTrapStats

@Suite("The segment directory")
struct SegmentDirectoryTests {
    /// The reason for which the directory is refused.
    private func refusal(_ path: String) -> SegmentError.Reason? {
        do throws(SegmentError) {
            _ = try SegmentDirectory(path: path)
            return nil
        } catch {
            return error.reason
        }
    }

    @Test("A directory that others may write to is refused")
    func writableByOthers() throws {
        let directory = try TemporaryDirectory()
        #expect(refusal(directory.path) == nil)
        for mode: mode_t in [0o702, 0o720, 0o1777] {
            #expect(chmod(directory.path, mode) == 0)
            #expect(refusal(directory.path) == .writableByOthers(mode: S_IFDIR | mode))
        }
    }

    @Test("A link, a file and nothing at all are refused")
    func notADirectory() throws {
        let directory = try TemporaryDirectory()
        let link = directory.path + "/link"
        #expect(symlink(directory.path, link) == 0)
        let file = try SegmentFixture().write(to: directory, name: "file")
        #expect(refusal(link) == .symbolicLink)
        #expect(refusal(file) == .wrongKind(expected: "directory"))
        #expect(refusal(directory.path + "/none") == .missing)
    }

    @Test("Only decimal process IDs are segments")
    func processIDs() throws {
        let directory = try TemporaryDirectory()
        for name in ["12", "7", "007", "+5", "0", "-1", "1x", "x", "99999999999"] {
            try SegmentFixture().write(to: directory, name: name)
        }
        let opened = try SegmentDirectory(path: directory.path)
        #expect(opened.processIDs() == [7, 12])
        #expect(opened.processIDs() == [7, 12], "listing twice gives the same")
    }

    @Test("A segment under another process's name is refused")
    func foreignName() throws {
        let directory = try TemporaryDirectory()
        try SegmentFixture(processID: 12).write(to: directory, name: "13")
        let opened = try SegmentDirectory(path: directory.path)
        #expect(throws: SegmentError.self) { _ = try opened.segment(of: 13) }
    }

    /// Writes one segment, prunes, and tells whether the segment is still there.
    private func survives(
        processID: Int32, _ change: (inout iotrap_stats_header) -> Void = { _ in }
    ) throws -> Bool {
        let directory = try TemporaryDirectory()
        var fixture = SegmentFixture(processID: processID)
        fixture.setHeader(change)
        let path = try fixture.write(to: directory, name: String(processID))
        let removed = try SegmentDirectory(path: directory.path).prune()
        let exists = access(path, F_OK) == 0
        #expect(removed == (exists ? [] : [processID]))
        return exists
    }

    @Test("Pruning removes what dead processes left, and nothing else")
    func pruning() throws {
        #expect(try survives(processID: getpid()))
        #expect(try survives(processID: 1), "a process of another user lives")
        #expect(try !survives(processID: deadProcessID))
        #expect(try survives(processID: deadProcessID) { $0.flags = IOTRAP_STATS_FLAG_KEEP })
        #expect(
            try !survives(processID: getpid()) { $0.started_ns = 1 },
            "the ID belongs to a younger process")
        #expect(
            try !survives(processID: getpid()) { $0.started_ns = .max },
            "noted before the last boot")
        #expect(try survives(processID: deadProcessID) { $0.version = IOTRAP_STATS_VERSION + 1 })
        #expect(try survives(processID: deadProcessID) { $0.magic = 1 })
        #expect(try survives(processID: getpid()) { $0.magic = 0 }, "still starting")
        #expect(try !survives(processID: deadProcessID) { $0.magic = 0 }, "died while starting")
    }

    @Test("Pruning leaves files that are no segments")
    func pruningLeavesStrangers() throws {
        let directory = try TemporaryDirectory()
        let names = ["notes", String(deadProcessID)]
        for name in names {
            try Data("hello".utf8).write(to: URL(fileURLWithPath: directory.path + "/" + name))
        }
        try SegmentDirectory(path: directory.path).prune()
        for name in names { #expect(access(directory.path + "/" + name, F_OK) == 0) }
    }

    @Test("A process that has ended and waits for its parent counts as gone")
    func zombie() throws {
        var child: pid_t = 0
        var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("true"), nil]
        defer { free(arguments[0]) }
        #expect(posix_spawnp(&child, "true", nil, nil, &arguments, nil) == 0)
        var information = siginfo_t()
        // Waits for its end and leaves it a zombie.
        #expect(waitid(P_PID, id_t(child), &information, WEXITED | WNOWAIT) == 0)
        #expect(kill(child, 0) == 0)
        #expect(!processRuns(child, since: clockNanoseconds(CLOCK_MONOTONIC)))
        waitpid(child, nil, 0)
    }
}

@Suite("Finding segments")
struct SegmentSearchTests {
    /// Writes a kept segment that started at the given moment.
    private func write(
        _ processID: Int32, started: UInt64, to directory: borrowing TemporaryDirectory,
        below: String = ""
    ) throws {
        var fixture = SegmentFixture(processID: processID, program: "/bin/\(started)")
        fixture.setHeader {
            $0.started_realtime_ns = started
            $0.flags = IOTRAP_STATS_FLAG_KEEP
        }
        mkdir(directory.path + "/" + below, 0o700)
        try fixture.write(to: directory, name: below + "/\(processID)")
    }

    @Test("The last one is the one that started last, wherever it is")
    func last() throws {
        let directory = try TemporaryDirectory()
        let search = SegmentSearch(directory: directory.path)
        #expect(search.last().found == nil)
        try write(2_000_000_001, started: 30, to: directory)
        try write(2_000_000_002, started: 10, to: directory)
        #expect(search.last().found?.snapshot.header.program == "/bin/30")
        try write(2_000_000_003, started: 40, to: directory, below: "run-\(getpid())")
        #expect(search.last().found?.snapshot.header.program == "/bin/40")
        #expect(search.last().problems == [])
    }

    @Test("The private directory of a dead iotrap run goes, kept segments and all")
    func abandonedPrivateDirectory() throws {
        let directory = try TemporaryDirectory()
        let search = SegmentSearch(directory: directory.path)
        let abandoned = "run-\(deadProcessID)"
        let inUse = "run-\(getpid())"
        try write(2_000_000_001, started: 30, to: directory, below: abandoned)
        try write(2_000_000_002, started: 20, to: directory, below: inUse)
        #expect(search.last().found?.snapshot.header.processID == 2_000_000_002)
        #expect(access(directory.path + "/" + abandoned, F_OK) != 0)
        // A process that the dead one started and that still runs.
        try write(getpid(), started: 40, to: directory, below: abandoned)
        #expect(search.last().found?.snapshot.header.processID == getpid())
    }

    @Test("By process ID, the younger of two with the same one")
    func byProcessID() throws {
        let directory = try TemporaryDirectory()
        let search = SegmentSearch(directory: directory.path)
        try write(2_000_000_001, started: 30, to: directory)
        try write(2_000_000_001, started: 20, to: directory, below: "run-5")
        let found = try #require(try search.segment(of: 2_000_000_001))
        #expect(found.snapshot.header.program == "/bin/30")
        #expect(try search.segment(of: 2_000_000_009) == nil)
    }

    @Test("A bad segment is an error when asked for, and passed over otherwise")
    func badSegment() throws {
        let directory = try TemporaryDirectory()
        let search = SegmentSearch(directory: directory.path)
        try write(2_000_000_001, started: 30, to: directory)
        try Data("rubbish".utf8).write(to: URL(fileURLWithPath: directory.path + "/2000000002"))
        chmod(directory.path + "/2000000002", 0o600)
        #expect(throws: SegmentError.self) { try search.segment(of: 2_000_000_002) }
        let (found, problems) = search.last()
        #expect(found?.snapshot.header.processID == 2_000_000_001)
        #expect(problems.map(\.path) == [directory.path + "/2000000002"])
    }

    @Test("A directory named by the user has to exist, the standard one need not")
    func missingDirectory() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/none"
        #expect(throws: SegmentError(path: path, reason: .missing)) {
            try SegmentSearch(directory: path).segment(of: 1)
        }
        #expect(try SegmentSearch(directory: nil).segment(of: deadProcessID) == nil)
    }
}
