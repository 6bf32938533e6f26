import Foundation
import Glibc
import Testing

@Suite("iotrap run: settings")
struct SettingsTests {
    /// A way to say something wrong, and what the message has to name.
    struct WrongSetting: CustomTestStringConvertible, Sendable {
        var options: [String] = []
        var variables: [String: String] = [:]
        let names: [String]
        var testDescription: String { "\(options) \(variables)" }
    }

    static let wrongSettings: [WrongSetting] = [
        WrongSetting(options: ["--mode", "fast"], names: ["'fast'", "--mode", "observe, auto"]),
        WrongSetting(options: ["--mode=fast"], names: ["'fast'"]),
        WrongSetting(options: ["--mode", ""], names: ["''", "--mode"]),
        WrongSetting(options: ["--mode", "AUTO"], names: ["'AUTO'"]),
        WrongSetting(options: ["--set", "merge=on"], names: ["'merge'", "--set", "group-sync"]),
        WrongSetting(options: ["--set", "ring=maybe"], names: ["'ring=maybe'", "on, off, auto"]),
        WrongSetting(options: ["--set", "ring"], names: ["'ring'", "key=value"]),
        WrongSetting(options: ["--set", "ring="], names: ["'ring='", "key=value"]),
        WrongSetting(options: ["--set", ""], names: ["--set", "key=value"]),
        WrongSetting(options: ["--set", "split-chunk=5000"], names: ["'split-chunk=5000'"]),
        WrongSetting(options: ["--set", "split-depth=65"], names: ["'split-depth=65'", "64"]),
        WrongSetting(options: ["--set", "backend=magic"], names: ["'backend=magic'", "plain"]),
        WrongSetting(options: ["--set", "libaio=maybe"], names: ["'libaio=maybe'", "on, off"]),
        WrongSetting(options: ["--set", "posixaio=on"], names: ["'posixaio'", "posix-aio"]),
        WrongSetting(
            options: ["--set", "aio-context=own,offload=2"], names: ["'offload=2'", "on, off"]),
        WrongSetting(
            options: ["--set", "aio-context=mine"],
            names: ["'aio-context=mine'", "aio-context=auto|own"]),
        WrongSetting(options: ["--set", "fault=x"], names: ["'fault=x'"]),
        WrongSetting(
            options: ["--set", "ring=on", "--set", "split=on,oops=1"], names: ["'oops'", "--set"]),
        WrongSetting(variables: ["IOTRAP_MODE": "fast"], names: ["'fast'", "IOTRAP_MODE"]),
        WrongSetting(variables: ["IOTRAP_SET": "oops=on"], names: ["'oops'", "IOTRAP_SET"]),
        WrongSetting(variables: ["IOTRAP_STATS": "yes"], names: ["'yes'", "IOTRAP_STATS", "keep"]),
        WrongSetting(options: ["--frobnicate"], names: ["'--frobnicate'", "--mode, --set"]),
        WrongSetting(options: ["--stats=yes"], names: ["--stats", "'yes'"]),
    ]

    @Test("A wrong one ends with 2 before the program starts", arguments: wrongSettings)
    func wrongSetting(_ wrong: WrongSetting) throws {
        let scratch = try Scratch()
        let marker = scratch.path + "/started"
        let outcome = try scratch.iotrap(
            ["run"] + wrong.options + ["--", "touch", marker], wrong.variables)
        #expect(outcome.status == 2)
        #expect(outcome.output == "")
        #expect(outcome.errors.hasPrefix("iotrap: "))
        #expect(outcome.errors.split(separator: "\n").count == 1)
        for name in wrong.names { #expect(outcome.errors.contains(name), "\(outcome.errors)") }
        #expect(access(marker, F_OK) != 0, "the program was started")
    }

    @Test("An option at the end without its value")
    func missingValue() throws {
        let scratch = try Scratch()
        for option in ["--mode", "--set"] {
            let outcome = try scratch.iotrap(["run", option])
            #expect(outcome.status == 2)
            #expect(outcome.errors == "iotrap: \(option) has no value\n")
        }
    }

    @Test("A message cannot act on the terminal")
    func controlCharacters() throws {
        let outcome = try Scratch().iotrap(["run", "--mode", "\u{1b}[2J", "true"])
        #expect(outcome.errors.contains("'\\x1b[2J'"))
    }

    /// The variables that a program gets from `iotrap run`.
    private func variables(
        _ options: [String], _ variables: [String: String] = [:]
    ) throws -> [String: String] {
        let outcome = try Scratch().iotrap(["run"] + options + ["--", "/usr/bin/env"], variables)
        try #require(outcome.status == 0, "\(outcome.errors)")
        let lines = outcome.output.split(separator: "\n").map {
            $0.split(separator: "=", maxSplits: 1)
        }
        return Dictionary(lines.map { (String($0[0]), String($0.last!)) }) { first, _ in first }
    }

    @Test("Options win over the environment, which wins over the defaults")
    func precedence() throws {
        #expect(try variables([])["IOTRAP_MODE"] == nil)
        #expect(try variables([], ["IOTRAP_MODE": "observe"])["IOTRAP_MODE"] == "observe")
        #expect(
            try variables(["--mode", "force"], ["IOTRAP_MODE": "observe"])["IOTRAP_MODE"] == "force"
        )
        #expect(
            try variables(["--mode", "force"], ["IOTRAP_MODE": "nonsense"])["IOTRAP_MODE"]
                == "force",
            "a variable that is not used cannot be wrong")
        #expect(
            try variables(["--set", "ring=off", "--set=split=on"], ["IOTRAP_SET": "ring=on"])[
                "IOTRAP_SET"]
                == "ring=on,ring=off,split=on", "a later item wins")
        #expect(
            try variables(["--set", "libaio=on", "--set", "posix-aio=off,aio-context=own"])[
                "IOTRAP_SET"] == "libaio=on,posix-aio=off,aio-context=own")
        #expect(try variables([], ["IOTRAP_SET": "ring=on"])["IOTRAP_SET"] == "ring=on")
    }

    @Test("The library goes before what is preloaded already, once")
    func preload() throws {
        #expect(try variables([])["LD_PRELOAD"] == builtLibrary)
        #expect(
            try variables([], ["LD_PRELOAD": "libm.so.6"])["LD_PRELOAD"]
                == builtLibrary + ":libm.so.6")
        #expect(
            try variables([], ["LD_PRELOAD": "libm.so.6 " + builtLibrary])["LD_PRELOAD"]
                == "libm.so.6 " + builtLibrary)
    }

    @Test("Nothing else in the environment changes")
    func rest() throws {
        let own = ["A": "1", "EMPTY": "", "LINE": "x=y"]
        let seen = try variables(["--mode", "auto"], own)
        #expect(seen["A"] == "1")
        #expect(seen["LINE"] == "x=y")
        let added = Set(seen.keys).subtracting(own.keys).subtracting(["PATH", "LC_ALL"])
        #expect(added == ["LD_PRELOAD", "IOTRAP_MODE", "IOTRAP_STATS_DIR"])
    }
}
