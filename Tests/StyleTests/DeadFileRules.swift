/// Rules that find files nobody uses.
enum DeadFileRules {
    /// Files that tools and people know by their name alone.
    private static let known: Set<String> = [
        "Makefile", "Package.swift", "README.md", "LICENSE", "CONTRIBUTING.md", "VERSION",
        "module.modulemap", ".gitignore", ".swift-format", ".clang-format", ".ci/run",
    ]

    static func violations(_ tree: SourceTree) -> [Violation] {
        let texts = tree.files.map { ($0.path, words(of: $0.text)) }
        let packages = tree.files.filter { $0.name == "Package.swift" }
        let patterns = Set(tree.files.flatMap { Self.patterns(in: $0.text) })
        return tree.files.compactMap { file in
            if isUsed(file, packages, patterns, texts) { return nil }
            return Violation(path: file.path, line: 0, rule: "nothing uses it")
        }
    }

    private static func isUsed(
        _ file: SourceFile, _ packages: [SourceFile], _ patterns: Set<String>,
        _ texts: [(String, Set<Substring>)]
    ) -> Bool {
        if known.contains(file.path) || known.contains(file.name) { return true }
        let folders = file.path.split(separator: "/").dropLast()
        if file.isSwift {
            return packages.contains { isTarget(file.path, of: $0) }
        }
        if file.extension == "c" && folders.first == "Sources" {
            return folders.count == 2 && packages.contains { isTarget(file.path, of: $0) }
        }
        let folder = folders.joined(separator: "/")
        if patterns.contains("\(folder)/*.\(file.extension)") { return true }
        let stem = Substring(file.name.split(separator: ".").first ?? "")
        return texts.contains { path, words in
            path != file.path && (words.contains(Substring(file.name)) || words.contains(stem))
        }
    }

    /// SwiftPM compiles what is in the folder of a target, which may be one that the package names.
    private static func isTarget(_ path: String, of package: SourceFile) -> Bool {
        let root = package.path.dropLast(package.name.count)
        guard path.hasPrefix(root) else { return false }
        let folders = path.dropFirst(root.count).split(separator: "/").dropLast()
        guard let first = folders.first else { return false }
        let text = package.text
        if ["Sources", "Tests"].contains(first), folders.count >= 2 {
            return text.contains("\"\(folders[1])\"")
        }
        return text.contains("path: \"\(folders.joined(separator: "/"))\"")
    }

    private static func words(of text: String) -> Set<Substring> {
        var words: Set<Substring> = []
        for word in text.split(whereSeparator: { !isPartOfName($0) }) {
            words.insert(word)
            // "programs/shell.sh." at the end of a sentence.
            words.insert(word.last == "." ? word.dropLast() : word)
        }
        return words
    }

    /// Patterns of make and the shell such as "shim/*.c", and those of make's rules.
    private static func patterns(in text: String) -> [String] {
        let separators: Set<Character> = [" ", "\t", "\n", "(", ")", "'", "\"", ":", "$", ",", ";"]
        let words = text.split { separators.contains($0) }
        return words.filter { $0.contains("/*.") || $0.contains("/%.") }
            .map { String($0).replacing("/%.", with: "/*.") }
    }

    private static func isPartOfName(_ character: Character) -> Bool {
        character.isLetter || character.isNumber || "_-.".contains(character)
    }
}
