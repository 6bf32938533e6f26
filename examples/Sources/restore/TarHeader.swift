/// Why an archive cannot be unpacked further.
struct ArchiveError: Error, CustomStringConvertible {
    let offset: Int64
    let reason: String

    var description: String { "at byte \(offset): \(reason)" }
}

/// One 512-byte header of a tar archive: ustar, or GNU's older kind.
struct TarHeader {
    static let bytes = 512

    var name: String
    var mode: UInt32
    var size: Int64
    var modified: Int64
    /// As in the archive: "0" a file, "5" a directory, "2" a link, ...
    var kind: Character
    var target: String

    /// Reads a header; nil for one of the blocks of zeros that end an archive.
    init?(_ block: ArraySlice<UInt8>, at offset: Int64) throws(ArchiveError) {
        let block = Array(block)
        if block.allSatisfy({ $0 == 0 }) { return nil }
        let sum = block.enumerated().reduce(0) { sum, byte in
            sum + ((148..<156).contains(byte.offset) ? 32 : Int(byte.element))
        }
        guard TarHeader.number(block[148..<156]) == Int64(sum) else {
            throw ArchiveError(offset: offset, reason: "no tar header: its checksum is wrong")
        }
        guard let size = TarHeader.number(block[124..<136]), size >= 0,
            let mode = TarHeader.number(block[100..<108]),
            let modified = TarHeader.number(block[136..<148])
        else { throw ArchiveError(offset: offset, reason: "a number in the header is wrong") }
        self.size = size
        self.mode = UInt32(truncatingIfNeeded: mode) & 0o777
        self.modified = modified
        kind = block[156] == 0 ? "0" : Character(Unicode.Scalar(block[156]))
        target = TarHeader.text(block[157..<257])
        name = TarHeader.text(block[0..<100])
        // GNU's older headers have other things where ustar has a prefix.
        if Array(block[257..<263]) == Array("ustar\0".utf8), block[345] != 0 {
            name = TarHeader.text(block[345..<500]) + "/" + name
        }
    }

    private static func text(_ field: ArraySlice<UInt8>) -> String {
        String(decoding: field.prefix { $0 != 0 }, as: UTF8.self)
    }

    /// Octal digits, or with the top bit set a binary number (GNU, star).
    private static func number(_ field: ArraySlice<UInt8>) -> Int64? {
        if let first = field.first, first & 0x80 != 0 {
            var value = Int64(first & 0x40 != 0 ? -1 : 0) << 6 | Int64(first & 0x3f)
            for byte in field.dropFirst() {
                guard value.magnitude < 1 << 54 else { return nil }
                value = value << 8 | Int64(byte)
            }
            return value
        }
        let digits = field.drop { $0 == 32 }.prefix { $0 != 0 && $0 != 32 }
        if digits.isEmpty { return 0 }
        return Int64(String(decoding: digits, as: UTF8.self), radix: 8)
    }
}

/// What pax headers and GNU's long names say about the next entry.
struct Overrides {
    private var records: [String: String] = [:]

    /// Reads the records of a pax header: "LENGTH KEY=VALUE\n" each.
    mutating func addPax(_ bytes: ArraySlice<UInt8>, at offset: Int64) throws(ArchiveError) {
        var rest = bytes
        while let blank = rest.firstIndex(of: 32) {
            let digits = String(decoding: rest[..<blank], as: UTF8.self)
            guard let length = Int(digits), length > digits.count + 2, length <= rest.count else {
                throw ArchiveError(offset: offset, reason: "a pax record has a wrong length")
            }
            let record = rest.prefix(length)[(blank + 1)...].dropLast()
            guard let equals = record.firstIndex(of: 61) else {
                throw ArchiveError(offset: offset, reason: "a pax record has no '='")
            }
            records[String(decoding: record[..<equals], as: UTF8.self)] =
                String(decoding: record[(equals + 1)...], as: UTF8.self)
            rest = rest.dropFirst(length)
        }
    }

    mutating func addLongName(_ bytes: ArraySlice<UInt8>, isTarget: Bool) {
        let text = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        records[isTarget ? "linkpath" : "path"] = text
    }

    /// Those of `other` win.
    func merged(with other: Overrides) -> Overrides {
        var both = self
        both.records.merge(other.records) { $1 }
        return both
    }

    func apply(to header: inout TarHeader, at offset: Int64) throws(ArchiveError) {
        if records.keys.contains(where: { $0.hasPrefix("GNU.sparse.") }) {
            throw ArchiveError(
                offset: offset, reason: "\(header.name) is stored sparse, which is not supported")
        }
        if let name = records["path"] { header.name = name }
        if let target = records["linkpath"] { header.target = target }
        if let text = records["size"] {
            guard let size = Int64(text), size >= 0 else {
                throw ArchiveError(offset: offset, reason: "the size '\(text)' is no number")
            }
            header.size = size
        }
        if let text = records["mtime"], let seconds = Double(text), abs(seconds) < 1e15 {
            header.modified = Int64(seconds.rounded(.down))
        }
    }
}
