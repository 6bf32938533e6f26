import Foundation
import Testing

@testable import IOReplay

@Suite("Certification figures")
struct KPITests {
    private func cell(
        _ pass: KPIPass, _ rate: Double, trigger: Double = 0.05, latency: Double? = nil
    ) -> KPICell {
        KPICell(
            pass: pass, mebibytes: rate, triggerRatio: trigger,
            latency: latency.map { ($0, $0 * 2, $0 * 100) })
    }

    private func row(_ volume: KPIVolume, _ name: String) throws -> KPIRow {
        try #require(KPIRow.table(of: volume).first { $0.name == name })
    }

    @Test("The thresholds are those of the table")
    func table() throws {
        let log = KPIRow.table(of: .log)
        #expect(log.map(\.name) == ["4K", "16K", "1M"])
        #expect(log.map { $0.leastMebibytes[.overwrite] } == [30, 120, 250])
        #expect(log.map(\.mostMicroseconds) == [1000, 1000, nil])
        let data = KPIRow.table(of: .data)
        #expect(data.map(\.name) == ["4K", "16K", "64K", "1M", "16M", "64M"])
        #expect(data.map { $0.leastMebibytes[.initialWrite] } == [nil, 40, 100, 150, 200, 200])
        #expect(data.map { $0.leastMebibytes[.overwrite] } == [nil, 100, 150, 200, 250, 250])
        #expect(data.map { $0.leastMebibytes[.read] } == [nil, nil, 250, 300, 400, 400])
    }

    @Test("A cell passes at its threshold and fails beyond it")
    func judging() throws {
        let log = try row(.log, "4K")
        #expect(cell(.overwrite, 30, trigger: 0.1, latency: 1000).failures(of: log) == [])
        #expect(
            cell(.overwrite, 29.9, trigger: 0.11, latency: 1001).failures(of: log)
                == ["throughput", "trigger ratio", "latency"])
        // What was not measured does not pass.
        #expect(cell(.overwrite, 99).failures(of: log) == ["latency"])
        #expect(cell(.overwrite, .nan, latency: 1).failures(of: log) == ["throughput"])
        // No figure stands there: nothing to fail.
        #expect(cell(.read, 1, trigger: 1).failures(of: log) == [])
        let data = try row(.data, "64M")
        #expect(cell(.read, 400).failures(of: data) == [])
        #expect(cell(.read, 399).failures(of: data) == ["throughput"])
    }

    @Test("One cell that fails fails the volume, and the table says which")
    func report() throws {
        var cells = KPIRow.table(of: .log).map { row in
            row.leastMebibytes.keys.map { cell($0, 9999, latency: 10) }
        }
        var report = KPIReport(volume: .log, scale: 1, ways: [("plain", cells)])
        #expect(report.passes && report.text.contains("PASS") && !report.text.contains("QUICK"))
        cells[1] = [cell(.overwrite, 5, latency: 10)]
        report = KPIReport(volume: .log, scale: 64, ways: [("plain", cells)])
        #expect(!report.passes)
        #expect(report.text.contains("fail: throughput"))
        #expect(report.text.contains("QUICK: files are 1/64"))
        let again = try #require(KPIReport.cells(in: Array(report.json.utf8)))
        #expect(again.count == cells.joined().count)
        #expect(again.contains { $0.mebibytes == 5 && $0.latency?.mean == 10 })
    }

    @Test("Every block is visited once, in order or not")
    func order() {
        for blocks: UInt64 in [4, 5, 64, 1000, 4097] {
            let random = BlockOrder(blocks: blocks, isRandom: true)
            let visited = (0..<blocks).map(random.block)
            #expect(Set(visited).count == Int(blocks) && visited.max() == blocks - 1, "\(blocks)")
            if blocks >= 64 { #expect(visited != visited.sorted()) }
            let plain = BlockOrder(blocks: blocks, isRandom: false)
            #expect((0..<blocks).map(plain.block) == Array(0..<blocks))
        }
    }

    @Test("Wrong input is refused by name")
    func wrongInput() throws {
        let scratch = try Scratch()
        func run(_ options: String...) throws -> Outcome {
            try scratch.iotrap(["kpi"] + options)
        }
        expectRefusal(try run(), naming: "no volume")
        expectRefusal(try run("--volume", "log"), naming: "no directory")
        expectRefusal(try run("--volume", "tape", scratch("x")), naming: "'tape'", "data, log")
        expectRefusal(try run("--volume", "log", "--fast", scratch("x")), naming: "'--fast'")
        try FileManager.default.createDirectory(
            atPath: scratch("full/mine"), withIntermediateDirectories: true)
        expectRefusal(try run("--volume", "log", "--quick", scratch("full")), naming: "'mine'")
    }
}
