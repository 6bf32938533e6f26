import Foundation
import Glibc
import Testing

@Suite("The library without the launcher: wrong settings")
struct BarePreloadTests {
    static let wrong: [(variable: String, value: String, names: [String])] = [
        ("IOTRAP_MODE", "fast", ["IOTRAP_MODE", "fast", "off, observe, auto, force"]),
        ("IOTRAP_SET", "ring=maybe", ["IOTRAP_SET", "ring=maybe", "on, off, auto"]),
        ("IOTRAP_SET", "split=on,oops=1", ["IOTRAP_SET", "oops", "group-sync"]),
        ("IOTRAP_SET", "ring", ["IOTRAP_SET", "key=value"]),
        ("IOTRAP_STATS", "yes", ["IOTRAP_STATS", "yes", "keep, off"]),
    ]

    /// Copies a file with dd under the bare library.
    private func copy(_ scratch: Scratch, _ variables: [String: String]) throws -> Outcome {
        let source = try scratch.file("source", Data(repeating: 7, count: 100_000))
        var all = variables
        all["LD_PRELOAD"] = builtLibrary
        return try scratch.run(
            "/usr/bin/dd",
            ["if=" + source, "of=" + scratch.path + "/copy", "bs=4k", "status=none"],
            all)
    }

    @Test("The program runs as without it, and the log gets one line", arguments: wrong.indices)
    func loggedRefusal(_ index: Int) throws {
        let (variable, value, names) = Self.wrong[index]
        let scratch = try Scratch()
        let log = scratch.path + "/log"
        let outcome = try copy(scratch, [variable: value, "IOTRAP_LOG": log])
        #expect(outcome.status == 0)
        #expect(outcome.output == "" && outcome.errors == "")
        let copied = try Data(contentsOf: URL(fileURLWithPath: scratch.path + "/copy"))
        #expect(copied == Data(repeating: 7, count: 100_000))
        let text = try String(contentsOfFile: log, encoding: .utf8)
        #expect(text.hasSuffix("\n") && text.split(separator: "\n").count == 1, "\(text)")
        for name in names { #expect(text.contains(name), "\(text)") }
        #expect(scratch.statisticsLeft() == [])
    }

    @Test("Without a log nothing is printed", arguments: wrong.indices)
    func silentRefusal(_ index: Int) throws {
        let (variable, value, _) = Self.wrong[index]
        let outcome = try copy(try Scratch(), [variable: value])
        #expect(outcome.status == 0)
        #expect(outcome.output == "" && outcome.errors == "")
    }

    @Test("Right settings leave the log alone and are counted under")
    func rightSettings() throws {
        let scratch = try Scratch()
        let log = scratch.path + "/log"
        let outcome = try copy(
            scratch,
            [
                "IOTRAP_LOG": log, "IOTRAP_MODE": "observe", "IOTRAP_STATS": "keep",
                "IOTRAP_SET": "ring=off,split=auto,group-sync=on",
            ])
        #expect(outcome.status == 0)
        #expect(access(log, F_OK) != 0)
        let shown = try scratch.iotrap(["stat", "last"])
        #expect(shown.output.contains("\nmode observe  "), "\(shown.errors)")
    }
}
