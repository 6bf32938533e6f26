import CIOTrapEngine

/// Goes through a configuration file line by line. Settings and pools are read in two rounds, so
/// that the settings hold whatever is wrong with pools.
struct PoolFileReader {
    private let table: UnsafeMutablePointer<iotrap_pool_table>
    private var text: PoolText
    /// Where the next line begins.
    private var position = 0
    private var section = Section.none

    private enum Section {
        /// Before the first one.
        case none
        case settings
        case pool
        /// Of a kind that the other round complains about.
        case other
    }

    init(_ table: UnsafeMutablePointer<iotrap_pool_table>, _ bytes: UnsafeBufferPointer<UInt8>) {
        self.table = table
        text = PoolText(bytes)
    }

    /// Reads `[iotrap]` and passes over everything else.
    consuming func readSettings(into configuration: inout Configuration) throws(PoolError) {
        while let line = nextLine() {
            if isHeading(line) {
                section = text.equals(inside(line), "iotrap") ? .settings : .other
            } else if section == .settings {
                let content = try withoutComment(line)
                try readSetting(content, into: &configuration)
            }
        }
    }

    /// Reads `[pool NAME]`, and complains about sections that do not exist.
    consuming func readPools() throws(PoolError) {
        var draft: PoolDraft?
        while let line = nextLine() {
            if isHeading(line) {
                try draft?.finish(text)
                draft = try readHeading(try withoutComment(line))
            } else if section == .none {
                throw text.span(line).error(.noSection)
            } else if section == .pool {
                let content = try withoutComment(line)
                try Self.readOption(content, text, into: &draft)
            }
        }
        try draft?.finish(text)
    }

    /// The next line that says something, without blanks around it.
    private mutating func nextLine() -> Range<Int>? {
        let count = text.bytes.count
        while position < count {
            let start = position
            while position < count && text.bytes[position] != UInt8(ascii: "\n") { position += 1 }
            let line = text.trimmed(start..<position)
            position += 1
            text.line += 1
            if let first = line.first, text.bytes[first] != UInt8(ascii: "#") { return line }
        }
        return nil
    }

    /// A comment begins with a "#" that follows a blank.
    private func withoutComment(_ line: Range<Int>) throws(PoolError) -> Range<Int> {
        var start = line.lowerBound
        while true {
            let end = try text.scan(start..<line.upperBound, to: "#")
            if end == line.upperBound { return line }
            if PoolText.has(PoolText.blanks, text.bytes[end - 1]) {
                return text.trimmed(line.lowerBound..<end)
            }
            start = end + 1
        }
    }

    private func isHeading(_ line: Range<Int>) -> Bool {
        text.bytes[line.lowerBound] == UInt8(ascii: "[")
    }

    /// What stands between the brackets of a heading, or the whole of one that is not closed.
    private func inside(_ heading: Range<Int>) -> Range<Int> {
        guard text.bytes[heading.upperBound - 1] == UInt8(ascii: "]") else { return heading }
        return text.trimmed((heading.lowerBound + 1)..<(heading.upperBound - 1))
    }

    /// Begins a section; the draft of its pool, if it is one.
    private mutating func readHeading(_ heading: Range<Int>) throws(PoolError) -> PoolDraft? {
        let words = inside(heading)
        if text.equals(words, "iotrap") {
            section = .settings
            return nil
        }
        var end = words.lowerBound
        while end < words.upperBound && !PoolText.has(PoolText.blanks, text.bytes[end]) {
            end += 1
        }
        guard text.equals(words.lowerBound..<end, "pool") else {
            throw text.span(heading).error(.unknownSection)
        }
        section = .pool
        let name = text.trimmed(end..<words.upperBound)
        return try PoolDraft(table, text, name: name, heading: text.span(heading))
    }

    private func readSetting(
        _ line: Range<Int>, into configuration: inout Configuration
    ) throws(PoolError) {
        let (key, value) = try Self.split(line, text)
        do throws(ConfigurationError) {
            if text.equals(key, "mode") {
                let mode = UnsafeBufferPointer(rebasing: text.bytes[value])
                try ConfigurationParser(mode).parseMode(into: &configuration)
            } else {
                try ConfigurationParser(text.bytes).set(key, value, line, into: &configuration)
            }
        } catch {
            let isKey = error.fault == .unknownKey
            throw text.span(isKey ? key : line).error(.setting(error.fault))
        }
    }

    private static func readOption(
        _ line: Range<Int>, _ text: PoolText, into draft: inout PoolDraft?
    ) throws(PoolError) {
        let (key, value) = try split(line, text)
        guard text.equals(key, "path") || text.equals(key, "paths") else {
            try draft?.set(key, value, text)
            return
        }
        if value.isEmpty { throw text.span(line).error(.missingValue) }
        var start = value.lowerBound
        while start < value.upperBound {
            let end = try text.scan(start..<value.upperBound, to: ",")
            let path = text.trimmed(start..<end)
            if !path.isEmpty { try draft?.add(path: path, text) }
            start = end + 1
        }
    }

    /// What stands before the equals sign, and behind it.
    private static func split(
        _ line: Range<Int>, _ text: PoolText
    ) throws(PoolError) -> (Range<Int>, Range<Int>) {
        let equals = try text.scan(line, to: "=")
        let value = min(equals + 1, line.upperBound)..<line.upperBound
        return (text.trimmed(line.lowerBound..<equals), text.trimmed(value))
    }
}
