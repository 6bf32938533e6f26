import Foundation
import Glibc
import Testing

@Suite("The example checksum") struct ChecksumTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    @Test func sumsAreThoseOfSha256sum() throws {
        for (name, size) in [
            ("a", 0), ("b", 1), ("sub/c", 131_071), ("sub/d", 131_072), ("e", 5_000_000),
            ("back\\slash", 3), ("new\nline", 3), ("sub/z z", 4096),
        ] {
            try scratch.write("in/" + name, (0..<size).map { UInt8(truncatingIfNeeded: $0 * 13) })
        }
        #expect(symlink("a", scratch("in/link")) == 0)
        let ours = try Tool("checksum", scratch("in"))
        #expect(ours.status == 0 && ours.errors == "")
        let script = "find \"$1\" -type f -print0 | xargs -0 sha256sum"
        let theirs = try Tool("bash", "-c", script, "bash", scratch("in"))
        func sorted(_ text: String) -> [Substring] { text.split(separator: "\n").sorted() }
        #expect(sorted(ours.output) == sorted(theirs.output))
        #expect(try Tool("checksum", "-j", "1", scratch("in")).output == ours.output)
        let check = try Tool("sha256sum", "-c", "--quiet", "-", input: ours.output)
        #expect(check.status == 0)
    }

    @Test func whatCannotBeReadIsNamed() throws {
        try scratch.write("a", [1])
        let done = try Tool("checksum", scratch("a"), scratch("none"))
        #expect(done.status == 1 && done.errors.contains("\(scratch("none")): No such file"))
        #expect(done.output.hasSuffix("  \(scratch("a"))\n"))
        #expect(try Tool("checksum").status == 2)
        #expect(try Tool("checksum", "-j", "many", scratch("a")).status == 2)
    }
}
