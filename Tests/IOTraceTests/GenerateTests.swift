import Testing

@testable import IOTrace

@Suite("Generated loads")
struct GenerateTests {
    private let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    /// The content of a generated trace.
    private func load(
        _ name: String, _ settings: [(key: String, value: String)] = [], seconds: Double,
        scale: Double = 1, seed: UInt64 = 1
    ) throws -> Content {
        let profile = try #require(Profile.named(name))
        let load = try LoadSpecification(
            profile, settings: settings, seconds: seconds, scale: scale, seed: seed)
        _ = try load.generate(to: scratch("t"), replaces: true)
        return try Content(of: scratch("t"))
    }

    @Test(
        "Every profile makes a trace that is whole and ordered", arguments: Profile.all.map(\.name))
    func everyProfile(name: String) throws {
        // The first merge begins after 20 s.
        let seconds = name == "hana-merge" ? 25.0 : 3
        let content = try load(name, seconds: seconds, scale: 0.01)
        #expect(content.end == .complete)
        #expect(content.header.isOrdered && content.header.isGenerated)
        #expect(!content.events.isEmpty)
        #expect(content.metadata["profile"] == name)
        let end = UInt64(seconds * 1e9)
        #expect(content.events.allSatisfy { $0.submitNanoseconds < end })
        for event in content.events where event.operation != .commit {
            let file = try #require(content.files[Int(event.file)])
            // A file that begins empty grows up to the same bound.
            let isInside = event.end <= file.sizeBytes ?? 0 || file.sizeBytes == 0
            if !isInside { Issue.record("\(event) is not in \(file)") }
        }
    }

    @Test("The same seed makes the same bytes, another one others")
    func determinism() throws {
        for codec in [TraceCodec.raw, .zstd] {
            let profile = try #require(Profile.named("hana-mixed"))
            let one = try LoadSpecification(profile, seconds: 2, scale: 0.01, seed: 5)
            let other = try LoadSpecification(profile, seconds: 2, scale: 0.01, seed: 6)
            _ = try one.generate(to: scratch("a"), codec: codec, replaces: true)
            _ = try one.generate(to: scratch("b"), codec: codec, replaces: true)
            _ = try other.generate(to: scratch("c"), codec: codec, replaces: true)
            #expect(try content(scratch("a")) == content(scratch("b")))
            #expect(try content(scratch("a")) != content(scratch("c")))
        }
    }

    @Test("Random numbers are those of every machine")
    func randomNumbers() {
        var random = RandomNumbers(seed: 1, sequence: 2)
        let first = (0..<3).map { _ in random.next() }
        var again = RandomNumbers(seed: 1, sequence: 2)
        #expect(first == (0..<3).map { _ in again.next() })
        #expect(abs(Portable.log(10) - 2.302585092994046) < 1e-14)
        #expect(abs(Portable.log(1e-9) + 20.72326583694641) < 1e-13)
        #expect(abs(Portable.exp(-3.5) - 0.0301973834223185) < 1e-15)
        let table = Exponential.makeTable()
        defer { table.deallocate() }
        let mean = (0..<4096).reduce(0.0) { $0 + Double(table[$1]) } / 4096
        #expect(abs(mean - 1) < 0.001)
    }

    @Test("Redo log: sizes, circle, depth, rate and commits as the facts say")
    func log() throws {
        let content = try load("hana-log-oltp", seconds: 60, scale: 0.05)
        let writes = content.events.filter { $0.operation == .write }
        func share(_ bytes: UInt64) -> Double {
            Double(writes.filter { $0.length == bytes }.count) / Double(writes.count)
        }
        #expect(abs(share(4096) - 0.85) < 0.01)
        #expect(abs(share(8192) - 0.08) < 0.01)
        #expect(abs(share(16384) - 0.05) < 0.01)
        #expect(abs(share(65536) - 0.02) < 0.005)
        #expect(writes.allSatisfy { (1...8).contains($0.depth) })
        let rate = Double(writes.count) / 60
        #expect(rate > 500 && rate < 5000)
        // From the end of a segment to the next one, and round again.
        for (one, next) in zip(writes, writes.dropFirst()) {
            let follows = next.file == one.file && next.offset == one.end
            let turns = next.offset == 0 && next.file == (one.file + 1) % 8
            if !follows && !turns { Issue.record("\(next.index) does not follow \(one.index)") }
        }
        #expect(Set(writes.map(\.file)).count == 8)
        #expect(content.files.allSatisfy { $0?.openFlags == 0x5002 })
        let commits = content.events.filter { $0.operation == .commit }
        #expect(commits.count > writes.count - 16)
        let areDurable = commits.allSatisfy { commit in
            let cause = content.events[Int(commit.index) - Int(commit.after)]
            return cause.operation == .write
                && cause.completeNanoseconds == commit.submitNanoseconds
        }
        #expect(areDurable)
    }

    @Test("Savepoint: shares of bytes, batches, and a log that pauses in the critical phase")
    func savepoint() throws {
        let content = try load(
            "hana-savepoint",
            [("savepoint.first", "1"), ("savepoint.burst", "2G"), ("savepoint.every", "60")],
            seconds: 10)
        let pages = content.events.filter {
            content.files[Int($0.file % 12)]!.path.contains("data")
        }
        .filter { $0.operation == .write }
        let bytes = pages.reduce(0) { $0 + $1.length }
        #expect(bytes > 1_900_000_000 && bytes < 2_300_000_000)
        let small = pages.filter { $0.length <= 65536 }.reduce(0) { $0 + $1.length }
        #expect(abs(Double(small) / Double(bytes) - 0.2) < 0.05)
        #expect(pages.allSatisfy { $0.depth <= 128 && $0.offset % 4096 == 0 })
        #expect(pages.contains { $0.batch > 0 })
        // The log stands still from the critical phase of the first channel to its end.
        let log = content.events.filter { $0.operation == .write && $0.call == .ioSubmit }
            .filter { content.files[Int($0.file)]!.path.contains("log") }
        let resumed = try #require(log.first { $0.after2 > 0 })
        let cause = content.events[Int(resumed.index) - Int(resumed.after2)]
        #expect(content.files[Int(cause.file)]!.path.contains("data"))
        #expect(cause.completeNanoseconds <= resumed.submitNanoseconds)
        let before = log.last { $0.index < resumed.index }
        let pause = resumed.submitNanoseconds - (before?.submitNanoseconds ?? 0)
        #expect(pause > 20_000_000)
    }

    @Test("Restart: the column load waits for the replay, and moves the shares that it should")
    func restart() throws {
        let content = try load(
            "hana-restart", [("replay.total", "1G"), ("load.total", "16G")], seconds: 600)
        let replay = content.events.filter { $0.file < 16 }
        let columns = content.events.filter { $0.file >= 16 }
        let end = replay.map(\.completeNanoseconds).max() ?? 0
        #expect(replay.count == 1024)
        #expect(columns.allSatisfy { $0.submitNanoseconds >= end })
        #expect(columns.filter { $0.after2 > 0 }.count == 4)
        let bytes = Double(columns.reduce(0) { $0 + $1.length })
        for (size, share) in [(16, 0.57), (4, 0.29), (1, 0.14)] {
            let part = columns.filter { $0.length == UInt64(size) << 20 }.reduce(0) {
                $0 + $1.length
            }
            #expect(abs(Double(part) / bytes - share) < 0.04)
        }
        #expect(columns.allSatisfy { $0.depth <= 128 })
        let sizes = Dictionary(grouping: columns.filter { $0.batch > 0 }, by: \.batch).values
        #expect(sizes.map(\.count).max() == 64)
    }

    @Test("Pages: seven in ten are read, and a few are hot")
    func lob() throws {
        let content = try load("hana-lob", seconds: 20, scale: 0.1)
        let reads = content.events.filter { $0.operation == .read }
        #expect(abs(Double(reads.count) / Double(content.events.count) - 0.7) < 0.01)
        #expect(abs(Double(content.events.count) / 20 - 8000) < 400)
        let places = Dictionary(grouping: content.events) { [UInt64($0.file), $0.offset >> 20] }
        let hottest = places.values.map(\.count).max() ?? 0
        #expect(hottest > content.events.count / 50)
        #expect(places.count > 500)
    }

    @Test("Databases: syncs come after the writes of their file, commits after their sync")
    func syncs() throws {
        let content = try load("postgres-oltp", seconds: 40, scale: 0.05)
        let syncs = content.events.filter { $0.operation == .fdatasync }
        #expect(syncs.count > 10_000)
        let areLast = syncs.allSatisfy { sync in
            let write = content.events[Int(sync.index) - Int(sync.after)]
            return sync.isAfterFile && write.operation == .write && write.file == sync.file
                && write.completeNanoseconds <= sync.submitNanoseconds
        }
        #expect(areLast)
        let checkpoint = content.events.filter { $0.operation == .fsync }
        #expect(Set(checkpoint.map(\.file)).count == 8)
        let commits = content.events.filter { $0.operation == .commit }
        #expect(commits.count > syncs.count - 10)
        #expect(
            commits.allSatisfy {
                content.events[Int($0.index) - Int($0.after)].operation == .fdatasync
            })
    }

    @Test("In-flight depths are what submit and completion times say")
    func depths() throws {
        let content = try load("hana-lob", [("lob.channels", "1")], seconds: 3)
        var ends: [UInt64] = []
        for event in content.events {
            ends.removeAll { $0 <= event.submitNanoseconds }
            ends.append(event.completeNanoseconds)
            if Int(event.depth) != ends.count { Issue.record("\(event): \(ends.count)") }
        }
    }

    @Test(
        "Wrong settings are refused by name",
        arguments: [
            ("log.sizes", "4K"), ("log.sizes", "0:1"), ("log.sizes", "4K:0"), ("log.sizes", ""),
            ("log.depth", "0"), ("log.depth", "8-1"), ("log.depth", "5000"), ("log.rate", "-1"),
            ("log.rate", "nan"), ("log.files", "0"), ("log.files", "5000"), ("log.read", "101"),
            ("log.order", "sorted"), ("log.open", "rw"), ("log.directory", "../x"),
            ("log.directory", "/x"), ("log.directory", ""), ("log.file-size", "0"),
            ("log.file-size", "9999999T"), ("log.after", "nothing"), ("log.after", "log"),
            ("log.dwell", "0"), ("log.align", "0"), ("log.colour", "red"), ("lob.read", "50"),
            ("log.burst", "2G-1G"), ("log.bandwidth", "0"), ("log.commit", "maybe"),
        ])
    func wrongSettings(key: String, value: String) throws {
        let profile = try #require(Profile.named("hana-log-oltp"))
        do throws(TraceError) {
            _ = try LoadSpecification(profile, settings: [(key, value)])
            Issue.record("\(key)=\(value) was taken")
        } catch {
            guard case .parameter(let text) = error.reason else {
                Issue.record("\(error)")
                return
            }
            #expect(text.contains(key.contains("after") ? "log.after" : key))
        }
    }

    @Test("Seconds and scales that make no sense are refused")
    func wrongNumbers() throws {
        let profile = try #require(Profile.named("hana-lob"))
        for (seconds, scale) in [(0, 1), (-1, 1), (.nan, 1), (1, 0), (1, .infinity), (1e9, 1)]
            as [(Double, Double)]
        {
            #expect(throws: TraceError.self) {
                try LoadSpecification(profile, seconds: seconds, scale: scale)
            }
        }
    }

    @Test("Files beyond all measure are refused, large ones are not")
    func hugeFiles() throws {
        let profile = try #require(Profile.named("hana-lob"))
        let huge = [("lob.file-size", "1024T"), ("lob.files", "4096"), ("lob.align", "1")]
        #expect(throws: TraceError.self) {
            try LoadSpecification(profile, settings: huge, scale: 1000)
        }
        let large = try LoadSpecification(profile, settings: huge, seconds: 0.1)
        _ = try large.generate(to: scratch("t"))
        #expect(failure(of: scratch("t")) == nil)
    }

    @Test("Every parameter of every profile can be given as it is shown")
    func parameters() throws {
        for profile in Profile.all {
            #expect(profile.parameters.count % LoadPlan.keys.count == 0)
            let settings = profile.parameters.map { ($0.key, $0.value) }
                .filter { !$0.1.isEmpty }
            let load = try LoadSpecification(profile, settings: settings)
            #expect(load.parameters.map(\.value) == profile.parameters.map(\.value))
        }
    }
}
