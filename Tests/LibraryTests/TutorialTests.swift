import Foundation
import Testing

/// The tutorial in C.
struct Tutorial {
    private let text: String

    init() throws { text = try Repository.text(Repository.root + "/docs/c-tutorial.md") }

    /// The code blocks of a language, in their order.
    func blocks(_ language: String) -> [String] {
        text.components(separatedBy: "\n```" + language + "\n").dropFirst().map {
            String($0.components(separatedBy: "\n```")[0]) + "\n"
        }
    }

    /// The block of commands that begins so.
    func commands(_ start: String) throws -> String {
        try #require(blocks("sh").first { $0.hasPrefix(start) }, "no block of \(start)")
    }
}

@Suite("docs/c-tutorial.md")
struct TutorialTests {
    @Test("Each program compiles as it says there, and prints what stands below it")
    func programs() throws {
        let tutorial = try Tutorial()
        let programs = tutorial.blocks("c")
        let outputs = tutorial.blocks("text")
        let commands = try tutorial.commands("cc ").replacing("cc ", with: "cc -Werror ")
        #expect(programs.count >= 7)
        try #require(programs.count == outputs.count)
        let installation = try Installation()
        for (program, output) in zip(programs, outputs) {
            _ = try installation.scratch.file("program.c", program)
            let result = try installation.shell("set -e\n" + commands)
            #expect(result.succeeded, "\(result.ending)\n\(program)")
            #expect(result.output == output)
        }
    }
}

@Suite("examples/block-cache")
struct BlockCacheTests {
    private struct Range {
        let offset: Int
        let length: Int
    }

    /// Builds the example with its own Makefile.
    private func build(_ installation: Installation) throws {
        let source = Repository.root + "/examples/block-cache"
        let made = try installation.shell(
            "cp -r '\(source)' example && make -s -C example CFLAGS='-O1 -Wall -Wextra -Werror "
                + "-D_GNU_SOURCE -D_FILE_OFFSET_BITS=64'")
        try #require(made.succeeded, "\(made.output)")
    }

    private func ranges(_ bytes: Int) -> [Range] {
        var generator = SystemRandomNumberGenerator()
        var ranges = (0..<400).map { _ in
            let offset = Int.random(in: 0..<bytes, using: &generator)
            return Range(
                offset: offset, length: Int.random(in: 0...min(30_000, bytes - offset)))
        }
        ranges.append(Range(offset: 0, length: bytes))
        ranges.append(Range(offset: bytes - 1, length: 1))
        return ranges
    }

    @Test("It writes the ranges of a file, whatever fits into its memory")
    func rangesOfAFile() throws {
        let installation = try Installation()
        try build(installation)
        let path = installation.scratch.path
        // No multiple of a block.
        let content = Data((0..<3_000_001).map { _ in UInt8.random(in: 0...255) })
        try content.write(to: URL(fileURLWithPath: path + "/data"))
        let ranges = ranges(content.count)
        let lines = ranges.map { "\($0.offset) \($0.length)" }.joined(separator: "\n") + "\n"
        _ = try installation.scratch.file("ranges", lines)
        let expected = ranges.reduce(into: Data()) {
            $0.append(content[$1.offset..<($1.offset + $1.length)])
        }
        for options in ["", "-m 1", "-m 1 -b 256 -d 2", "-b 4 -d 200"] {
            let run = try installation.shell(
                "example/block-cache -s \(options) data <ranges >out")
            #expect(run.succeeded, "\(options): \(run.output)")
            #expect(run.output.contains(" hits, "), "\(run.output)")
            let written = try Data(contentsOf: URL(fileURLWithPath: path + "/out"))
            #expect(written == expected, "\(options): \(written.count) bytes")
        }
    }

    @Test("Wrong input is refused with a line that names it")
    func refusals() throws {
        let installation = try Installation()
        try build(installation)
        _ = try installation.scratch.file("data", String(repeating: "x", count: 10_000))
        let cases = [
            ("echo nonsense | example/block-cache data", "line 1 of the ranges"),
            ("echo 9999 2 | example/block-cache data", "9999 2: the range is not all inside"),
            ("echo 1 1 | example/block-cache -b 5 data", "power of two"),
            ("echo 1 1 | example/block-cache missing", "missing: No such file"),
            ("example/block-cache -b 0 data </dev/null", "usage:"),
            ("example/block-cache </dev/null", "usage:"),
        ]
        for (command, words) in cases {
            let run = try installation.shell(command)
            #expect(!run.succeeded, "\(command)")
            #expect(run.output.contains(words), "\(command): \(run.output)")
        }
    }
}
