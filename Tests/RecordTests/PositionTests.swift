import Foundation
import IOTrace
import Testing

extension Record {
    /// Calls at the file position have the offset at which they were made, whatever moved it.
    @Suite("File positions", .serialized)
    struct PositionTests {
        private func record(_ way: String, _ mode: String) throws -> (Scratch, Outcome)? {
            let scratch = try Scratch()
            guard let program = try scratch.program("positions") else { return nil }
            // Each word is the offset at which it stands.
            let words = (0..<131_072).map { UInt64($0 * 8) }
            let bytes = words.withUnsafeBytes { Data($0) }
            try bytes.write(to: URL(fileURLWithPath: scratch("data/blocks")))
            return (
                scratch, try scratch.record(["--mode", mode], [program, scratch("data"), way])
            )
        }

        /// Events of which the report says something, by the words that it uses.
        private func count(_ outcome: Outcome, _ words: String) -> Int {
            outcome.errors.split(separator: "\n").filter { $0.contains(words) }.reduce(0) {
                $0 + ($1.split(separator: " ").lazy.compactMap { Int($0) }.first ?? 0)
            }
        }

        @Test(
            "One after the other, every place is known",
            arguments: [
                "alone", "copies", "forked", "streams", "appended", "moved", "passed", "threads",
            ], ["observe", "auto"])
        func exact(way: String, mode: String) throws {
            guard let (scratch, outcome) = try record(way, mode) else { return }
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.errors.contains(" 0 dropped"), "\(outcome.errors)")
            if way != "threads" {
                #expect(!outcome.errors.contains("assumed"), "\(outcome.errors)")
            }
            try scratch.expectSame(outcome)
        }

        @Test(
            "Of processes, or appends, at one time what may be another's is counted",
            arguments: ["raced", "appending"])
        func raced(way: String) throws {
            guard let (scratch, outcome) = try record(way, "observe") else { return }
            #expect(outcome.status == 0, "\(outcome.errors)")
            var said: [String: Int] = [:]
            for line in scratch.said(outcome.output) { said[line, default: 0] += 1 }
            var others = 0
            let found = try scratch.lines()
            #expect(found.count == said.values.reduce(0, +))
            for line in found {
                if said[line, default: 0] > 0 { said[line]! -= 1 } else { others += 1 }
            }
            #expect(others <= count(outcome, "is assumed"), "\(others) are elsewhere")
            let number = try metadata(scratch)["offsets.assumed"].flatMap { Int($0) } ?? 0
            #expect(number == count(outcome, "is assumed"))
        }

        private func metadata(_ scratch: Scratch) throws -> [String: String] {
            var reader = try TraceReader(path: scratch("trace"))
            while try reader.next() != nil {}
            return reader.metadata
        }

        @Test("Once something unseen has moved a position, no wrong place is in the trace")
        func hidden() throws {
            guard let (scratch, outcome) = try record("hidden", "observe") else { return }
            #expect(outcome.status == 0, "\(outcome.errors)")
            let dropped = count(outcome, "events dropped: something unseen")
            // At most those between two looks, and the one that shows that it was no accident.
            #expect(dropped > 0 && dropped <= 33, "\(outcome.errors)")
            let said = Set(scratch.said(outcome.output))
            let found = try scratch.lines()
            #expect(found.allSatisfy { said.contains($0) })
            #expect(found.count + dropped == said.count)
        }

        @Test("Nothing is lost when the program is killed between two looks")
        func killed() throws {
            guard let (scratch, outcome) = try record("killed", "observe") else { return }
            #expect(outcome.status == 137, "\(outcome.errors)")
            #expect(count(outcome, "is assumed") < 32, "\(outcome.errors)")
            try scratch.expectSame(outcome)
        }
    }
}
