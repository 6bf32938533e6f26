import Foundation
import Glibc
import Testing

@Suite("iotrap run: targets that cannot be started or preloaded")
struct TargetTests {
    /// The bytes of a dynamically linked program.
    private func program() throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: "/usr/bin/true"))
    }

    @Test("A missing program ends with 127")
    func missing() throws {
        let scratch = try Scratch()
        expectRefusal(
            try scratch.iotrap(["run", "--", "/no/such/program"]), status: 127,
            naming: "/no/such/program", "No such file")
        expectRefusal(
            try scratch.iotrap(["run", "no-such-program"]), status: 127,
            naming: "no-such-program", "PATH")
        expectRefusal(try scratch.iotrap(["run", ""]), status: 127, naming: "empty")
        expectRefusal(
            try scratch.iotrap(["run", "/etc/passwd/program"]), status: 127,
            naming: "/etc/passwd/program")
        expectRefusal(try scratch.iotrap(["run"]), status: 2, naming: "no program")
        expectRefusal(
            try scratch.iotrap(["run", "--stats", "--"]), status: 2, naming: "no program")
    }

    @Test("A program that may not be executed ends with 126")
    func notExecutable() throws {
        let scratch = try Scratch()
        let file = try scratch.file("program", try program(), mode: 0o644)
        expectRefusal(
            try scratch.iotrap(["run", file]), status: 126, naming: file, "not executable")
        expectRefusal(
            try scratch.iotrap(["run", scratch.path]), status: 126, naming: scratch.path,
            "not a regular file")
        expectRefusal(
            try scratch.iotrap(["run", "program"], ["PATH": "/nowhere:" + scratch.path]),
            status: 126, naming: file, "not executable")
    }

    @Test("PATH is searched past files that may not be executed")
    func pathSearch() throws {
        let scratch = try Scratch()
        try scratch.file("true", Data(), mode: 0o644)
        let path = scratch.path + ":/usr/bin"
        #expect(try scratch.iotrap(["run", "true"], ["PATH": path]).status == 0)
    }

    @Test(
        "A program of another architecture ends with 126",
        arguments: [
            (18, 183, "AArch64"), (18, 243, "RISC-V"), (4, 1, "32-bit"), (5, 2, "big-endian"),
        ] as [(Int, UInt8, String)])
    func foreignProgram(_ offset: Int, _ value: UInt8, _ name: String) throws {
        let scratch = try Scratch()
        var bytes = try program()
        bytes[offset] = bytes[offset] == value ? 62 : value
        let file = try scratch.file("program", bytes, mode: 0o755)
        let outcome = try scratch.iotrap(["run", file])
        expectRefusal(outcome, status: 126, naming: file, "is built for")
        if bytes[offset] == value { #expect(outcome.errors.contains(name)) }
    }

    @Test("A damaged program ends with 126, wherever it is cut")
    func damagedProgram() throws {
        let scratch = try Scratch()
        let whole = try program()
        for length in [4, 16, 19, 20, 40, 63] {
            let file = try scratch.file("program", whole.prefix(length), mode: 0o755)
            let outcome = try scratch.iotrap(["run", file])
            #expect(outcome.status == 126, "\(length) bytes: \(outcome.errors)")
            #expect(outcome.errors.hasPrefix("iotrap: \(file): "))
        }
        let noise = Data([0, 1, 2, 3] + [UInt8](repeating: 0, count: 300))
        let file = try scratch.file("program", noise, mode: 0o755)
        expectRefusal(
            try scratch.iotrap(["run", file]), status: 126, naming: file, "Exec format error")
        expectRefusal(
            try scratch.iotrap(["run", "--stats", file]), status: 126, naming: file,
            "Exec format error")
    }

    @Test("Program headers that lead nowhere never do more than be refused")
    func hostileHeaders() throws {
        let scratch = try Scratch()
        let whole = try program()
        // e_phoff, e_phentsize, e_phnum, then p_offset and p_filesz of the first headers.
        for (offset, count) in [
            (32, 8), (54, 2), (56, 2), (64 + 8, 8), (120 + 8, 8), (120 + 32, 8),
        ] {
            for value: UInt8 in [0xff, 0x7f, 0] {
                var bytes = whole
                for index in offset..<offset + count { bytes[index] = value }
                let file = try scratch.file("program", bytes, mode: 0o755)
                let outcome = try scratch.iotrap(["run", file])
                // What remains may be a program to the kernel, even one that it kills.
                #expect(![4, 5, 6, 132, 133, 134].contains(outcome.status), "\(offset) \(value)")
            }
        }
    }

    @Test(
        "A setuid or setgid program ends with 2",
        arguments: [
            (0o4755, "setuid"), (0o2755, "setgid"), (0o6755, "setuid"),
        ] as [(mode_t, String)])
    func privileged(_ mode: mode_t, _ kind: String) throws {
        let scratch = try Scratch()
        let file = try scratch.file("program", try program(), mode: mode)
        expectRefusal(try scratch.iotrap(["run", file]), status: 2, naming: file, kind, "preload")
        let script = try scratch.file("script", Data("#! \(file) -x\n".utf8), mode: 0o755)
        expectRefusal(try scratch.iotrap(["run", script]), status: 2, naming: file, kind)
    }

    @Test("A statically linked program is warned about and runs")
    func staticProgram() throws {
        if lacksCompiler() { return }
        let scratch = try Scratch()
        let file = try scratch.compile(
            "#include <unistd.h>\nint main(void) { write(1, \"ran\", 3); return 7; }", ["-static"])
        let outcome = try scratch.iotrap(["run", file])
        #expect(outcome.status == 7)
        #expect(outcome.output == "ran")
        #expect(outcome.errors.hasPrefix("iotrap: warning: \(file) is statically linked"))
    }

    @Test("A program whose loader is missing ends with 127")
    func missingLoader() throws {
        let scratch = try Scratch()
        var bytes = try program()
        let range = try #require(bytes.range(of: Data("ld-linux".utf8)))
        bytes.replaceSubrange(range, with: Data("ld-linuY".utf8))
        let file = try scratch.file("program", bytes, mode: 0o755)
        expectRefusal(
            try scratch.iotrap(["run", file]), status: 127, naming: file, "ld-linuY", "missing")
    }

    @Test("Scripts run through their interpreters, with or without #!")
    func scripts() throws {
        let scratch = try Scratch()
        let plain = try scratch.file("plain", Data("echo \"$0 $1\"; exit 3\n".utf8), mode: 0o755)
        let direct = try scratch.file(
            "direct", Data("#!/bin/sh\necho \"$0 $1\"; exit 3\n".utf8), mode: 0o755)
        let found = try scratch.file(
            "found", Data("#! /usr/bin/env  sh\necho \"$0 $1\"; exit 3\n".utf8), mode: 0o755)
        for script in [plain, direct, found] {
            for options in [[], ["--stats"]] {
                let outcome = try scratch.iotrap(["run"] + options + [script, "argument"])
                #expect(outcome.status == 3, "\(outcome.errors)")
                #expect(outcome.output == "\(script) argument\n")
            }
        }
    }

    @Test("A script whose interpreter cannot be used names both")
    func brokenScripts() throws {
        let scratch = try Scratch()
        let missing = try scratch.file("missing", Data("#!/no/such/sh\n".utf8), mode: 0o755)
        expectRefusal(
            try scratch.iotrap(["run", missing]), status: 127, naming: missing, "/no/such/sh")
        let denied = try scratch.file("denied", Data("#!/etc/passwd -x\n".utf8), mode: 0o755)
        expectRefusal(
            try scratch.iotrap(["run", denied]), status: 126, naming: denied, "/etc/passwd")
        let empty = try scratch.file("empty", Data("#!\n".utf8), mode: 0o755)
        #expect(try scratch.iotrap(["run", empty]).status == 127)
        let own = scratch.path + "/loop"
        try scratch.file("loop", Data("#!\(own)\n".utf8), mode: 0o755)
        expectRefusal(
            try scratch.iotrap(["run", own]), status: 126, naming: own, "interpreters in a row")
    }
}
