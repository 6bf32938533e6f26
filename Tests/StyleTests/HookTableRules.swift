/// Rules that tie the hook table to the hooks.
struct HookTable {
    /// A line of the table.
    struct Entry: Equatable {
        let name: String
        /// The function that it is another name of, nil for a hook.
        let original: String?
        let line: Int
        /// The files that the comment above its group names.
        let group: [String]
    }

    static let path = "shim/hooks.def"

    private(set) var entries: [Entry] = []

    init(_ file: SourceFile) {
        let comments = file.masked.comments
        for (number, line) in file.masked.codeLines.enumerated() {
            guard let open = line.firstIndex(of: "("), let close = line.firstIndex(of: ")") else {
                continue
            }
            let kind = line[..<open]
            guard kind == "HOOK" || kind == "ALIAS" else { continue }
            let names = line[line.index(after: open)..<close].split(separator: ",").map {
                String($0.drop { $0 == " " })
            }
            let heading = comments.last { $0.line <= number }?.text ?? ""
            let words = heading.split { !($0.isLetter || $0.isNumber || "._-".contains($0)) }
            entries.append(
                Entry(
                    name: names[0], original: kind == "ALIAS" ? names.last : nil, line: number + 1,
                    group: words.filter { $0.hasSuffix(".c") || $0.hasSuffix(".S") }.map(
                        String.init)))
        }
    }

    /// The names that a source file of the shim exports, with their lines.
    static func exports(of file: SourceFile) -> [(name: String, line: Int)] {
        let source = file.extension == "S" ? file.lines : file.masked.codeLines
        return source.enumerated().compactMap { number, line in
            if file.extension == "S" {
                let words = line.split { " \t".contains($0) }
                return words.first == ".globl" ? (String(words[1]), number + 1) : nil
            }
            if line.hasPrefix("ALIAS_OF(") {
                return (String(line.dropFirst(9).prefix { $0 != "," }), number + 1)
            }
            if line.hasPrefix("extern "), let end = line.firstRange(of: " __attribute__((alias(") {
                return (identifier(endingAt: line[..<end.lowerBound]), number + 1)
            }
            guard line.hasPrefix("EXPORT ") else { return nil }
            var rest = line.dropFirst(7)
            if rest.hasPrefix("__attribute__((") {
                rest = rest.firstRange(of: "))").map { rest[$0.upperBound...] } ?? rest
            }
            guard let open = rest.firstIndex(of: "(") else { return nil }
            return (identifier(endingAt: rest[..<open]), number + 1)
        }
    }

    private static func identifier(endingAt text: Substring) -> String {
        let name = text.reversed().prefix { $0.isLetter || $0.isNumber || $0 == "_" }
        return String(name.reversed())
    }

    /// Hooks that are not in the table, entries without a hook, and entries in the wrong group.
    func violations(_ sources: [SourceFile]) -> [Violation] {
        var found: [Violation] = []
        var homes: [String: String] = [:]
        let names = Set(entries.map(\.name))
        for file in sources {
            for (name, line) in Self.exports(of: file) {
                homes[name] = file.name
                if !names.contains(name) {
                    found.append(
                        Violation(
                            path: file.path, line: line, rule: "\(name) is not in the hook table"))
                }
            }
        }
        var seen: Set<String> = []
        for entry in entries {
            let rule: String
            if !seen.insert(entry.name).inserted {
                rule = "\(entry.name) is in the table twice"
            } else if let original = entry.original, !names.contains(original) {
                rule = "\(entry.name) is an alias of \(original), which is no hook"
            } else if let home = homes[entry.name] {
                if entry.group.contains(home) { continue }
                rule = "\(entry.name) is in \(home), which the comment above does not name"
            } else {
                rule = "\(entry.name) has no hook"
            }
            found.append(Violation(path: Self.path, line: entry.line, rule: rule))
        }
        return found
    }
}
