/// Rules about the size of lines, functions and files.
enum LayoutRules {
    static let columnsMax = 100
    static let functionLinesMax = 70
    static let fileLinesMax = 500
    /// What a file that has to be longer says, with the reason, in its first comment.
    static let reasonMarker = "over 500 lines"

    static func longLines(_ file: SourceFile) -> [Violation] {
        file.lines.enumerated().compactMap { number, line in
            let columns = line.reduce(0) { $1 == "\t" ? ($0 / 8 + 1) * 8 : $0 + 1 }
            if columns <= columnsMax { return nil }
            return Violation(path: file.path, line: number + 1, rule: "\(columns) columns")
        }
    }

    /// Trailing blanks, and files that do not end with exactly one line end.
    static func looseEnds(_ file: SourceFile) -> [Violation] {
        if file.text.isEmpty { return [] }
        let blanks = file.lines.enumerated().compactMap { number, line in
            line.last == " " || line.last == "\t"
                ? Violation(path: file.path, line: number + 1, rule: "trailing blank") : nil
        }
        if file.text.hasSuffix("\n") && !file.text.hasSuffix("\n\n") { return blanks }
        return blanks + [
            Violation(path: file.path, line: 0, rule: "does not end with one line end")
        ]
    }

    static func longFile(_ file: SourceFile) -> [Violation] {
        let count = file.lines.count - (file.text.hasSuffix("\n") ? 1 : 0)
        if count <= fileLinesMax { return [] }
        let comment: String
        if file.isScript {
            comment = file.lines.prefix { $0.hasPrefix("#") }.joined(separator: "\n")
        } else {
            comment = file.masked.comments.first?.text ?? ""
        }
        if comment.contains(reasonMarker) { return [] }
        return [
            Violation(
                path: file.path, line: 0,
                rule: "\(count) lines, and its first comment does not say why it is "
                    + reasonMarker)
        ]
    }

    /// Functions, initializers, accessors with a name of their own: from the line of the keyword
    /// (Swift) or of the opening brace (C) to the closing one.
    static func longFunctions(_ file: SourceFile) -> [Violation] {
        let code = file.masked.codeLines
        let spans = file.isSwift ? swiftFunctions(code) : cFunctions(code)
        return spans.compactMap { first, last in
            let count = last - first + 1
            if count <= functionLinesMax { return nil }
            return Violation(path: file.path, line: first + 1, rule: "function of \(count) lines")
        }
    }

    /// Kernel style: the body's braces stand in the first column.
    private static func cFunctions(_ code: [Substring]) -> [(Int, Int)] {
        var spans: [(Int, Int)] = []
        var start: Int?
        for (number, line) in code.enumerated() {
            if line.hasPrefix("{") { start = number }
            if line.hasPrefix("}"), let first = start {
                spans.append((first, number))
                start = nil
            }
        }
        return spans
    }

    private static func swiftFunctions(_ code: [Substring]) -> [(Int, Int)] {
        var spans: [(Int, Int)] = []
        for (number, line) in code.enumerated() where declaresFunction(line) {
            if let last = endOfBody(code, from: number) { spans.append((number, last)) }
        }
        return spans
    }

    private static func declaresFunction(_ line: Substring) -> Bool {
        let words = line.split { !($0.isLetter || $0.isNumber || "_@`.".contains($0)) }
        guard
            let index = words.firstIndex(where: {
                ["func", "init", "subscript", "deinit"].contains($0)
            })
        else { return false }
        // A call of an initializer, "self.init(" or ".init(", is one word with a dot.
        let modifiers: Set<Substring> = [
            "public", "private", "fileprivate", "internal", "static", "mutating", "final",
            "override", "class", "consuming", "borrowing", "nonisolated", "required",
            "convenience", "prefix", "postfix", "package", "open", "isolated",
        ]
        return words[..<index].allSatisfy { modifiers.contains($0) || $0.hasPrefix("@") }
    }

    /// The line of the brace that closes the body, nil for a declaration without one.
    private static func endOfBody(_ code: [Substring], from first: Int) -> Int? {
        var depth = 0
        var parentheses = 0
        for number in first..<code.count {
            for character in code[number] {
                switch character {
                case "(", "[": parentheses += 1
                case ")", "]": parentheses -= 1
                case "{" where parentheses == 0 || depth > 0: depth += 1
                case "}" where depth > 0:
                    depth -= 1
                    if depth == 0 { return number }
                // The end of an enclosing type: this was a requirement of a protocol.
                case "}" where parentheses == 0: return nil
                default: break
                }
            }
        }
        return nil
    }
}
