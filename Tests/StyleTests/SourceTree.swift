import Foundation
import Testing

/// A text file of the repository.
struct SourceFile: Sendable {
    /// The path below the repository's root.
    let path: String
    let text: String

    var name: String { path.split(separator: "/").last.map(String.init) ?? path }
    var `extension`: String { name.contains(".") ? String(name.split(separator: ".").last!) : "" }
    var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

    var isSwift: Bool { `extension` == "swift" }
    var isC: Bool { ["c", "h", "def", "S"].contains(`extension`) }
    var isScript: Bool { ["sh", "bash", "py"].contains(`extension`) }

    /// The file with comments and literals told from code.
    var masked: MaskedSource { MaskedSource(text, isSwift: isSwift) }

    init(_ path: String, _ text: String) {
        self.path = path
        self.text = text
    }
}

/// A place where a rule is broken.
struct Violation: Equatable, CustomStringConvertible, Sendable {
    let path: String
    /// From 1; 0 for the whole file.
    let line: Int
    let rule: String

    var description: String { line == 0 ? "\(path): \(rule)" : "\(path):\(line): \(rule)" }
}

/// Everything in the repository that is, or is about to be, under version control.
struct SourceTree: Sendable {
    let files: [SourceFile]

    /// The repository that this test belongs to.
    static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().resolvingSymlinksInPath()

    /// Read once for all tests.
    static let whole = SourceTree(root: repository)

    init(files: [SourceFile]) {
        self.files = files
    }

    private init(root: URL) {
        let paths = Self.listedByGit(root) ?? Self.found(below: root)
        files = paths.sorted().compactMap { path in
            let url = root.appendingPathComponent(path)
            guard let text = try? String(contentsOf: url, encoding: .utf8) else { return nil }
            return SourceFile(path, text)
        }
    }

    func file(_ path: String) -> SourceFile? { files.first { $0.path == path } }

    /// Tracked files, and new ones that are not ignored; nil outside of a working tree.
    private static func listedByGit(_ root: URL) -> [String]? {
        let git = Process()
        git.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        git.arguments = [
            "git", "-C", root.path, "ls-files", "-z", "--cached", "--others", "--exclude-standard",
        ]
        let output = Pipe()
        git.standardOutput = output
        git.standardError = FileHandle.nullDevice
        guard (try? git.run()) != nil else { return nil }
        let list = output.fileHandleForReading.readDataToEndOfFile()
        git.waitUntilExit()
        guard git.terminationStatus == 0, !list.isEmpty else { return nil }
        let names = list.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        return Array(Set(names))
    }

    /// The files of an unpacked archive.
    private static func found(below root: URL) -> [String] {
        let all = FileManager.default.enumerator(atPath: root.path)?.allObjects as? [String] ?? []
        return all.filter { path in
            let first = path.split(separator: "/").first ?? ""
            return ![".git", ".build", "build"].contains(first)
        }
    }
}
