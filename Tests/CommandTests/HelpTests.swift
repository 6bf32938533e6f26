import Foundation
import Testing

@Suite("iotrap itself")
struct HelpTests {
    @Test("The version is that of the file VERSION")
    func version() throws {
        let file = repository.appendingPathComponent("VERSION")
        let version = try String(contentsOf: file, encoding: .utf8)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        for option in ["--version", "-V"] {
            let outcome = try Scratch().iotrap([option])
            #expect(outcome.status == 0)
            #expect(outcome.output == "iotrap \(version)\n")
        }
    }

    @Test("Help goes to the standard output and names every command")
    func help() throws {
        for arguments in [
            ["help"], ["--help"], ["-h"], ["run", "--help"], ["stat", "--help"],
            ["doctor", "--help"],
        ] {
            let outcome = try Scratch().iotrap(arguments)
            #expect(outcome.status == 0)
            #expect(outcome.errors == "")
            for word in [
                "iotrap run", "iotrap stat", "iotrap doctor", "--mode", "--set", "--stats",
            ] {
                #expect(outcome.output.contains(word))
            }
            let longest = outcome.output.split(separator: "\n").map(\.count).max()
            #expect(longest ?? 0 <= 100)
        }
    }

    @Test("Every setting that the library takes is in the help, but for those of tests")
    func helpNamesEverySetting() throws {
        let refusal = try Scratch().iotrap(["run", "--set", "x=y", "true"]).errors
        let list = try #require(refusal.components(separatedBy: "valid settings: ").last)
        let keys = list.trimmingCharacters(in: .whitespacesAndNewlines)
            .components(separatedBy: ", ")
        #expect(keys.count > 5)
        let help = try Scratch().iotrap(["help"]).output
        for key in keys where key != "fault" { #expect(help.contains(key), "\(key)") }
    }

    @Test("No command and an unknown one end with 2")
    func unknownCommand() throws {
        let none = try Scratch().iotrap([])
        #expect(none.status == 2)
        #expect(none.output == "")
        #expect(none.errors.hasPrefix("usage: iotrap run"))
        expectRefusal(try Scratch().iotrap(["rnu"]), status: 2, naming: "'rnu'", "run, stat")
    }
}
