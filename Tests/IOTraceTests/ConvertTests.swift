import Foundation
import Glibc
import Testing

@testable import IOTrace

@Suite("Export and import")
struct ConvertTests {
    private let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    /// Imports a text.
    private func load(
        _ text: String, _ format: ImportFormat
    ) throws -> (content: Content, losses: [String: UInt64]) {
        let input = try scratch.file("in", text)
        let report = try TraceImport.convert(
            input, from: format, output: scratch("imported"), replaces: true)
        return (try Content(of: scratch("imported")), Self.losses(report))
    }

    private static func losses(_ report: ConversionReport) -> [String: UInt64] {
        Dictionary(uniqueKeysWithValues: report.losses.map { ($0.what, $0.count) })
    }

    private func text(_ path: String) throws -> String {
        String(decoding: try content(path), as: UTF8.self)
    }

    /// The lines of a log without those that only name a file, and without the names in those that
    /// only wait.
    private func lines(_ path: String) throws -> [Substring] {
        try text(path).split(separator: "\n").filter { !$0.hasSuffix(" add") }
            .map { $0.contains(" wait ") ? $0.drop { $0 != " " } : $0 }
    }

    @Test("fio's logs come back as they were", arguments: [2, 3])
    func iologRoundTrip(version: Int) throws {
        let stamps = version == 3
        var log = "fio version \(version) iolog\n"
        let lines = [
            "/d/a add", "/d/a open", "b add", "/d/a write 0 4096", "b open", "b read 65536 8192",
            "/d/a sync 0 0", "/d/a datasync 0 0", "b trim 0 1048576",
            "b write 9223372036854771712 4095", "b close", "/d/a close",
        ]
        var time = 0
        for (index, line) in lines.enumerated() {
            if stamps {
                time += index * 150
                log += "\(time) \(line)\n"
            } else {
                if index > 3 { log += "/d/a wait \(100 + index) 0\n" }
                log += line + "\n"
            }
        }
        let format = version == 2 ? ImportFormat.iolog2 : .iolog3
        let (content, losses) = try load(log, format)
        #expect(losses.isEmpty)
        #expect(content.events.count == 10)
        #expect(content.files.map { $0?.originalPath } == ["/d/a", "b"])
        let back = version == 2 ? ExportFormat.iolog2 : .iolog3
        _ = try TraceExport.export(scratch("imported"), to: back, output: scratch("back"))
        _ = try scratch.file("first", log)
        #expect(try self.lines(scratch("back")) == self.lines(scratch("first")))
    }

    @Test("All of a trace that fio can express goes through a log and back", arguments: [2, 3])
    func iologFromTrace(version: Int) throws {
        let load = try LoadSpecification(
            try #require(Profile.named("postgres-oltp")), seconds: 5, scale: 0.01)
        _ = try load.generate(to: scratch("t"))
        let out = version == 2 ? ExportFormat.iolog2 : .iolog3
        let report = try TraceExport.export(scratch("t"), to: out, output: scratch("log"))
        let format = version == 2 ? ImportFormat.iolog2 : .iolog3
        _ = try TraceImport.convert(scratch("log"), from: format, output: scratch("back"))
        let before = try Content(of: scratch("t"))
        let after = try Content(of: scratch("back"))
        let kept = before.events.filter { $0.operation != .commit }
        let found = after.events.filter { ![.open, .close].contains($0.operation) }
        #expect(report.events == UInt64(kept.count))
        #expect(kept.count == found.count)
        for (one, other) in zip(kept, found) {
            #expect(one.operation == other.operation)
            #expect(before.files[Int(one.file)]!.path == after.files[Int(other.file)]!.path)
            if one.operation.movesData {
                #expect(one.offset == other.offset && one.length == other.length)
            }
            let drift = one.submitNanoseconds - other.submitNanoseconds
            #expect(drift < (version == 3 ? 1000 : 101_000))
        }
        let losses = Self.losses(report)
        #expect(losses["completion times"] == UInt64(kept.count))
        #expect(losses["operations that fio does not have: commit"] != nil)
        #expect(losses["dependencies"] != nil && losses["threads"] != nil)
    }

    @Test("fio replays an exported log and moves the same bytes", arguments: [2, 3])
    func realFio(version: Int) throws {
        guard access("/usr/bin/fio", X_OK) == 0 else {
            return print("SKIP realFio: fio is not installed")
        }
        let load = try LoadSpecification(
            try #require(Profile.named("hana-lob")), settings: [("lob.open", "buffered")],
            seconds: 0.2, scale: 0.002)
        _ = try load.generate(to: scratch("t"))
        let out = version == 2 ? ExportFormat.iolog2 : .iolog3
        _ = try TraceExport.export(scratch("t"), to: out, output: scratch("log"))
        let summary = try TraceSummary(of: scratch("t"))
        for (file, _) in summary.files {
            let path = scratch(try #require(file).path)
            try FileManager.default.createDirectory(
                atPath: (path as NSString).deletingLastPathComponent,
                withIntermediateDirectories: true)
            try Data().write(to: URL(fileURLWithPath: path))
            #expect(truncate(path, off_t(file?.sizeBytes ?? 0)) == 0)
        }
        let fio = Process()
        fio.executableURL = URL(fileURLWithPath: "/usr/bin/fio")
        fio.currentDirectoryURL = URL(fileURLWithPath: scratch.path)
        fio.arguments = [
            "--name=replay", "--read_iolog=log", "--ioengine=psync", "--replay_no_stall=1",
            "--output-format=json", "--output=result",
        ]
        try fio.run()
        fio.waitUntilExit()
        #expect(fio.terminationStatus == 0)
        let json = try text(scratch("result")).drop { $0 != "{" }
        let result = try #require(
            try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
        let job = try #require((result["jobs"] as? [[String: Any]])?.first)
        for (operation, name) in [(TraceOperation.read, "read"), (.write, "write")] {
            let found = try #require(job[name] as? [String: Any])
            let sum = summary.operations[Int(operation.rawValue)]
            #expect((found["io_bytes"] as? NSNumber)?.uint64Value == sum.bytes)
            #expect((found["total_ios"] as? NSNumber)?.uint64Value == sum.events)
        }
    }

    @Test("fio's own log is understood")
    func fioWrites() throws {
        guard access("/usr/bin/fio", X_OK) == 0 else {
            return print("SKIP fioWrites: fio is not installed")
        }
        let fio = Process()
        fio.executableURL = URL(fileURLWithPath: "/usr/bin/fio")
        fio.currentDirectoryURL = URL(fileURLWithPath: scratch.path)
        fio.arguments = [
            "--name=a", "--filename=f1:f2", "--size=1m", "--bs=16k", "--rw=randrw",
            "--write_iolog=log", "--output=out",
        ]
        try fio.run()
        fio.waitUntilExit()
        let format: ImportFormat =
            try text(scratch("log")).contains("version 3") ? .iolog3 : .iolog2
        let report = try TraceImport.convert(scratch("log"), from: format, output: scratch("t"))
        let summary = try TraceSummary(of: scratch("t"))
        #expect(report.losses.isEmpty)
        #expect(summary.operations[0].events + summary.operations[1].events == 64)
        #expect(summary.operations[0].bytes + summary.operations[1].bytes == 1 << 20)
    }

    @Test(
        "A line of a log that cannot be understood is named",
        arguments: [
            ("fio version 1 iolog\n", 1), ("", 0), ("fio version 2 iolog\na read 0 1\n", 2),
            ("fio version 2 iolog\na add\na fly 0 1\n", 3),
            ("fio version 2 iolog\na add\na read x 1\n", 3),
            ("fio version 2 iolog\na add\na read -1 1\n", 3),
            ("fio version 2 iolog\na add\na read 9223372036854775807 1\n", 3),
            ("fio version 2 iolog\na add\na read 0\n", 3),
            ("fio version 2 iolog\na add\na wait 18446744073709551615 0\n", 3),
            ("fio version 2 iolog\na add\na wait 9223372036854775 0\na wait 99999 0\n", 4),
            ("fio version 2 iolog\na add\na vanish\n", 3),
        ])
    func badLog(log: String, line: UInt64) throws {
        let input = try scratch.file("in", log)
        do throws(TraceError) {
            _ = try TraceImport.convert(input, from: .iolog2, output: scratch("out"))
            Issue.record("was taken")
        } catch {
            guard case .line(let number, _) = error.reason else {
                Issue.record("\(error)")
                return
            }
            #expect(number == line)
        }
        // Nothing is left.
        #expect(try names(in: scratch.path) == ["in"])
    }

    @Test("A line without an end is not taken into memory")
    func endlessLine() throws {
        let input = try scratch.file("in", [UInt8](repeating: 0x61, count: 3 << 20))
        #expect(throws: TraceError.self) {
            try TraceImport.convert(input, from: .strace, output: scratch("out"))
        }
    }

    @Test("Paths that lead elsewhere are made harmless")
    func hostilePaths() throws {
        let log = """
            fio version 2 iolog
            ../../etc/passwd add
            ../../etc/passwd open
            /a/../../b add
            /a/../../b read 0 1

            """
        let (content, losses) = try load(log, .iolog2)
        #expect(content.files.map { $0?.path } == ["etc/passwd", "b"])
        #expect(losses["paths with '.' or '..', taken by name"] == 2)
    }

    @Test("CSV holds every field of every event")
    func csv() throws {
        let events = variedEvents(500)
        try writeTrace(scratch("t"), events)
        let report = try TraceExport.export(scratch("t"), to: .csv, output: scratch("csv"))
        #expect(report.losses.isEmpty && report.events == 500)
        let rows = try text(scratch("csv")).split(separator: "\n").map {
            $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        }
        #expect(rows[0] == EventText.titles)
        #expect(rows.count == 501)
        for (event, row) in zip(events, rows.dropFirst()) {
            try #require(row.count == EventText.titles.count)
            let field = Dictionary(uniqueKeysWithValues: zip(EventText.titles, row))
            #expect(field["submit_ns"] == "\(event.submitNanoseconds)")
            #expect(
                field["complete_ns"] == (event.isComplete ? "\(event.completeNanoseconds)" : ""))
            #expect(field["operation"] == event.operation.name)
            #expect(field["call"] == event.call.name)
            #expect(field["offset"] == "\(event.offset)" && field["length"] == "\(event.length)")
            #expect(field["result"] == (event.isComplete ? "\(event.result)" : ""))
            #expect(field["thread"] == "\(event.thread)" && field["batch"] == "\(event.batch)")
            #expect(field["after"] == "\(event.after)" && field["depth"] == "\(event.depth)")
            let hasFile = event.file != TraceEvent.noFile
            #expect(field["path"] == (hasFile ? testFiles[Int(event.file)].originalPath : ""))
        }
        #expect(csvField("a\"b,c") == "\"a\"\"b,c\"" && csvField("plain") == "plain")
    }

    @Test("JSON and Perfetto's events are JSON")
    func json() throws {
        let events = variedEvents(500)
        try writeTrace(scratch("t"), events)
        _ = try TraceExport.export(scratch("t"), to: .json, output: scratch("json"))
        let lines = try text(scratch("json")).split(separator: "\n")
        #expect(lines.count == 500)
        for (event, line) in zip(events, lines) {
            let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            #expect((object?["offset"] as? NSNumber)?.uint64Value == event.offset)
            #expect(object?["operation"] as? String == event.operation.name)
        }
        let report = try TraceExport.export(
            scratch("t"), to: .perfetto, output: scratch("perfetto"))
        let data = Data(try content(scratch("perfetto")))
        let object = try JSONSerialization.jsonObject(with: data) as? [String: Any]
        let items = try #require(object?["traceEvents"] as? [[String: Any]])
        let phases = Dictionary(grouping: items) { $0["ph"] as? String ?? "" }.mapValues(\.count)
        let starts = (phases["X"] ?? 0) + (phases["b"] ?? 0) + (phases["i"] ?? 0)
        #expect(starts == 500)
        let open = events.filter { !$0.isComplete && $0.operation != .commit }.count
        #expect((phases["b"] ?? 0) - (phases["e"] ?? 0) == open)
        #expect(Self.losses(report)["requests without an end"]! >= UInt64(open))
        #expect(PerfettoEvents.microseconds(1_234_056) == "1234.056")
    }

    @Test("A torn trace is exported as far as it goes, and that is said")
    func torn() throws {
        try writeTrace(scratch("t"), variedEvents(40), flushEvery: 25)
        let bytes = try content(scratch("t"))
        _ = try scratch.file("cut", Array(bytes.dropLast(150)))
        let report = try TraceExport.export(scratch("cut"), to: .csv, output: scratch("csv"))
        #expect(report.events == 25)
        guard case .torn = report.end else {
            Issue.record("\(report.end)")
            return
        }
    }

    @Test("Summaries add up")
    func summary() throws {
        let events = variedEvents(1000)
        try writeTrace(scratch("t"), events)
        let summary = try TraceSummary(of: scratch("t"))
        #expect(summary.operations.reduce(0) { $0 + $1.events } == 1000)
        #expect(summary.depthMax == 3)
        let reads = events.filter { $0.operation == .read && $0.file == 1 }
        #expect(summary.files[1].use.reachBytes >= reads.map(\.end).max()!)
        let json = try JSONSerialization.jsonObject(with: Data(summary.json.utf8))
        #expect((json as? [String: Any])?["events"] as? Int == 1000)
        var latency = LatencyCounts()
        for value in 1...1000 { latency.add(UInt64(value) * 1000) }
        #expect(abs(Double(latency.percentile(0.5)) / 500_000 - 1) < 0.13)
        #expect(latency.percentile(1) == 1_000_000)
        latency.add(.max)
        #expect(latency.percentile(1) == .max)
    }
}
