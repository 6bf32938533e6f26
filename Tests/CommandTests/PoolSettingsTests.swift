import Foundation
import Glibc
import Testing

@Suite("iotrap run: mount pools and the configuration file")
struct PoolSettingsTests {
    /// A way to say something wrong, and what the message has to name.
    struct Wrong: CustomTestStringConvertible, Sendable {
        var options: [String] = []
        var variables: [String: String] = [:]
        /// Of a configuration file, whose name follows `--config`.
        var file: String?
        let names: [String]
        var testDescription: String { "\(options) \(variables) \(file ?? "")" }
    }

    static let wrong: [Wrong] = [
        Wrong(options: ["--pool", "/a,/b"], names: ["--pool: '/a,/b'", "NAME:/PATH"]),
        Wrong(options: ["--pool="], names: ["--pool has no pool"]),
        Wrong(options: ["--pool", " "], names: ["--pool has no pool"]),
        Wrong(options: ["--pool", "p:/a,b"], names: ["--pool: 'b'", "no absolute path", "slash"]),
        Wrong(options: ["--pool", "p:/a/../b,/c"], names: ["'/a/../b'", "'..'"]),
        Wrong(options: ["--pool", "p:/a,/a/"], names: ["'/a/'", "once"]),
        Wrong(
            options: ["--pool", "p:/a,/b,size=3"], names: ["'size'", "valid options: coherent"]),
        Wrong(options: ["--pool", "p:/a,/b,weights=1"], names: ["'1'", "weights=1:1:2:4"]),
        Wrong(options: ["--pool", "p:/a,/b,chunk=1"], names: ["'chunk=1'", "64K to 16M"]),
        Wrong(options: ["--pool", "p:\"/a,/b"], names: ["'p:\"/a,/b'", "quote"]),
        Wrong(
            options: ["--pool", "p:/a,/b", "--pool", "p:/c"],
            names: ["--pool: 'p'", "a second time"]),
        Wrong(
            options: ["--pool", "q:/b"], variables: ["IOTRAP_MOUNT_POOLS": "p:/a,/b"],
            names: ["--pool: '/b'", "another pool"]),
        Wrong(
            options: ["--pool", "q:/c"], variables: ["IOTRAP_MOUNT_POOLS": "p:/a,/a/b"],
            names: ["IOTRAP_MOUNT_POOLS: '/a/b'", "inside"]),
        Wrong(
            variables: ["IOTRAP_MOUNT_POOLS": "p:/a,/b,hedge=12"],
            names: ["IOTRAP_MOUNT_POOLS: 'hedge=12'", "50 to 99.9"]),
        Wrong(
            options: ["--pool", "p:" + (0...64).map { "/m/\($0)" }.joined(separator: ",")],
            names: ["'/m/64'", "at most 64"]),
        Wrong(options: ["--config", ""], names: ["--config has no file"]),
        Wrong(options: ["--config", "/nowhere/file"], names: ["'/nowhere/file'", "not exist"]),
        Wrong(variables: ["IOTRAP_CONFIG": "/dev/null"], names: ["IOTRAP_CONFIG", "no regular"]),
        Wrong(file: "[iotrap]\nmode=fast", names: ["file, line 2: 'mode=fast'", "observe, auto"]),
        Wrong(file: "[iotrap]\nsplit-chunk = 5", names: ["line 2", "'split-chunk = 5'"]),
        Wrong(file: "[pools]", names: ["line 1: '[pools]'", "[pool NAME]"]),
        Wrong(file: "\n\n[pool p]\npath=x", names: ["line 4: 'x'", "no absolute path"]),
        Wrong(
            options: ["--pool", "q:/a"], file: "[pool p]\npath=/a\n",
            names: ["--pool: '/a'", "another pool"]),
        Wrong(
            file: String(repeating: "#", count: 65_537), names: ["is too long", "64 KiB"]),
    ]

    @Test("A wrong one ends with 2 before the program starts", arguments: wrong)
    func refused(_ wrong: Wrong) throws {
        let scratch = try Scratch()
        let marker = scratch.path + "/started"
        var options = wrong.options
        if let text = wrong.file {
            options += ["--config", try scratch.file("file", Data(text.utf8))]
        }
        let outcome = try scratch.iotrap(
            ["run"] + options + ["--", "touch", marker], wrong.variables)
        expectRefusal(outcome, status: 2)
        for name in wrong.names { #expect(outcome.errors.contains(name), "\(outcome.errors)") }
        #expect(outcome.errors.utf8.count < 500)
        #expect(access(marker, F_OK) != 0, "the program was started")
    }

    /// What a program gets in a variable, and what the command says meanwhile.
    private func variable(
        _ name: String, _ scratch: Scratch, _ options: [String],
        _ variables: [String: String] = [:]
    ) throws -> (value: String, errors: String) {
        let outcome = try scratch.iotrap(
            ["run"] + options + ["--", "/usr/bin/printenv", name], variables)
        return (outcome.output.trimmingCharacters(in: .newlines), outcome.errors)
    }

    @Test("Pools of options are added to those of the environment")
    func added() throws {
        let scratch = try Scratch()
        let name = "IOTRAP_MOUNT_POOLS"
        #expect(try variable(name, scratch, []).value == "")
        #expect(try variable(name, scratch, [], [name: " a:/x"]).value == " a:/x")
        let options = ["--pool", "b:/y,coherent=yes", "--pool=c:\"/z z\""]
        #expect(
            try variable(name, scratch, options).value == " b:/y,coherent=yes c:\"/z z\"")
        #expect(
            try variable(name, scratch, options, [name: "a:/x"]).value
                == "a:/x b:/y,coherent=yes c:\"/z z\"")
    }

    @Test("The file is named by its absolute path, and an option wins over the variable")
    func absoluteFile() throws {
        let scratch = try Scratch()
        let file = try scratch.file("some file", Data("[iotrap]\nmode = observe\n".utf8))
        let script = "cd \"$1\" && exec \"$0\" run --config 'some file' -- printenv IOTRAP_CONFIG"
        let outcome = try scratch.run(
            "/bin/sh", ["-c", script, builtCommand, scratch.path],
            ["IOTRAP_CONFIG": "/nowhere/file"])
        #expect(outcome.output == file + "\n", "\(outcome.errors)")
        #expect(try variable("IOTRAP_CONFIG", scratch, [], ["IOTRAP_CONFIG": ""]).value == "")
    }

    /// The mode that the library runs in.
    private func mode(_ options: [String], _ variables: [String: String] = [:]) throws -> String {
        let scratch = try Scratch()
        let file = try scratch.file("file", Data("# x\n[iotrap]\nmode = observe\n".utf8))
        let all = ["run", "--stats", "--config", file] + options
        let outcome = try scratch.iotrap(all + ["--", "cat", file], variables)
        let line = outcome.errors.split(separator: "\n").first { $0.hasPrefix("mode ") }
        return line.map { String($0.split(separator: " ")[1]) } ?? outcome.errors
    }

    @Test("Options win over the environment, which wins over the file")
    func precedence() throws {
        #expect(try mode([]) == "observe")
        #expect(try mode([], ["IOTRAP_MODE": "force"]) == "force")
        #expect(try mode([], ["IOTRAP_MODE": ""]) == "observe")
        #expect(try mode(["--mode", "auto"], ["IOTRAP_MODE": "force"]) == "auto")
    }

    @Test("Pools reach a program that gets a cleaned environment, however long their list")
    func carriedOver() throws {
        let scratch = try Scratch()
        let paths = (0..<64).map { "/mnt/" + String(repeating: "x", count: 400) + "\($0)" }
        let list = "p:" + paths.joined(separator: ",")
        let outcome = try scratch.run(
            "/usr/bin/env",
            ["-i", "IOTRAP_MODE=auto", "/usr/bin/printenv", "IOTRAP_MOUNT_POOLS"],
            ["LD_PRELOAD": builtLibrary, "IOTRAP_MOUNT_POOLS": list])
        #expect(outcome.output == list + "\n")
    }

    @Test("What looks wrong with paths is said, and the program starts")
    func warnings() throws {
        let scratch = try Scratch()
        let (file, root) = (try scratch.file("file", Data()), scratch.path)
        try FileManager.default.createDirectory(
            atPath: root + "/a/b", withIntermediateDirectories: true)
        try #require(symlink("a/../a/b/.", root + "/link") == 0)
        try #require(symlink("loop", root + "/loop") == 0)
        let seen = { (paths: String...) in
            let list = paths.map { root + "/" + $0 }.joined(separator: ",")
            let outcome = try scratch.iotrap(["run", "--pool", "p:" + list, "echo", "runs"])
            #expect(outcome.output == "runs\n" && outcome.status == 0)
            return outcome.errors
        }
        let prefix = "iotrap: warning: pool 'p': "
        #expect(try seen("none", "none2").contains("\(prefix)\(root)/none does not exist; "))
        #expect(try seen("file", "a").contains("\(prefix)\(file) is no directory; "))
        #expect(try seen("file/x", "a").contains("\(prefix)\(file)/x is no directory; "))
        #expect(try seen("loop", "a").contains("\(root)/loop: Too many levels of symbolic links"))
        #expect(try seen("a").contains("\(prefix)has one path only"))
        let both = try seen("a", "link")
        #expect(both.contains("\(prefix)\(root)/a, \(root)/link are on one mount, "))
        #expect(both.split(separator: "\n").count == 1)
    }

    /// Runs a script in a mount namespace of its own, in the scratch directory. Nil, said in the
    /// form that the test runner counts, where there is none to be had.
    private func inNamespace(
        _ script: String, _ scratch: Scratch, _ test: String = #function
    ) throws -> Outcome? {
        let shell = ["-Urm", "--", "/bin/sh", "-e", "-c"]
        let trial = try scratch.run("/usr/bin/unshare", shell + ["mount -t tmpfs x /mnt"])
        if trial.status != 0 {
            print("SKIP \(test): no mount namespace: \(trial.errors)")
            return nil
        }
        return try scratch.run(
            "/usr/bin/unshare",
            shell + ["cd \"$1\"; \(script)", builtCommand, scratch.path])
    }

    @Test("Mounts that differ are told apart, and equal ones are not complained about")
    func mounts() throws {
        let scratch = try Scratch()
        let script = """
            mkdir 'a a' b c d e
            mount -t tmpfs one 'a a'; mount -t tmpfs one b
            mount -t tmpfs -o ro one c; mount -t tmpfs two d; mount -t ramfs one e
            for list in "\\"$PWD/a a\\",$PWD/b" "$PWD/b,$PWD/c" "$PWD/b,$PWD/d" "$PWD/b,$PWD/e"; do
                "$0" run --pool "p:$list" -- sh -c 'echo "== $1" >&2' sh "${list##*/}"
            done
            """
        guard let outcome = try inNamespace(script, scratch) else { return }
        let lines = outcome.errors.split(separator: "\n").map(String.init)
        let root = scratch.path
        let warning = "iotrap: warning: pool 'p': "
        #expect(lines.count == 7, "\(outcome.errors)")
        guard lines.count == 7 else { return }
        #expect(lines[0] == "== b", "nothing is wrong with two mounts of one kind")
        #expect(lines[1].hasPrefix(warning + "read-only, unlike the others: \(root)/c; "))
        #expect(lines[2] == "== c")
        #expect(lines[3].hasPrefix(warning + "mounts of several sources (one, two); "))
        #expect(lines[5].hasPrefix(warning + "file systems of several types (tmpfs, ramfs); "))
    }
}

@Suite("The library without the launcher: wrong mount pools")
struct BarePoolTests {
    /// Copies a file with dd under the bare library. Whether the library counted it.
    private func copy(_ scratch: Scratch, _ variables: [String: String]) throws -> Bool {
        let source = try scratch.file("source", Data(repeating: 7, count: 100_000))
        var all = ["LD_PRELOAD": builtLibrary, "IOTRAP_STATS": "keep"]
        all["IOTRAP_LOG"] = scratch.path + "/log"
        all.merge(variables) { $1 }
        let outcome = try scratch.run(
            "/usr/bin/dd",
            ["if=" + source, "of=" + scratch.path + "/copy", "bs=4k", "status=none"], all)
        #expect(outcome.status == 0 && outcome.output == "" && outcome.errors == "")
        let copied = try Data(contentsOf: URL(fileURLWithPath: scratch.path + "/copy"))
        #expect(copied == Data(repeating: 7, count: 100_000))
        return !scratch.statisticsLeft().isEmpty
    }

    private func log(_ scratch: Scratch) -> [Substring] {
        let text = (try? String(contentsOfFile: scratch.path + "/log", encoding: .utf8)) ?? ""
        return text.split(separator: "\n")
    }

    @Test("Wrong pools are one line in the log, and everything else works")
    func refusedPools() throws {
        let wrong: [(variables: [String: String], names: [String])] = [
            (["IOTRAP_MOUNT_POOLS": "p:/a,b"], ["IOTRAP_MOUNT_POOLS: 'b' is no absolute path; "]),
            (["IOTRAP_MOUNT_POOLS": "p:/a,\"b"], ["IOTRAP_MOUNT_POOLS", "close it"]),
            (["IOTRAP_CONFIG": "/nowhere"], ["IOTRAP_CONFIG: '/nowhere' does not exist; "]),
            (["IOTRAP_CONFIG": "file"], ["IOTRAP_CONFIG: 'file'", "slash"]),
            (["FILE": "[pool p]\n\npath = x"], ["IOTRAP_CONFIG line 3: 'x' is no absolute"]),
            (
                ["FILE": "[pool p]\npath = /a", "IOTRAP_MOUNT_POOLS": "q:/a"],
                ["IOTRAP_MOUNT_POOLS: '/a' is in another pool"]
            ),
        ]
        for (variables, names) in wrong {
            let scratch = try Scratch()
            #expect(try copy(scratch, withFile(variables, scratch)), "nothing was counted")
            let lines = log(scratch)
            #expect(lines.count == 1, "\(lines)")
            for name in names + ["]: pools are not used: "] {
                #expect(lines.first?.contains(name) == true, "\(name) in \(lines)")
            }
        }
    }

    @Test("A wrong setting in the file switches the library off")
    func refusedSetting() throws {
        let scratch = try Scratch()
        let text = "[iotrap]\nmode = auto\nring = maybe"
        #expect(try !copy(scratch, withFile(["FILE": text], scratch)))
        let lines = log(scratch)
        #expect(lines.count == 1)
        #expect(lines[0].contains("]: off: IOTRAP_CONFIG line 3: 'ring = maybe' is a wrong value"))
    }

    @Test("Settings of the file hold, with pools or with wrong ones")
    func rightSettings() throws {
        for pool in ["", "[pool p]\npath = /a\npath = /b\n", "[pool p]\n"] {
            let scratch = try Scratch()
            let text = pool + "[iotrap]\nmode = observe\n"
            #expect(try copy(scratch, withFile(["FILE": text, "IOTRAP_FIJI": "1"], scratch)))
            #expect(log(scratch).count == (pool == "[pool p]\n" ? 1 : 0))
            let shown = try scratch.iotrap(["stat", "last"])
            #expect(shown.output.contains("\nmode observe  "), "\(shown.errors)")
        }
        let scratch = try Scratch()
        #expect(try !copy(scratch, withFile(["FILE": "[iotrap]\nmode=off"], scratch)))
        #expect(log(scratch).isEmpty)
    }

    /// The variables with the content FILE in a file that IOTRAP_CONFIG names.
    private func withFile(
        _ variables: [String: String], _ scratch: Scratch
    ) throws -> [String: String] {
        guard let text = variables["FILE"] else { return variables }
        var all = variables
        all["FILE"] = nil
        all["IOTRAP_CONFIG"] = try scratch.file("configuration", Data(text.utf8))
        return all
    }
}
