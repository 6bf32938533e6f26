import Foundation
import Testing

extension Differential {
    /// That the runs of the suite really went through the library and its rings.
    @Suite("Coverage", .serialized)
    struct CoverageTests {
        /// The statistics of the last process of a run, as the command prints them.
        private func statistics(
            after program: String, _ arguments: [String], _ environment: [String: String]
        ) throws -> [String: Any] {
            let own = "/dev/shm/iotrap-differential-" + UUID().uuidString
            try FileManager.default.createDirectory(
                atPath: own, withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700])
            defer { try? FileManager.default.removeItem(atPath: own) }
            let scratch = try Scratch()
            let keep = ["IOTRAP_STATS": "keep", "IOTRAP_STATS_DIR": own]
            let run = try ProcessRun.run(
                Repository.programs + "/" + program, [scratch.path] + arguments,
                environment: environment.merging(keep) { $1 })
            try #require(run.succeeded, "\(program): \(run.ending) \(run.output) \(run.errors)")
            let shown = try ProcessRun.run(
                Repository.command, ["stat", "last", "--json"], environment: keep)
            try #require(shown.succeeded, "stat: \(shown.errors)")
            let parsed = try JSONSerialization.jsonObject(with: Data(shown.output.utf8))
            return try #require(parsed as? [String: Any])
        }

        private func calls(_ statistics: [String: Any], _ technique: String) throws -> Int {
            let techniques = try #require(statistics["techniques"] as? [String: Any])
            let one = try #require(techniques[technique] as? [String: Any])
            return try #require(one["calls"] as? Int)
        }

        private func ringWorks(_ statistics: [String: Any]) throws -> Bool {
            let ring = try #require(statistics["ring"] as? [String: Any])
            return ring["state"] as? String == "working"
        }

        @Test(
            "In force mode each technique serves calls",
            arguments: [
                ("direct_reads", "split"), ("direct_threads", "split"), ("positional", "ring"),
                ("shared_syncs", "ring"), ("shared_syncs", "group-sync"),
                ("libaio_long", "libaio"), ("posix_aio_threads", "posix-aio"),
            ])
        func techniques(_ program: String, _ technique: String) throws {
            let seen = try statistics(after: program, [], Mode.force.environment)
            guard try ringWorks(seen) else {
                print("SKIP \(technique) in \(program): io_uring does not work here")
                return
            }
            #expect(try calls(seen, technique) > 0, "\(seen)")
        }

        @Test("Mode observe leaves every call to the kernel")
        func observe() throws {
            let seen = try statistics(
                after: "direct_reads", [], Mode(mode: "observe", settings: nil).environment)
            #expect(seen["accelerated"] as? Int == 0)
            #expect((seen["calls"] as? Int ?? 0) > 1000)
        }

        @Test(
            "A program started with an environment of its own is under the library too",
            arguments: [
                "execve", "execv", "execvp", "execvpe", "execl", "execle", "execlp", "fexecve",
                "execveat", "syscall",
            ])
        func follows(_ way: String) throws {
            let seen = try statistics(after: "exec_once", [way], Mode.force.environment)
            let program = try #require(seen["program"] as? String)
            #expect(program.hasSuffix("/cat"), "the last program seen is \(program)")
            #expect(seen["mode"] as? String == "force")
        }
    }
}
