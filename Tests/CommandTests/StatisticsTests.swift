import CIOTrap
import Foundation
import Glibc
import Testing

@Suite("iotrap run --stats and iotrap stat")
struct StatisticsTests {
    /// Copies a file of 8 MiB with O_DIRECT reads, through one process of dd.
    private func copy(_ scratch: Scratch) throws -> [String] {
        let source = try scratch.file("source", Data(repeating: 7, count: 1 << 20))
        return ["dd", "if=\(source)", "of=\(scratch.path)/copy", "bs=64k", "status=none"]
    }

    @Test("--stats prints one table to the standard error output and leaves nothing behind")
    func table() throws {
        let scratch = try Scratch()
        let outcome = try scratch.iotrap(["run", "--stats"] + copy(scratch))
        #expect(outcome.status == 0)
        #expect(outcome.output == "")
        let lines = outcome.errors.split(separator: "\n").map(String.init)
        #expect(lines.first?.contains("/dd  pid ") == true, "\(outcome.errors)")
        #expect(lines.first?.contains("  ended after ") == true)
        #expect(lines.dropFirst().first?.hasPrefix("mode auto  ") == true)
        let read = try #require(lines.first { $0.hasPrefix("read ") })
        let cells = read.split(separator: " ").map(String.init)
        // dd reads 16 blocks and meets the end of the file, or stops at the size it knows.
        #expect(Int(cells[1]) == 16 || Int(cells[1]) == 17, "\(read)")
        #expect(read.contains("1.00 MiB"), "\(read)")
        for line in lines { #expect(line.count <= 100, "\(line)") }
        #expect(scratch.statisticsLeft() == [])
    }

    @Test("--stats sums up all processes that the program starts")
    func manyProcesses() throws {
        let scratch = try Scratch()
        let one = try copy(scratch).joined(separator: " ")
        let outcome = try scratch.iotrap(["run", "--stats", "sh", "-c", "\(one); \(one); \(one)"])
        let read = try #require(
            outcome.errors.split(separator: "\n").first { $0.hasPrefix("read ") })
        #expect(read.contains("3.00 MiB"), "\(outcome.errors)")
        #expect(scratch.statisticsLeft() == [])
    }

    @Test("--stats keeps the statistics of what still runs, until that has ended too")
    func stillRunning() throws {
        let scratch = try Scratch()
        let fifo = scratch.path + "/fifo"
        try #require(mkfifo(fifo, 0o600) == 0)
        // Nobody writes to the FIFO yet, so cat waits in open(2), with its segment made. Before
        // that the file is the shell's, which started it.
        let script = """
            cat \(fifo) > /dev/null 2>&1 & echo $! > \(scratch.path)/pid
            until grep -qa bin/cat "$IOTRAP_STATS_DIR/$!" 2> /dev/null; do sleep 0.02; done
            """
        let outcome = try scratch.iotrap(["run", "--stats", "sh", "-c", script])
        let text = try String(contentsOfFile: scratch.path + "/pid", encoding: .utf8)
        let processID = text.trimmingCharacters(in: .whitespacesAndNewlines)
        let writer = open(fifo, O_WRONLY | O_CLOEXEC)
        #expect(write(writer, "x", 1) == 1)
        #expect(try eventually { try scratch.iotrap(["stat", processID]).status == 0 })
        close(writer)
        #expect(outcome.status == 0)
        #expect(
            try eventually {
                _ = try scratch.iotrap(["stat", "last"])
                return scratch.statisticsLeft().isEmpty
            })
    }

    @Test("--stats leaves the segment of a process that is just starting alone")
    func stillStarting() throws {
        let scratch = try Scratch()
        let script = """
            sleep 60 > /dev/null 2>&1 & echo $! > \(scratch.path)/pid
            rm -f "$IOTRAP_STATS_DIR/$!"; : > "$IOTRAP_STATS_DIR/$!"
            """
        let outcome = try scratch.iotrap(["run", "--stats", "--mode", "off", "sh", "-c", script])
        let text = try String(contentsOfFile: scratch.path + "/pid", encoding: .utf8)
        let processID = try #require(Int32(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        #expect(outcome.errors.contains("still running: 1 of its processes; see iotrap stat"))
        #expect(scratch.statisticsLeft().contains { $0.hasSuffix("/\(processID)") })
        kill(processID, SIGKILL)
        #expect(
            try eventually {
                _ = try scratch.iotrap(["stat", "last"])
                return scratch.statisticsLeft().isEmpty
            })
    }

    @Test("--stats in mode off says why there is nothing")
    func modeOff() throws {
        let scratch = try Scratch()
        let outcome = try scratch.iotrap(["run", "--stats", "--mode", "off", "true"])
        expectRefusal(outcome, status: 0, naming: "no statistics", "mode off")
        #expect(scratch.statisticsLeft() == [])
    }

    @Test("--stats without a usable directory says so and runs the program")
    func noDirectory() throws {
        let scratch = try Scratch()
        chmod(scratch.statistics, 0o777)
        let outcome = try scratch.iotrap(["run", "--stats", "echo", "ran"])
        #expect(outcome.status == 0)
        #expect(outcome.output == "ran\n")
        #expect(outcome.errors.hasPrefix("iotrap: no statistics: \(scratch.statistics): "))
        #expect(outcome.errors.contains("can be written by other users"))
    }

    @Test("stat shows a running process by its ID and as the last one, as text and JSON")
    func running() throws {
        let scratch = try Scratch()
        let input = Pipe()
        let child = try scratch.start(
            builtCommand, ["run", "--mode", "observe", "cat"],
            input: input.fileHandleForReading.fileDescriptor)
        input.fileHandleForWriting.write(Data("hello".utf8))
        #expect(try eventually { try child.output == "hello" })
        let processID = String(child.processID)
        let byID = try scratch.iotrap(["stat", processID])
        #expect(byID.status == 0, "\(byID.errors)")
        #expect(byID.output.contains("cat  pid \(processID)  running for "))
        #expect(byID.output.contains("mode observe"))
        #expect(byID.output.contains("\nwrite "))
        let last = try scratch.iotrap(["stat", "--json", "last"])
        let parsed = try JSONSerialization.jsonObject(with: Data(last.output.utf8))
        let object = try #require(parsed as? [String: Any])
        #expect(object["pid"] as? Int == Int(processID))
        #expect(object["state"] as? String == "running")
        let operations = try #require(object["operations"] as? [String: [String: Any]])
        #expect(operations["write"]?["bytes"] as? Int == 5)
        try input.fileHandleForWriting.close()
        #expect(try child.wait().status == 0)
        #expect(try scratch.iotrap(["stat", processID]).status == 1, "its segment went with it")
    }

    @Test("stat explains why there is nothing")
    func nothing() throws {
        let scratch = try Scratch()
        expectRefusal(
            try scratch.iotrap(["stat", "last"]), status: 1, naming: scratch.statistics,
            "no process under iotrap")
        expectRefusal(
            try scratch.iotrap(["stat", "2000000000"]), status: 1, naming: "2000000000",
            "no such process")
        expectRefusal(
            try scratch.iotrap(["stat", "\(getpid())"]), status: 1, naming: "\(getpid())",
            "not loaded")
        rmdir(scratch.statistics)
        expectRefusal(
            try scratch.iotrap(["stat", "last"]), status: 1, naming: scratch.statistics)
    }

    @Test("stat explains a process whose mode counts nothing")
    func silentModes() throws {
        for (variable, value) in [("IOTRAP_MODE", "off"), ("IOTRAP_STATS", "off")] {
            let scratch = try Scratch()
            let input = Pipe()
            let child = try scratch.start(
                builtCommand, ["run", "cat"], [variable: value],
                input: input.fileHandleForReading.fileDescriptor)
            input.fileHandleForWriting.write(Data("x".utf8))
            #expect(try eventually { try child.output == "x" })
            expectRefusal(
                try scratch.iotrap(["stat", String(child.processID)]), status: 1,
                naming: "\(variable)=\(value)")
            try input.fileHandleForWriting.close()
            #expect(try child.wait().status == 0)
        }
    }

    @Test(
        "stat refuses wrong arguments with 2",
        arguments: [
            ([], "no process"), (["x"], "'x'"), (["-5"], "-5"), (["0"], "'0'"),
            (["99999999999"], "'99999999999'"), (["1", "2"], "'2'"), (["--jsn", "1"], "'--jsn'"),
        ] as [([String], String)])
    func wrongArguments(_ arguments: [String], _ name: String) throws {
        let outcome = try Scratch().iotrap(["stat"] + arguments)
        expectRefusal(outcome, status: 2, naming: name)
    }

    /// The path of a segment that a program left behind, and its process ID.
    private func keptSegment(_ scratch: Scratch) throws -> (path: String, processID: String) {
        let outcome = try scratch.iotrap(["run"] + copy(scratch), ["IOTRAP_STATS": "keep"])
        try #require(outcome.status == 0)
        let processID = try #require(scratch.statisticsLeft().first)
        return (scratch.statistics + "/" + processID, processID)
    }

    @Test("A kept segment is shown after the end")
    func kept() throws {
        let scratch = try Scratch()
        let (_, processID) = try keptSegment(scratch)
        for name in [processID, "last"] {
            let outcome = try scratch.iotrap(["stat", name])
            #expect(outcome.status == 0)
            #expect(outcome.output.contains("/dd  pid \(processID)  ended after "))
        }
    }

    /// Puts records of paths between header and blocks of a segment.
    private func insertPaths(_ path: String, _ names: [(pool: String, path: String)]) throws {
        typealias Header = iotrap_stats_header
        var content = try Data(contentsOf: URL(fileURLWithPath: path))
        let bytes = MemoryLayout<iotrap_stats_path>.size
        var records = Data(count: (names.count * bytes + 4095) / 4096 * 4096)
        for (index, name) in names.enumerated() {
            var record = iotrap_stats_path()
            withUnsafeMutableBytes(of: &record.pool) { $0.copyBytes(from: name.pool.utf8) }
            withUnsafeMutableBytes(of: &record.path) { $0.copyBytes(from: name.path.utf8) }
            record.state = IOTRAP_PATH_UP.rawValue
            record.requests = 8
            record.read_bytes = UInt64(index + 1) << 20
            record.rate_bytes = 50_000_000
            withUnsafeBytes(of: &record) {
                records.replaceSubrange(index * bytes..<(index + 1) * bytes, with: $0)
            }
        }
        let lengths = [
            (\Header.header_bytes, UInt32(4096 + records.count)),
            (\Header.path_count, UInt32(names.count)),
        ]
        for (member, value) in lengths {
            let offset = MemoryLayout<Header>.offset(of: member)!
            withUnsafeBytes(of: value) { content.replaceSubrange(offset..<offset + 4, with: $0) }
        }
        content.insert(contentsOf: records, at: 4096)
        try content.write(to: URL(fileURLWithPath: path))
    }

    @Test("The paths of mount pools are shown, as text and JSON")
    func mountPools() throws {
        let scratch = try Scratch()
        let (path, processID) = try keptSegment(scratch)
        let without = try scratch.iotrap(["stat", processID]).output
        #expect(!without.contains("MOUNT POOLS"))
        try insertPaths(path, [("hana", "/mnt/a"), ("hana", "/mnt/b"), ("logs", "/mnt/l")])
        let outcome = try scratch.iotrap(["stat", processID])
        #expect(outcome.status == 0, "\(outcome.errors)")
        let lines = outcome.output.split(separator: "\n").map(String.init)
        let title = try #require(lines.firstIndex { $0.hasPrefix("MOUNT POOLS ") })
        #expect(lines[title + 1].hasPrefix("hana  /mnt/a  up      33.3 %  50.0 "))
        #expect(lines[title + 2].hasPrefix("hana  /mnt/b  up      66.7 %  50.0 "))
        #expect(lines[title + 3].hasPrefix("logs  /mnt/l  up     100.0 %  50.0 "))
        // The rest is what it was: blocks are found behind the records.
        let rest = lines.filter { !lines[title...(title + 3)].contains($0) }
        #expect(rest == without.split(separator: "\n").map(String.init))
        let json = try scratch.iotrap(["stat", "--json", processID])
        let parsed = try JSONSerialization.jsonObject(with: Data(json.output.utf8))
        let paths = (parsed as? [String: Any])?["mount_pool_paths"] as? [[String: Any]]
        #expect(paths?.map { $0["path"] as? String } == ["/mnt/a", "/mnt/b", "/mnt/l"])
    }

    @Test("A segment of another version is refused with the reason")
    func otherVersion() throws {
        let scratch = try Scratch()
        let (path, processID) = try keptSegment(scratch)
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
        try file.seek(toOffset: 8)
        file.write(Data([9, 0, 0, 0]))
        try file.close()
        expectRefusal(
            try scratch.iotrap(["stat", processID]), status: 1, naming: path, "version 9",
            "reads version 3")
        let last = try scratch.iotrap(["stat", "last"])
        #expect(last.status == 1)
        #expect(last.errors.contains("passed over: \(path): has layout version 9"))
    }

    @Test("A truncated segment is refused with the reason")
    func truncated() throws {
        let scratch = try Scratch()
        let (path, processID) = try keptSegment(scratch)
        for length: off_t in [100_000, 4096, 4095, 360, 100, 1] {
            try #require(truncate(path, length) == 0)
            expectRefusal(
                try scratch.iotrap(["stat", processID]), status: 1, naming: path,
                "truncated: \(length) bytes")
        }
        try #require(truncate(path, 0) == 0)
        expectRefusal(
            try scratch.iotrap(["stat", processID]), status: 1, naming: path, "no header")
    }

    @Test("A link in a segment's place is refused")
    func link() throws {
        let scratch = try Scratch()
        let (path, processID) = try keptSegment(scratch)
        try #require(rename(path, scratch.path + "/elsewhere") == 0)
        try #require(symlink(scratch.path + "/elsewhere", path) == 0)
        expectRefusal(
            try scratch.iotrap(["stat", processID]), status: 1, naming: path, "symbolic link")
    }
}
