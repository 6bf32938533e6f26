import Foundation
import Glibc
import Testing

@Suite("iotrap run: the library beside the command")
struct LibraryTests {
    private func library() throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: builtLibrary))
    }

    @Test("A missing library ends with 2 and names the places")
    func missing() throws {
        let scratch = try Scratch()
        let command = try scratch.installation(library: nil)
        let outcome = try scratch.run(command, ["run", "true"])
        expectRefusal(
            outcome, status: 2, naming: scratch.path + "/prefix/lib/libiotrap-preload.so",
            scratch.path + "/prefix/bin/libiotrap-preload.so")
    }

    @Test(
        "It is found in each of its places, through a link to the command as well",
        arguments: [
            "lib", "lib/iotrap", "bin",
        ])
    func places(_ place: String) throws {
        let scratch = try Scratch()
        let command = try scratch.installation(library: nil)
        let directory = scratch.path + "/prefix/" + place
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
        let path = directory + "/libiotrap-preload.so"
        try library().write(to: URL(fileURLWithPath: path))
        let link = scratch.path + "/link"
        try #require(symlink(command, link) == 0)
        for name in [command, link] {
            let outcome = try scratch.run(name, ["run", "sh", "-c", "echo $LD_PRELOAD"])
            #expect(outcome.output == path + "\n", "\(outcome.errors)")
        }
    }

    @Test("One of another architecture ends with 2")
    func foreign() throws {
        let scratch = try Scratch()
        for (offset, value) in [(18, 0xb7), (18, 0x03), (4, 1)] as [(Int, UInt8)] {
            var bytes = try library()
            bytes[offset] = bytes[offset] == value ? 62 : value
            try FileManager.default.createDirectory(
                atPath: scratch.path + "/\(offset)\(value)", withIntermediateDirectories: true)
            let command = try scratch.installation(at: "\(offset)\(value)", library: bytes)
            expectRefusal(
                try scratch.run(command, ["run", "true"]), status: 2,
                naming: "/lib/libiotrap-preload.so", "is built for")
        }
    }

    @Test("One that is no library ends with 2")
    func damaged() throws {
        for (name, bytes) in [
            ("empty", Data()), ("text", Data("hello".utf8)),
            ("cut", try library().prefix(30)),
        ] {
            let scratch = try Scratch()
            let command = try scratch.installation(at: name, library: bytes)
            expectRefusal(
                try scratch.run(command, ["run", "true"]), status: 2,
                naming: "/lib/libiotrap-preload.so", "not a shared library")
        }
    }

    @Test("A path that the loader cannot preload from ends with 2")
    func unusablePath() throws {
        for name in ["with space", "with:colon", "with$dollar"] {
            let scratch = try Scratch()
            let command = try scratch.installation(at: name, library: try library())
            expectRefusal(try scratch.run(command, ["run", "true"]), status: 2, naming: name)
        }
    }
}
