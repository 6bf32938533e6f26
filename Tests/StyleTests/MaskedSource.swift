/// A Swift or C source with its comments and literals told from its code.
struct MaskedSource {
    /// A comment and the line that it starts in, from 1. Line comments in a row are one each.
    struct Comment {
        let line: Int
        let text: String
    }

    /// The source with every character of a comment or literal replaced by a blank; line ends stay.
    private(set) var code = ""
    private(set) var comments: [Comment] = []

    private let characters: [Character]
    private let isSwift: Bool
    private var index = 0
    private var line = 1

    init(_ text: String, isSwift: Bool) {
        characters = Array(text)
        self.isSwift = isSwift
        while index < characters.count { step() }
    }

    var codeLines: [Substring] { code.split(separator: "\n", omittingEmptySubsequences: false) }

    private func starts(_ prefix: String, at offset: Int = 0) -> Bool {
        characters[min(index + offset, characters.count)...].starts(with: prefix)
    }

    private mutating func step() {
        if starts("//") {
            comment { $0.characters[$0.index] == "\n" }
        } else if starts("/*") {
            blockComment()
        } else if characters[index] == "#" && isSwift, let hashes = rawStringHashes() {
            string(hashes: hashes)
        } else if characters[index] == "\"" {
            string(hashes: 0)
        } else if characters[index] == "'" && !isSwift {
            characterLiteral()
        } else {
            keep()
        }
    }

    private mutating func keep() {
        code.append(characters[index])
        if characters[index] == "\n" { line += 1 }
        index += 1
    }

    private mutating func blank(_ count: Int = 1) {
        for _ in 0..<count where index < characters.count {
            let isLineEnd = characters[index] == "\n"
            code.append(isLineEnd ? "\n" : " ")
            if isLineEnd { line += 1 }
            index += 1
        }
    }

    private mutating func comment(until isEnd: (MaskedSource) -> Bool) {
        let start = index
        let startLine = line
        while index < characters.count && !isEnd(self) { blank() }
        comments.append(Comment(line: startLine, text: String(characters[start..<index])))
    }

    private mutating func blockComment() {
        var depth = 0
        let start = index
        let startLine = line
        repeat {
            if starts("/*") && (isSwift || depth == 0) {
                depth += 1
                blank(2)
            } else if starts("*/") {
                depth -= 1
                blank(2)
            } else {
                blank()
            }
        } while depth > 0 && index < characters.count
        comments.append(Comment(line: startLine, text: String(characters[start..<index])))
    }

    private mutating func characterLiteral() {
        blank()
        while index < characters.count && characters[index] != "'" && characters[index] != "\n" {
            blank(characters[index] == "\\" ? 2 : 1)
        }
        blank()
    }

    /// The number of "#" before a string literal, nil when none follows them.
    private func rawStringHashes() -> Int? {
        let count = characters[index...].prefix { $0 == "#" }.count
        return starts("\"", at: count) ? count : nil
    }

    private mutating func string(hashes: Int) {
        let fence = String(repeating: "#", count: hashes)
        let isLong = isSwift && starts("\"\"\"", at: hashes)
        let end = (isLong ? "\"\"\"" : "\"") + fence
        blank(hashes + (isLong ? 3 : 1))
        while index < characters.count && !starts(end) {
            if !isLong && characters[index] == "\n" { return }
            if starts("\\" + fence + "(") && isSwift {
                blank(2 + hashes)
                interpolation()
            } else if starts("\\" + fence) {
                blank(2 + hashes)
            } else {
                blank()
            }
        }
        blank(end.count)
    }

    /// What stands between the parentheses of an interpolation, literals inside it as well.
    private mutating func interpolation() {
        var depth = 1
        while index < characters.count && depth > 0 {
            switch characters[index] {
            case "\"":
                string(hashes: 0)
                continue
            case "(": depth += 1
            case ")": depth -= 1
            default: break
            }
            blank()
        }
    }
}
