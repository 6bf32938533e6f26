import Foundation
import Glibc
import Testing

@Suite("The example restore") struct RestoreTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private func listing(_ folder: String) throws -> String {
        let script = """
            find . -mindepth 1 -type d -printf '%p %y %m %Ts\\n' | sort
            find . ! -type d -printf '%p %y %m %l %s %Ts\\n' | sort
            find . -type f -print0 | sort -z | xargs -0 -r sha256sum
            """
        return try Tool("bash", "-c", script, in: folder).output
    }

    @Test(arguments: ["gnu", "pax", "ustar"]) func unpacksWhatTarUnpacks(format: String) throws {
        let long = String(repeating: "d", count: 90) + "/" + String(repeating: "f", count: 90)
        for (name, size) in [
            ("a", 0), ("b", 1), ("deep/er/c", 511), ("d", 512), ("e", 513), (long, 10_000),
            ("large", 3_000_001), ("exact", 1 << 18),
        ] {
            try scratch.write("in/" + name, (0..<size).map { UInt8(truncatingIfNeeded: $0 * 7) })
        }
        let inside = scratch("in")
        #expect(symlink("../../etc/passwd", inside + "/link") == 0)
        #expect(link(inside + "/b", inside + "/deep/hard") == 0)
        #expect(chmod(inside + "/d", 0o600) == 0 && chmod(inside + "/deep", 0o711) == 0)
        let tar = try Tool("tar", "--format=\(format)", "-cf", scratch("a.tar"), "-C", inside, ".")
        try #require(tar.status == 0, "\(tar.errors)")
        for (tool, target) in [("restore", "ours"), ("tar", "theirs")] {
            try FileManager.default.createDirectory(
                atPath: scratch(target), withIntermediateDirectories: false)
            let done =
                tool == "tar"
                ? try Tool("tar", "-xpf", scratch("a.tar"), "-C", scratch(target))
                : try Tool("restore", scratch("a.tar"), scratch(target))
            #expect(done.status == 0 && done.errors == "")
        }
        let ours = try listing(scratch("ours"))
        #expect(try ours == listing(scratch("theirs")))
        #expect(ours.contains("./large f 644  3000001"))
        // Once more, over what is there.
        #expect(try Tool("restore", "-j", "1", scratch("a.tar"), scratch("ours")).status == 0)
        #expect(try listing(scratch("ours")) == ours)
    }

    @Test func nothingOutsideIsTouched() throws {
        try scratch.write("outside/victim", [1])
        let archive = try scratch.archive(
            "bad.tar",
            """
            add("../outside/victim", b"x")
            add("a/../../outside/victim", b"x")
            add("/absolute", b"y")
            add("door", kind=tarfile.SYMTYPE, link="../outside")
            add("door/victim", b"x")
            add("hard", kind=tarfile.LNKTYPE, link="../outside/victim")
            add("good", b"z")
            """)
        let done = try Tool("restore", archive, scratch("out"))
        #expect(done.status == 1)
        #expect(try scratch.read("outside/victim") == [1])
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: scratch("outside")) == ["victim"])
        #expect(try scratch.read("out/good") == Array("z".utf8))
        #expect(try scratch.read("out/absolute") == Array("y".utf8))
        #expect(done.errors.contains("../outside/victim: leads out of the directory with '..'"))
        // "door/victim" made a directory: the link of that name has to give way.
        #expect(try scratch.read("out/door/victim") == Array("x".utf8))
        #expect(!FileManager.default.fileExists(atPath: scratch("out/hard")))
    }

    @Test func linksThatAreThereAreNotFollowed() throws {
        try scratch.write("outside/victim", [1])
        try FileManager.default.createDirectory(
            atPath: scratch("out"), withIntermediateDirectories: true)
        #expect(symlink(scratch("outside"), scratch("out/door")) == 0)
        #expect(symlink(scratch("outside/victim"), scratch("out/file")) == 0)
        let archive = try scratch.archive(
            "a.tar",
            """
            add("door/victim", b"x")
            add("file", b"y")
            """)
        let done = try Tool("restore", archive, scratch("out"))
        #expect(done.status == 1)
        #expect(done.errors.contains("out/door is there and no directory"))
        #expect(try scratch.read("outside/victim") == [1])
        #expect(try scratch.read("out/file") == Array("y".utf8))
    }

    @Test func damagedArchives() throws {
        let archive = try scratch.archive("a.tar", "add(\"file\", b\"x\" * 5000)")
        let bytes = try scratch.read("a.tar")
        try scratch.write("cut.tar", Array(bytes[..<3000]))
        let cut = try Tool("restore", scratch("cut.tar"), scratch("out"))
        #expect(cut.status == 1)
        #expect(
            cut.errors.contains("cut.tar at byte 3000: the archive ends in the middle of an entry"))
        var wrong = bytes
        wrong[3] ^= 1
        try scratch.write("wrong.tar", wrong)
        let damaged = try Tool("restore", scratch("wrong.tar"), scratch("out"))
        #expect(damaged.status == 1)
        #expect(damaged.errors.contains("at byte 0: no tar header: its checksum is wrong"))
        let missing = try Tool("restore", archive + ".none", scratch("out"))
        #expect(missing.status == 1 && missing.errors.contains("No such file"))
        #expect(try Tool("restore", "-j", "0", archive, scratch("out")).status == 2)
        let special = try scratch.archive("s.tar", "add(\"pipe\", kind=tarfile.FIFOTYPE)")
        let skipped = try Tool("restore", special, scratch("out"))
        #expect(skipped.status == 1 && skipped.errors.contains("entries of type '6'"))
    }
}
