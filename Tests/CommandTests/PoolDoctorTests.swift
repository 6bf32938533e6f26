import Foundation
import Glibc
import Testing

/// Several mounts of slowfs (see bench/testbeds), unmounted when this object goes.
private final class Mounts {
    private static let script = repository.appendingPathComponent("bench/testbeds/slowfs.sh").path
    private let scratch: Scratch
    private var mounted: [String] = []

    init(_ scratch: Scratch) { self.scratch = scratch }

    deinit {
        for path in mounted { _ = try? scratch.run("/bin/bash", [Self.script, "down", path]) }
    }

    /// Mounts a folder of the scratch directory and returns where.
    func mount(_ name: String, of folder: String, _ options: [String] = []) throws -> String {
        let path = scratch.path + "/" + name
        try FileManager.default.createDirectory(
            atPath: scratch.path + "/" + folder, withIntermediateDirectories: true)
        let outcome = try scratch.run(
            "/bin/bash",
            [Self.script, "up", path, "--backing", scratch.path + "/" + folder] + options)
        try #require(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        mounted.append(path)
        return path
    }

    /// Stops the daemon behind a mount, or lets it go on.
    func signal(_ path: String, _ signal: Int32) throws {
        let text = try String(contentsOfFile: path + ".slowfs/pid", encoding: .utf8)
        let daemon = try #require(pid_t(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        try #require(kill(daemon, signal) == 0)
    }
}

@Suite("iotrap doctor --pool")
struct PoolDoctorTests {
    /// Says why mounts cannot be made here.
    private func lacksFUSE(_ test: String = #function) -> Bool {
        if geteuid() == 0 && access("/dev/fuse", R_OK | W_OK) == 0 { return false }
        print("SKIP \(test): mounting needs root and /dev/fuse")
        return true
    }

    /// The lines about a subject.
    private func lines(_ level: String, _ subject: String, _ outcome: Outcome) -> [String] {
        outcome.output.split(separator: "\n").map(String.init).filter {
            $0.split(separator: " ").prefix(2) == [Substring(level), Substring(subject)]
        }
    }

    private func names(_ folder: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder)
    }

    @Test("Two mounts of one folder show the same files, and nothing stays behind")
    func same() throws {
        if lacksFUSE() { return }
        let scratch = try Scratch()
        let mounts = Mounts(scratch)
        let first = try mounts.mount("a", of: "storage")
        let second = try mounts.mount("b", of: "storage")
        let outcome = try scratch.iotrap(["doctor", "--pool=data:\(first),\(second)"])
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        #expect(lines("ok", "path", outcome).count == 2)
        #expect(lines("ok", "mount", outcome).count == 1)
        #expect(lines("ok", "files", outcome).count == 1, "\(outcome.output)")
        #expect(outcome.output.hasSuffix("\nthe pool works\n"))
        #expect(try names(scratch.path + "/storage") == [])
    }

    @Test("Mounts of two folders do not, whichever is first")
    func different() throws {
        if lacksFUSE() { return }
        let scratch = try Scratch()
        let mounts = Mounts(scratch)
        let first = try mounts.mount("a", of: "storage")
        let second = try mounts.mount("b", of: "other")
        let outcome = try scratch.iotrap(["doctor", "--pool", "data:\(first),\(second)"])
        #expect(outcome.status == 1)
        #expect(lines("fail", "files", outcome).count == 1, "\(outcome.output)")
        #expect(outcome.output.contains("show different files"))
        #expect(try names(scratch.path + "/storage") + names(scratch.path + "/other") == [])
    }

    @Test("Where nothing can be written, existing files are compared")
    func readOnly() throws {
        if lacksFUSE() { return }
        let scratch = try Scratch()
        let mounts = Mounts(scratch)
        let folders = ["storage", "copy"]
        for folder in folders {
            mkdir(scratch.path + "/" + folder, 0o755)
            mkdir(scratch.path + "/" + folder + "/below", 0o755)
            // A copy has other times.
            try scratch.file(folder + "/below/file", Data(repeating: 7, count: 100_000))
            usleep(20_000)
        }
        let first = try mounts.mount("a", of: "storage", ["-o", "ro"])
        let second = try mounts.mount("b", of: "storage", ["-o", "ro"])
        let third = try mounts.mount("c", of: "copy", ["-o", "ro"])
        let same = try scratch.iotrap(["doctor", "--pool=data:\(first),\(second)"])
        #expect(same.status == 0, "\(same.output)")
        #expect(same.output.contains("show the same 1 file;"), "\(same.output)")
        #expect(lines("warn", "read-only", same).count == 1)
        let different = try scratch.iotrap(["doctor", "--pool=data:\(first),\(third)"])
        #expect(different.status == 1)
        #expect(lines("fail", "files", different).count == 1, "\(different.output)")
    }

    @Test("A mount that does not answer is named, and does not hold the doctor up")
    func silent() throws {
        if lacksFUSE() { return }
        let scratch = try Scratch()
        let mounts = Mounts(scratch)
        let first = try mounts.mount("a", of: "storage")
        let second = try mounts.mount("b", of: "storage")
        try mounts.signal(second, SIGSTOP)
        // Through a pipe, which no process that hangs may keep open.
        let command = "\(builtCommand) doctor --within 1 --pool=data:\(first),\(second) | cat"
        let outcome = try scratch.run("/bin/sh", ["-c", command])
        try mounts.signal(second, SIGCONT)
        #expect(lines("ok", "path", outcome).count == 1, "\(outcome.output)")
        let failure = try #require(lines("fail", "path", outcome).first, "\(outcome.output)")
        #expect(failure.contains(second) && failure.contains("no answer within 1 s"))
        #expect(outcome.output.hasSuffix("\nthe pool does not work as it is\n"))
    }

    @Test("One path and all of them are measured with a file that is there or made")
    func measured() throws {
        if lacksFUSE() { return }
        let scratch = try Scratch()
        let mounts = Mounts(scratch)
        let first = try mounts.mount("a", of: "storage")
        let second = try mounts.mount("b", of: "storage")
        let words = ["doctor", "--measure", "--pool=data:\(first),\(second)"]
        let outcome = try scratch.iotrap(words)
        #expect(outcome.status == 0, "\(outcome.output)")
        let line = lines("ok", "rate", outcome) + lines("warn", "rate", outcome)
        #expect(line.count == 1 && line[0].contains("\(first) alone "), "\(outcome.output)")
        #expect(line.first?.contains(" together ") == true && line.first?.contains("x (") == true)
        #expect(try names(scratch.path + "/storage") == [])
    }

    @Test("Folders of one mount are no paths of their own; what is missing or a file is named")
    func withoutMounts() throws {
        let scratch = try Scratch()
        for name in ["a", "b"] { mkdir(scratch.path + "/" + name, 0o755) }
        try scratch.file("c", Data())
        let paths = ["a", "b", "c", "d"].map { scratch.path + "/" + $0 }.joined(separator: ",")
        let outcome = try scratch.iotrap(["doctor", "--pool=data:\(paths)"])
        #expect(outcome.status == 1)
        #expect(outcome.output.contains("lie on one mount"))
        let failures = lines("fail", "path", outcome)
        #expect(failures.count == 2, "\(outcome.output)")
        #expect(failures.contains { $0.hasSuffix("/c: Not a directory") })
        #expect(failures.contains { $0.hasSuffix("/d: No such file or directory") })
        #expect(lines("fail", "files", outcome).count == 1)
        #expect(try names(scratch.path + "/a") + names(scratch.path + "/b") == [])
    }

    @Test("Pools come from the environment and the configuration file, all or one by its name")
    func configured() throws {
        let scratch = try Scratch()
        for name in ["a", "b", "c d"] { mkdir(scratch.path + "/" + name, 0o755) }
        let file = try scratch.file(
            "settings", Data("[pool log]\npaths = \"\(scratch.path)/c d\"\n".utf8))
        let variables = [
            "IOTRAP_MOUNT_POOLS": "data:\(scratch.path)/a/,\(scratch.path)/b/",
            "IOTRAP_CONFIG": file,
        ]
        let all = try scratch.iotrap(["doctor", "--pool"], variables)
        #expect(lines("ok", "path", all).count == 3, "\(all.output)\(all.errors)")
        #expect(all.output.hasSuffix("\nnot every pool works as it is\n"))
        let one = try scratch.iotrap(["doctor", "--pool", "log"], variables)
        #expect(lines("ok", "path", one).count == 1, "\(one.output)\(one.errors)")
        #expect(one.output.contains("log: \(scratch.path)/c d, "))
        #expect(one.output.contains("nothing to spread over"))
        expectRefusal(
            try scratch.iotrap(["doctor", "--pool=logs"], variables), status: 2,
            naming: "'logs'", "configured: log, data")
    }

    @Test("Wrong pools, bounds and options are refused")
    func refusals() throws {
        let scratch = try Scratch()
        expectRefusal(try scratch.iotrap(["doctor", "--pool"]), status: 2, naming: "no mount pool")
        expectRefusal(try scratch.iotrap(["doctor", "--pool="]), status: 2, naming: "empty name")
        expectRefusal(
            try scratch.iotrap(["doctor", "--pool=data:/a,b"]), status: 2, naming: "--pool: 'b'")
        expectRefusal(
            try scratch.iotrap(["doctor", "--pool"], ["IOTRAP_MOUNT_POOLS": "/a,/b"]), status: 2,
            naming: "IOTRAP_MOUNT_POOLS: '/a,/b'")
        expectRefusal(
            try scratch.iotrap(["doctor", "--pool"], ["IOTRAP_CONFIG": "/nonexistent"]), status: 2,
            naming: "IOTRAP_CONFIG: '/nonexistent'")
        expectRefusal(
            try scratch.iotrap(["doctor", "--within=0", "--pool=p:/a"]), status: 2, naming: "'0'")
        expectRefusal(try scratch.iotrap(["doctor", "--measure"]), status: 2, naming: "--pool")
    }
}
