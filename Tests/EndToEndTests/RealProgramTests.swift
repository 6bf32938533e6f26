import Foundation
import Testing

/// What became of the runs, counted so that a skip is as visible as a failure.
private actor Tally {
    static let shared = Tally()
    private var passed = 0
    private var skipped: [String] = []
    private var failed: [String] = []

    func note(_ name: String, _ outcome: ProgramScript.Outcome) {
        switch outcome {
        case .passed: passed += 1
        case .skipped: skipped.append(name)
        case .failed: failed.append(name)
        }
    }

    var summary: String {
        var text = "end to end: \(passed) passed, \(skipped.count) skipped, \(failed.count) failed"
        if !skipped.isEmpty { text += "; skipped: " + skipped.joined(separator: ", ") }
        if !failed.isEmpty { text += "; failed: " + failed.joined(separator: ", ") }
        return text
    }
}

/// Real programs keep their data and their behaviour when the library is underneath: every script
/// of Tests/EndToEndTests/programs/*.sh, in every mode.
///
/// One at a time: several of them are servers that want the machine for themselves.
@Suite(.serialized)
struct RealProgramTests {
    static let modes = ["observe", "auto", "force"]

    @Test(arguments: ProgramScript.all, modes)
    func programUnderTheLibrary(script: ProgramScript, mode: String) async throws {
        let name = "\(script.name) (\(mode))"
        let run = try script.run(mode: mode)
        await Tally.shared.note(name, run.outcome)
        switch run.outcome {
        case .passed:
            let seconds = run.seconds.formatted(.number.precision(.fractionLength(1)))
            print("ok   \(name), \(seconds) s")
            print(run.output.split(separator: "\n").map { "     \($0)" }.joined(separator: "\n"))
            fflush(nil)
        case .skipped(let reason):
            print("SKIP \(name): \(reason)")
            try Test.cancel("\(reason)")
        case .failed(let status):
            // Tells a fault of the library from a program that does not work on this machine.
            let bare = try script.run(mode: "bare")
            Issue.record(
                """
                \(name) ended with status \(status); the bare run: \(bare.outcome)
                reproduce: bash Tests/EndToEndTests/programs/\(script.name).sh \(mode) SCRATCH
                \(run.output)
                """)
        }
    }

    /// The list is found at run time; an empty one would make every other test here vacuous.
    @Test func scriptsAreFound() async {
        #expect(ProgramScript.all.count >= 15, "scripts: \(ProgramScript.all.map(\.name))")
        print(await Tally.shared.summary)
    }
}
