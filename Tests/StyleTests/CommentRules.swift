/// Rules about what comments must say and must not hold.
enum CommentRules {
    /// Words that promise work instead of doing it, put together so that this file passes.
    private static let promises = ["TO" + "DO", "FIX" + "ME", "XX" + "X"]

    static func promises(_ file: SourceFile) -> [Violation] {
        file.lines.enumerated().compactMap { number, line in
            let words = line.split { !($0.isLetter || $0.isNumber || $0 == "_") }
            guard let word = words.first(where: { promises.contains(String($0)) }) else {
                return nil
            }
            return Violation(path: file.path, line: number + 1, rule: "says \(word)")
        }
    }

    /// Paths of one machine. A character before the slash makes it part of a longer path.
    static func machinePaths(_ file: SourceFile) -> [Violation] {
        let roots = ["/wo" + "rk/", "/ho" + "me/"]
        return file.lines.enumerated().compactMap { number, line in
            for root in roots {
                guard let range = line.firstRange(of: root) else { continue }
                let before = line[..<range.lowerBound].last
                if let before, before.isLetter || before.isNumber || "._-/*}".contains(before) {
                    continue
                }
                return Violation(path: file.path, line: number + 1, rule: "names \(root)")
            }
            return nil
        }
    }

    /// Comments that read like code: heuristics that spare formulas, examples in documentation
    /// comments, and references to man pages.
    static func commentedOutCode(_ file: SourceFile) -> [Violation] {
        file.masked.comments.flatMap { comment -> [Violation] in
            if comment.text.hasPrefix("///") { return [] }
            let lines = comment.text.split(separator: "\n", omittingEmptySubsequences: false)
            return lines.enumerated().compactMap { number, line in
                guard isCode(bare(line), isSwift: file.isSwift) else { return nil }
                return Violation(
                    path: file.path, line: comment.line + number, rule: "commented-out code")
            }
        }
    }

    /// A line of a comment without its marks.
    private static func bare(_ line: Substring) -> String {
        var text = line.drop { " \t/*".contains($0) }
        while let last = text.last, " \t".contains(last) { text.removeLast() }
        if text.hasSuffix("*/") { text.removeLast(2) }
        while let last = text.last, " \t".contains(last) { text.removeLast() }
        return String(text)
    }

    private static func isCode(_ text: String, isSwift: Bool) -> Bool {
        let words = text.split(separator: " ")
        if text.hasSuffix(" {") || text.hasPrefix("} ") || text == "}" || text == "};" {
            return true
        }
        if isSwift {
            let declares = ["let", "var"].contains(words.first ?? "") && words.count > 2
            return declares && (words[2] == "=" || words[1].hasSuffix(":"))
        }
        if text.hasPrefix("#include") || text.hasPrefix("#define ") || text.hasPrefix("#if") {
            return true
        }
        guard text.hasSuffix(";") else { return false }
        if words.first == "return" || text.contains(" = ") { return true }
        // A call as a statement; "fstat(2);" is a man page in a sentence.
        guard text.hasSuffix(");"), let open = text.firstIndex(of: "(") else { return false }
        let name = text[..<open]
        let inside = text[text.index(after: open)...].dropLast(2)
        let isName = !name.isEmpty && name.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" }
        return isName && Int(inside) == nil
    }

    /// Public declarations of the Swift modules, each with a documentation comment. What
    /// implements a function of a C header is documented there.
    static func undocumented(_ file: SourceFile) -> [Violation] {
        guard file.isSwift, file.path.hasPrefix("Sources/") else { return [] }
        let code = file.masked.codeLines
        let lines = file.lines
        return code.indices.compactMap { number in
            guard
                let word = code[number].split(separator: " ").first(where: { !$0.hasPrefix("@") }),
                word == "public", !code[number].contains("public import ")
            else { return nil }
            var above = number - 1
            var attributes = code[number]
            while above >= 0, code[above].drop(while: { $0 == " " }).hasPrefix("@") {
                attributes += code[above]
                above -= 1
            }
            if attributes.contains("@implementation") { return nil }
            let isExtension = code[number].contains("public extension ")
            let comment = above >= 0 ? lines[above].drop { $0 == " " } : ""
            if comment.hasPrefix("///") || isExtension { return nil }
            return Violation(
                path: file.path, line: number + 1, rule: "public declaration without ///")
        }
    }

    /// Promises about threads that the compiler cannot see, outside of the file that holds those of
    /// the Swift library with their reasons.
    static func uncheckedSendable(_ file: SourceFile) -> [Violation] {
        guard file.isSwift, file.path.hasPrefix("Sources/IOTrap/"),
            file.path != "Sources/IOTrap/Unchecked.swift"
        else { return [] }
        let words = ["@unchecked " + "Sendable", "nonisolated(" + "unsafe)", "@preconcurrency"]
        return file.masked.codeLines.enumerated().compactMap { number, line in
            guard let word = words.first(where: { line.contains($0) }) else { return nil }
            return Violation(
                path: file.path, line: number + 1, rule: "\(word) outside of Unchecked.swift")
        }
    }

    /// Functions of the public C headers, each with a comment right above.
    static func undocumentedC(_ file: SourceFile) -> [Violation] {
        guard file.path.hasPrefix("Sources/CIOTrap/include/"), file.extension == "h" else {
            return []
        }
        let code = file.masked.codeLines
        let lines = file.lines
        return code.indices.compactMap { number in
            let line = code[number]
            guard let first = line.first, first.isLetter, line.contains("("),
                !line.hasPrefix("extern "), !line.hasPrefix("struct iotrap_stats")
            else { return nil }
            if number > 0, lines[number - 1].hasSuffix("*/") { return nil }
            return Violation(path: file.path, line: number + 1, rule: "function without a comment")
        }
    }
}
