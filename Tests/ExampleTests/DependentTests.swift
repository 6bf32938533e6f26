import Foundation
import Testing

/// A package outside of this repository, made as the tutorial says, with the URL of a repository.
@Suite("A package that depends on iotrap") struct DependentTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private func git(_ arguments: String) throws {
        let done = try Tool("sh", "-c", "git \(arguments)", in: scratch("iotrap"))
        try #require(done.status == 0, "git \(arguments): \(done.errors)")
    }

    /// A repository with the files as they are here now, committed or not.
    private func copyRepository() throws {
        let list = "git ls-files -z --cached --others --exclude-standard"
        let pack = "tar -cf - --null -T - --ignore-failed-read"
        let copy = try Tool(
            "sh", "-c", "\(list) | \(pack) | tar -xf - -C \"$0\"", scratch("iotrap"),
            in: repository)
        try #require(copy.status == 0, "\(copy.errors)")
        try git("init -q -b main")
        try git("add -A")
        try git("-c user.name=test -c user.email=test@localhost commit -q -m files")
    }

    /// The code blocks of a page.
    private func blocks(_ language: String, _ page: String) -> [String] {
        page.components(separatedBy: "\n```" + language + "\n").dropFirst().map {
            $0.components(separatedBy: "\n```")[0] + "\n"
        }
    }

    /// Writes the package of the tutorial, with all steps in its program; what that has to print.
    private func writePackage() throws -> String {
        let page = try String(
            contentsOfFile: repository + "/Sources/IOTrap/IOTrap.docc/Tutorial.md",
            encoding: .utf8)
        let code = blocks("swift", page)
        let url = "\"file:///home/me/iotrap\""
        let manifest = try #require(code.first { $0.contains("import PackageDescription") })
        try #require(manifest.contains(url))
        let ours = manifest.replacing(url, with: "\"file://\(scratch("iotrap"))\"")
        try scratch.write("notes/Package.swift", Array(ours.utf8))
        let program = try #require(code.first { $0.contains("@main") })
        try #require(program.contains("// Steps.\n"))
        let types = code.filter { $0.hasPrefix("actor ") }
        let steps = code.filter { $0 != manifest && $0 != program && !types.contains($0) }
        let outputs = blocks("text", page)
        try #require(steps.count == outputs.count && steps.count >= 6)
        let body = steps.map { "do {\n\($0)}\n" }.joined()
        let whole = program.replacing("// Steps.\n", with: body) + types.joined()
        try scratch.write("notes/Sources/notes/Notes.swift", Array(whole.utf8))
        return outputs.joined()
    }

    /// Older versions of SwiftPM refuse them in dependencies; 6.3 does not.
    @Test func nothingNeedsUnsafeFlags() throws {
        let manifest = try Tool("swift", "package", "dump-package", in: repository)
        #expect(manifest.status == 0 && manifest.output.contains("\"name\" : \"IOTrapEngine\""))
        #expect(!manifest.output.contains("unsafeFlags"))
    }

    @Test func theTutorialIsFollowed() throws {
        try FileManager.default.createDirectory(
            atPath: scratch("iotrap"), withIntermediateDirectories: true)
        try copyRepository()
        let expected = try writePackage()
        let built = try Tool(
            "swift", "build", "-c", "release", "--cache-path", scratch("cache"),
            in: scratch("notes"))
        let log = built.output + built.errors
        try #require(built.status == 0, "\(log)")
        #expect(!log.contains("warning:"), "\(log)")
        let done = try Tool(scratch("notes/.build/release/notes"), in: scratch("notes"))
        #expect(done.status == 0 && done.errors == "")
        #expect(done.output == expected)
    }
}
