import Foundation
import Testing

@Suite("The example wal") struct WriteAheadLogTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private func lines(_ range: Range<Int>) -> [String] { range.map { "record \($0)" } }

    private func append(_ lines: [String]) throws {
        let done = try Tool(
            "wal", "append", scratch("log"), input: lines.joined(separator: "\n") + "\n")
        #expect(done.status == 0 && done.errors == "")
    }

    /// What is in the log, as it is printed: numbers in order.
    private func records() throws -> [String] {
        let done = try Tool("wal", "print", scratch("log"))
        #expect(done.status == 0 && done.errors == "")
        let lines = done.output.split(separator: "\n")
        let isNumbered = zip(1..., lines).allSatisfy { $1.hasPrefix("\($0) ") }
        try #require(isNumbered, "\(lines.prefix(5))")
        return lines.map { String($0.split(separator: " ", maxSplits: 1)[1]) }
    }

    @Test func recordsAreThereAgain() throws {
        try append(lines(0..<1000))
        try append(lines(1000..<1010))
        #expect(try Set(records()) == Set(lines(0..<1010)))
        #expect(try records().suffix(10).allSatisfy { $0 >= "record 1000" })
    }

    /// A crash leaves any prefix of the last write, or garbage behind it.
    @Test func anUnfinishedEndIsCutOff() throws {
        try append(lines(0..<3))
        let whole = try scratch.read("log")
        for cut in stride(from: 1, to: 26, by: 6) {
            try scratch.write("log", Array(whole.dropLast(cut)))
            #expect(try records().count == (cut < 25 ? 2 : 1))
            #expect(try scratch.read("log").count == whole.count / 3 * (cut < 25 ? 2 : 1))
        }
        for garbage in [[UInt8](repeating: 0, count: 5000), [UInt8](repeating: 255, count: 40)] {
            try scratch.write("log", whole + garbage)
            #expect(try records().count == 3)
            #expect(try scratch.read("log") == whole)
        }
        var damaged = whole
        damaged[whole.count / 3 + 20] ^= 1
        try scratch.write("log", damaged)
        #expect(try records().count == 1)
        try append(["after"])
        #expect(try records().last == "after")
    }

    @Test func writersShareCommits() throws {
        let done = try Tool("wal", "measure", scratch("log"), "32", "200")
        #expect(done.status == 0)
        let figures = done.output.split(separator: "\n").map { $0.split(separator: " ") }
        let shared = try #require(figures.first { $0[0] == "records_per_commit" })
        #expect(try #require(Double(shared[1])) > 1)
        #expect(try !records().isEmpty)
    }

    @Test func badArguments() throws {
        for arguments in [["measure", "x", "0", "1"], ["append"], []] {
            let done =
                arguments.count == 4
                ? try Tool("wal", arguments[0], arguments[1], arguments[2], arguments[3])
                : arguments.count == 1 ? try Tool("wal", arguments[0]) : try Tool("wal")
            #expect(done.status == 2 && done.errors.hasPrefix("usage:"))
        }
        let nowhere = try Tool("wal", "append", scratch("no/where"))
        #expect(
            nowhere.status == 1
                && nowhere.errors.contains("wal: open \(scratch("no/where")): No such"))
    }
}
