import Foundation
import Testing

/// The examples of the documentation stand in a program that is compiled and run.
@Suite("Snippets") struct SnippetTests {
    /// The lines of a text without their indentation, empty ones left out.
    private func lines(_ text: some StringProtocol) -> [Substring] {
        text.split(separator: "\n").map { Substring($0.drop { $0 == " " }) }
            .filter { !$0.isEmpty }.map { $0 }
    }

    /// Fenced blocks of Swift, in a page or in documentation comments.
    private func snippets(_ text: String, comments: Bool) -> [[Substring]] {
        let plain =
            comments
            ? text.split(separator: "\n").filter { $0.hasPrefix("///") }
                .map { $0.dropFirst(3) }.joined(separator: "\n") : text
        var found: [[Substring]] = []
        for part in plain.components(separatedBy: "```swift\n").dropFirst() {
            found.append(lines(part.components(separatedBy: "```")[0]))
        }
        return found
    }

    private func texts(_ folder: String, ending: String) throws -> [(String, String)] {
        let root = repository + "/" + folder
        return try FileManager.default.contentsOfDirectory(atPath: root)
            .filter { $0.hasSuffix(ending) }.sorted()
            .map { ($0, try String(contentsOfFile: root + "/" + $0, encoding: .utf8)) }
    }

    @Test func everySnippetIsCompiled() throws {
        let compiled = try texts("examples/Sources/tutorial", ending: ".swift").flatMap {
            lines($0.1)
        }
        var count = 0
        for (folder, ending) in [
            ("Sources/IOTrap/IOTrap.docc", ".md"), ("Sources/IOTrap", ".swift"),
        ] {
            for (name, text) in try texts(folder, ending: ending) {
                for snippet in snippets(text, comments: ending == ".swift") {
                    let text = snippet.joined(separator: "\n")
                    // The package of the tutorial is built as a whole by DependentTests.
                    if text.contains("import PackageDescription") || text.contains("@main") {
                        continue
                    }
                    count += 1
                    #expect(
                        compiled.contains(snippet),
                        "\(name): not in examples/Sources/tutorial:\n\(text)")
                }
            }
        }
        #expect(count > 12)
    }

    @Test func theTutorialRuns() throws {
        let scratch = try Scratch()
        let done = try Tool("tutorial", scratch("file"))
        #expect(done.status == 0 && done.errors == "")
        let missing =
            "open \(scratch("file.old")): No such file or directory (errno 2): "
            + "look at the spelling, or open with .create"
        #expect(done.output == "7 7\n14\ntrue 14\n\(missing)\n14\n3\n14\n14\n")
        #expect(try scratch.read("file.log") == [1, 2, 3])
    }
}
