import Foundation
import Glibc
import IOTrace
import IOTrapStats
import Testing

@testable import IOReplay

@Suite("Several processes replay one trace")
struct RankTests {
    private static let launcher = "/usr/bin/mpirun"

    /// Bytes of each operation, and requests, of all runs.
    private func sums(_ scratch: Scratch, _ names: [String]) throws -> [String: Int] {
        var sums: [String: Int] = [:]
        for name in names {
            for run in try scratch.results(name) {
                for key in ["bytes_read", "bytes_written", "requests"] {
                    sums[key, default: 0] += try #require(run[key] as? Int)
                }
                let classes = try #require(run["classes"] as? [[String: Any]])
                for item in classes where item["operation"] as? String == "sync" {
                    sums["syncs", default: 0] += try #require(item["requests"] as? Int)
                }
            }
        }
        return sums
    }

    private func generate(_ scratch: Scratch, _ profile: String, _ options: [String]) throws
        -> String
    {
        let trace = scratch("\(profile).trace")
        let outcome = try scratch.iotrap(["generate", profile, "-o", trace] + options)
        #expect(outcome.status == 0, "\(outcome.errors)")
        return trace
    }

    private func mpirun(_ scratch: Scratch, _ arguments: [String]) throws -> Outcome {
        let options = ["--allow-run-as-root", "--oversubscribe", "-np", "4", builtCommand]
        let variables = ["HOME": scratch.path, "TMPDIR": scratch.path]
        let process = try scratch.start(options + arguments, variables, program: Self.launcher)
        return try scratch.wait(process)
    }

    @Test(
        "Four ranks under mpirun move the bytes of the trace, each once",
        arguments: [ReplayShare.file, .thread])
    func mpirun(share: ReplayShare) throws {
        if access(Self.launcher, X_OK) != 0 {
            print("SKIP \(#function): no \(Self.launcher); it comes with Debian's openmpi-bin")
            return
        }
        let scratch = try Scratch()
        let trace = try generate(scratch, "postgres-oltp", ["--seconds", "1", "--scale", "0.002"])
        let whole = try scratch.iotrap([
            "replay", trace, "--on", scratch("alone"), "--pace", "asap", "--json",
            scratch("w.json"),
        ])
        #expect(whole.status == 0, "\(whole.errors)")
        let outcome = try mpirun(
            scratch,
            [
                "replay", trace, "--on", scratch("target"), "--pace", "asap", "--repeat", "2",
                "--share", share.rawValue, "--results", scratch("results"),
            ] + (share == .file ? ["--verify"] : []))
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        let names = (0..<4).map { "results/rank-\($0).json" }
        let expected = try sums(scratch, ["w.json"]).mapValues { $0 * 2 }
        #expect(try sums(scratch, names) == expected)
        #expect(expected["bytes_read"]! > 0 && expected["bytes_written"]! > 0)
        // Nobody has all of the work, and nobody has none.
        for name in names { #expect(try sums(scratch, [name])["requests"]! > 0) }
        let left = try FileManager.default.contentsOfDirectory(atPath: scratch("results"))
        #expect(left.sorted() == (0..<4).map { "rank-\($0).json" })
        let merged = try scratch.iotrap(
            ["compare", "--merge", "-o", scratch("all.json")] + names.map { scratch($0) })
        #expect(merged.status == 0, "\(merged.errors)")
        #expect(merged.output.contains("ranks: 4, which began within"))
        #expect(try sums(scratch, ["all.json"]) == expected)
        let compared = try scratch.iotrap(["compare", scratch("w.json"), scratch("all.json")])
        #expect(compared.status == 0, "\(compared.errors)")
        #expect(compared.output.contains("ranks 4, 2 runs"))
    }

    @Test("Every event is one rank's, and what is not kept is counted", arguments: [2, 3, 5])
    func shares(count: Int) throws {
        let scratch = try Scratch()
        let trace = try generate(
            scratch, "hana-mixed",
            ["--seconds", "3", "--scale", "0.002", "--set", "savepoint.first=1"])
        for share in ReplayShare.allCases {
            var owners: [UInt64: Set<Int>] = [:]
            for number in 0..<count {
                let rank = try #require(ReplayRank(number: number, count: count, share: share))
                let plan = try ReplayPlan(trace: trace, rank: rank)
                let split = try #require(plan.share)
                var history = StreamHistory()
                var reader = try TraceReader(path: trace)
                var own: UInt64 = 0
                while let event = try reader.next() {
                    if !split.isOwn(event, history) { continue }
                    own += 1
                    // A commit is with its write.
                    if event.operation == .commit && share == .file {
                        #expect(history.find(event.after, before: event) != .foreign)
                    }
                    history.append(event)
                    owners[event.index, default: []].insert(number)
                }
                #expect(plan.eventCount == own)
            }
            let whole = try ReplayPlan(trace: trace)
            #expect(UInt64(owners.count) == whole.eventCount)
            #expect(owners.values.allSatisfy { $0.count == 1 })
            #expect(Set(owners.values.joined()).count == count)
        }
    }

    @Test("A trace is shared out evenly, and always alike")
    func distribution() {
        let weights: [UInt64] = [9, 1, 5, 5, 7, 3, 9, 2, 8, 6]
        let ranks = RankShare.distribute(weights, over: 3)
        let loads = (0..<3).map { rank in
            zip(weights, ranks).filter { $1 == rank }.reduce(0) { $0 + $1.0 }
        }
        #expect(loads.reduce(0, +) == 55 && loads.max()! - loads.min()! <= 5)
        #expect(RankShare.distribute(weights, over: 3) == ranks)
        #expect(RankShare.distribute([4], over: 3) == [0])
        #expect(Set(RankShare.distribute([0, 0, 0], over: 3)) == [0, 1, 2])
    }

    @Test("Dependencies on events of other ranks are left out and counted")
    func foreignDependencies() throws {
        let scratch = try Scratch()
        let files = [TraceFile.of("a", blocks: 4), .of("b", blocks: 4)]
        let events = [
            event(.write, file: 0), event(.write, thread: 1, file: 1, after: 1),
            event(.write, block: 1, file: 0, after: 2),
            event(.fdatasync, thread: 1, file: 0, depth: 0, isAfterFile: true),
        ]
        let trace = try scratch.trace(events, files: files)
        func foreign(_ rank: Int, _ share: String) throws -> [Int] {
            let outcome = try scratch.iotrap(
                [
                    "compare", "--merge", "--json",
                ] + (try run(scratch, trace, share)))
            #expect(outcome.status == 0, "\(outcome.errors)")
            let object = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8))
            let run = ((object as? [String: Any])?["runs"] as? [[String: Any]])?.first
            return ["dependencies_not_kept", "syncs_of_shared_files"].map { run?[$0] as? Int ?? 0 }
        }
        #expect(try foreign(0, "file") == [1, 0])
        #expect(try foreign(1, "thread") == [1, 1])
    }

    /// Runs two ranks; their results.
    private func run(_ scratch: Scratch, _ trace: String, _ share: String) throws -> [String] {
        let second = try start(scratch, trace, 1, ["--share", share])
        let outcome = try scratch.wait(try start(scratch, trace, 0, ["--share", share]))
        #expect(outcome.status == 0, "\(outcome.errors)")
        second.waitUntilExit()
        #expect(second.terminationStatus == 0)
        return (0..<2).map { scratch("results/rank-\($0).json") }
    }

    /// Starts one of two ranks.
    private func start(
        _ scratch: Scratch, _ trace: String, _ rank: Int, _ options: [String] = []
    ) throws -> Process {
        try scratch.start(
            [
                "replay", trace, "--on", scratch("target"), "--pace", "asap", "--rank", "\(rank)",
                "--ranks", "2", "--results", scratch("results"),
            ] + options, prefix: rank == 0 ? "" : "other-")
    }

    private func waitFor(_ path: String) throws {
        for _ in 0..<6000 where access(path, F_OK) != 0 { usleep(5000) }
        try #require(access(path, F_OK) == 0, "\(path)")
    }

    private func smallTrace(_ scratch: Scratch, writes: UInt64 = 4) throws -> String {
        let files = [TraceFile.of("a", blocks: 16), .of("b", blocks: 16)]
        return try scratch.trace(
            (0..<writes).flatMap { block in
                [event(.write, block: block), event(.read, block: block, file: 1)]
            }, files: files)
    }

    @Test("Ranks that do not come are named")
    func missing() throws {
        let scratch = try Scratch()
        let trace = try smallTrace(scratch)
        for (rank, absent) in [(0, "rank 1 of 2"), (1, "rank 0 of 2")] {
            let process = try start(scratch, trace, rank, ["--start-within", "1"])
            process.waitUntilExit()
            let prefix = rank == 0 ? "" : "other-"
            #expect(process.terminationStatus == 2)
            let text = try scratch.text(prefix + "errors")
            #expect(text.contains(absent) && text.contains("within 1 s"), "\(text)")
        }
        let left = try FileManager.default.contentsOfDirectory(atPath: scratch("results"))
        #expect(left == [])
    }

    @Test("What killed ranks left behind counts for nothing")
    func leftovers() throws {
        let scratch = try Scratch()
        let trace = try smallTrace(scratch)
        let dead = try start(scratch, trace, 0)
        try waitFor(scratch("results/.start"))
        kill(dead.processIdentifier, SIGKILL)
        dead.waitUntilExit()
        // The other one answers a call that nobody makes any more.
        let deaf = try start(scratch, trace, 1)
        try waitFor(scratch("results/.rank-1"))
        kill(deaf.processIdentifier, SIGKILL)
        deaf.waitUntilExit()
        #expect(access(scratch("results/.rank-1"), F_OK) == 0)
        let alone = try start(scratch, trace, 0, ["--start-within", "1"])
        expectRefusal(try scratch.wait(alone), naming: "rank 1 of 2")
        let files = try run(scratch, trace, "file")
        let merged = try scratch.iotrap(["compare", "--merge"] + files)
        #expect(merged.status == 0, "\(merged.errors)")
    }

    @Test("Ranks that replay different traces do not start")
    func different() throws {
        let scratch = try Scratch()
        let other = try start(scratch, try smallTrace(scratch, writes: 5), 1)
        let outcome = try scratch.wait(try start(scratch, try smallTrace(scratch), 0))
        expectRefusal(outcome, naming: "rank 1", "another trace")
        other.waitUntilExit()
        #expect(other.terminationStatus == 2)
        #expect(try scratch.text("other-errors").contains("another trace"))
        #expect(access(scratch("results/rank-0.json"), F_OK) != 0)
    }

    @Test("Launchers say who is which, and options have the last word")
    func launchers() throws {
        let scratch = try Scratch()
        let trace = try smallTrace(scratch)
        let base = ["replay", trace, "--on", scratch("target"), "--pace", "asap"]
        let ranked = base + ["--results", scratch("results"), "--start-within", "1"]
        func run(_ options: [String], _ variables: [String: String]) throws -> Outcome {
            try scratch.iotrap(options, variables)
        }
        let openMPI = ["OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "3"]
        let slurm = ["SLURM_PROCID": "0", "SLURM_NTASKS": "2"]
        let job = ["JOB_COMPLETION_INDEX": "2"]
        expectRefusal(try run(ranked, openMPI), naming: "rank 0 of 3")
        expectRefusal(try run(ranked, slurm), naming: "rank 1 of 2")
        // The launcher that was started last is the one that counts.
        expectRefusal(
            try run(ranked, openMPI.merging(slurm) { $1 }), naming: "rank 0 of 3")
        expectRefusal(
            try run(ranked + ["--ranks", "4"], job), naming: "rank 0 of 4", "did not come")
        expectRefusal(try run(ranked, job), naming: "JOB_COMPLETION_INDEX", "--ranks")
        expectRefusal(try run(ranked + ["--ranks", "2"], job), naming: "rank 2 is none of 2")
        expectRefusal(try run(base, slurm), naming: "SLURM_PROCID", "--results", "--ranks 1")
        expectRefusal(
            try run(ranked, ["SLURM_PROCID": "x", "SLURM_NTASKS": "2"]), naming: "'x'",
            "SLURM_PROCID")
        for variables in [
            openMPI, slurm, job, ["OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "1"],
        ] {
            let isOne = variables["OMPI_COMM_WORLD_SIZE"] == "1"
            let outcome = try run(base + (isOne ? [] : ["--ranks", "1"]), variables)
            #expect(outcome.status == 0, "\(variables): \(outcome.errors)")
            #expect(outcome.output.contains("total: 32.0 KiB"))
        }
    }

    @Test("Wrong input is refused by name")
    func wrongInput() throws {
        let scratch = try Scratch()
        let trace = try smallTrace(scratch)
        func replay(_ options: String...) throws -> Outcome {
            try scratch.iotrap(["replay", trace, "--on", scratch("target")] + options)
        }
        func merge(_ options: String...) throws -> Outcome {
            try scratch.iotrap(["compare", "--merge"] + options)
        }
        let place = ["--results", scratch("results")]
        expectRefusal(try replay("--rank", "0"), naming: "nothing says of how many")
        expectRefusal(try replay("--ranks", "2"), naming: "--rank")
        expectRefusal(try replay("--ranks", "0"), naming: "'0'", "1 to 4096")
        expectRefusal(try replay("--rank", "2", "--ranks", "2"), naming: "2 is none of 2")
        expectRefusal(try replay("--share", "block"), naming: "'block'", "file, thread")
        expectRefusal(try replay(place[0], place[1]), naming: "--results", "--json")
        expectRefusal(
            try replay("--rank", "0", "--ranks", "2", place[0], place[1], "--json", "x"),
            naming: "--json")
        expectRefusal(
            try replay(
                "--rank", "0", "--ranks", "2", place[0], place[1], "--share", "thread", "--verify"),
            naming: "--verify", "--share file")
        #expect(access(scratch("target"), F_OK) != 0)
        expectRefusal(try merge(), naming: "no results")
        expectRefusal(try merge(scratch("gone")), naming: "gone")
        let files = try run(scratch, trace, "file")
        expectRefusal(try merge(files[1]), naming: "rank-1.json", "results of 0 are missing")
        expectRefusal(try merge(files[0], files[0]), naming: "rank 0", "once")
        #expect(try replay("--pace", "asap", "--json", scratch("w.json")).status == 0)
        expectRefusal(try merge(scratch("w.json"), files[0]), naming: "w.json", "of a rank")
        let text = try scratch.text("results/rank-1.json")
        for (from, to, name) in [
            ("\"pace\": \"asap\"", "\"pace\": \"recorded\"", "pace"),
            ("\"ranks\": 2,", "\"ranks\": 3,", "3 ranks"),
            ("\"submit_ns\"", "\"submit\"", "as it was written"),
        ] {
            try text.replacingOccurrences(of: from, with: to)
                .write(toFile: scratch("changed"), atomically: true, encoding: .utf8)
            expectRefusal(try merge(files[0], scratch("changed")), naming: "changed", name)
        }
    }

    @Test("Percentiles of ranks are those of all requests, and rates go by the common time")
    func merging() throws {
        let scratch = try Scratch()
        // Rank 1 begins 2 s later and is slower.
        func write(_ number: Int, latencies: [UInt64], start: UInt64) throws -> String {
            var report = ReplayReport()
            report.rank = ReplayRank(number: number, count: 2)
            var run = ReplayRun()
            var item = ReplayRun.Class(operation: "read", size: "4K")
            for latency in latencies { item.latency.record(latency) }
            item.count = UInt64(latencies.count)
            item.bytes = item.count * 4096
            run.classes = [item]
            run.startedRealtimeNanoseconds = start
            run.elapsedNanoseconds = 3_000_000_000
            run.submitNanoseconds = 10
            run.flightNanoseconds = 100 * UInt64(1 + number)
            report.runs = [run]
            let path = scratch("\(number).json")
            try report.json.write(toFile: path, atomically: true, encoding: .utf8)
            return path
        }
        let now: UInt64 = 1_800_000_000_000_000_000
        let slow = (1...100).map { UInt64($0) * 100_000 }
        let fast = [UInt64](repeating: 1000, count: 300)
        let files = try [
            write(1, latencies: slow, start: now + 2_000_000_000),
            write(0, latencies: fast, start: now),
        ]
        let run = try ReplayMerge(files: files).report.runs[0]
        #expect(run.elapsedNanoseconds == 5_000_000_000)
        #expect(run.ranks?.startSpreadNanoseconds == 2_000_000_000)
        #expect(run.requestsPerSecond == 80)
        #expect(run.triggerRatio == 20.0 / 300)
        var all = Histogram()
        for latency in slow + fast { all.record(latency) }
        let sum = try #require(run.sum(of: "read"))
        #expect(sum.latency == all)
        #expect(sum.latency.p50 == all.p50 && sum.latency.p99 == all.p99)
    }
}
