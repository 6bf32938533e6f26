import CIOTrap

/// The files of a recording: which entry of the trace each is, and how long it is by what was
/// recorded of it.
struct RecordedFileTable {
    /// A path.
    private struct Content {
        let path: String
        /// Bytes when it was seen first.
        let initialBytes: UInt64?
        /// Bytes by what was recorded since; nil: not known.
        var sizeBytes: UInt64?
        /// When the last write that has ended did so.
        var lastWrite: UInt64 = 0
        /// Writes that have not ended.
        var inFlight = 0
    }

    private struct Entry: Hashable {
        var content: Int
        var flags: UInt32
    }

    /// Where an event belongs.
    struct Place {
        var file: UInt32
        var content: Int
        /// Whether this is the first event of the process's number.
        var isNew: Bool
    }

    private let hash: PathHash?
    private var contents: [Content] = []
    private var numbers: [[UInt8]: Int] = [:]
    private var entries: [Entry: UInt32] = [:]
    private var places: [UInt64: Place] = [:]

    init(hash: PathHash?) {
        self.hash = hash
    }

    /// What a trace does not keep of open flags: O_CREAT, O_EXCL, O_NOCTTY, O_TRUNC, O_CLOEXEC,
    /// and O_LARGEFILE, which all files of 64-bit programs have.
    private static let passing: UInt32 = 0o2101700

    mutating func place(
        _ process: Int, _ number: UInt32, _ file: RawFile, _ writer: inout TraceWriter
    ) throws(TraceError) -> Place {
        let key = UInt64(process) << 32 | UInt64(number)
        if var place = places[key] {
            place.isNew = false
            return place
        }
        let content = content(of: file)
        let entry = Entry(content: content, flags: file.openFlags & ~Self.passing)
        var place = Place(file: 0, content: content, isNew: true)
        if let known = entries[entry] {
            place.file = known
        } else {
            // A replay begins with what was there at the beginning.
            place.file = try writer.addFile(
                TraceFile(
                    path: contents[content].path, openFlags: entry.flags, mode: file.mode,
                    sizeBytes: contents[content].initialBytes, isAbsolute: true))
            entries[entry] = place.file
        }
        places[key] = place
        return place
    }

    private mutating func content(of file: RawFile) -> Int {
        if let known = numbers[file.path] { return known }
        let text = hash.map { $0.path(file.path) } ?? Self.text(file.path)
        contents.append(
            Content(path: text, initialBytes: file.sizeBytes, sizeBytes: file.sizeBytes))
        numbers[file.path] = contents.count - 1
        return contents.count - 1
    }

    /// A path as a trace has it. Bytes that are no UTF-8 are written as %XX.
    private static func text(_ path: [UInt8]) -> String {
        var text = String(validating: path, as: UTF8.self) ?? ""
        if text.isEmpty {
            let digits = Array("0123456789ABCDEF".unicodeScalars)
            for byte in path {
                if byte < 0x80 {
                    text.unicodeScalars.append(Unicode.Scalar(byte))
                } else {
                    text.unicodeScalars.append("%")
                    text.unicodeScalars.append(digits[Int(byte >> 4)])
                    text.unicodeScalars.append(digits[Int(byte & 15)])
                }
            }
        }
        return TraceFile.normalized(text).path
    }

    /// Bytes of a file by what was recorded of it.
    func sizeBytes(_ content: Int) -> UInt64 { contents[content].sizeBytes ?? 0 }

    /// Whether a file that is found to have so many bytes has lost some unseen. Not while it may
    /// just have been written to.
    mutating func mustCut(_ content: Int, to size: UInt64, _ event: TraceEvent) -> Bool {
        guard let known = contents[content].sizeBytes, size != known else { return false }
        if size > known {
            contents[content].sizeBytes = size
            return false
        }
        guard contents[content].inFlight == 0,
            contents[content].lastWrite <= event.submitNanoseconds
        else { return false }
        contents[content].sizeBytes = size
        return true
    }

    /// A call that is over.
    mutating func note(_ event: TraceEvent, _ content: Int) {
        guard !event.isError else { return }
        switch event.operation {
        case .write:
            grow(content, to: event.offset + UInt64(max(0, event.result)))
            contents[content].lastWrite = max(
                contents[content].lastWrite, event.completeNanoseconds)
        case .truncate: contents[content].sizeBytes = event.offset
        case .allocate:
            // FALLOC_FL_KEEP_SIZE, COLLAPSE_RANGE, INSERT_RANGE
            if event.flags & 1 != 0 { return }
            if event.flags & 8 != 0 {
                contents[content].sizeBytes =
                    sizeBytes(content)
                    - min(
                        event.length, sizeBytes(content))
            } else if event.flags & 32 != 0 {
                grow(content, to: sizeBytes(content) + event.length)
            } else {
                grow(content, to: event.end)
            }
        default: break
        }
    }

    /// A request that was submitted.
    mutating func begin(_ event: TraceEvent, _ content: Int) {
        guard event.operation == .write else { return }
        contents[content].inFlight += 1
        grow(content, to: event.end)
    }

    /// And has ended.
    mutating func end(_ event: TraceEvent, _ content: Int) {
        guard event.operation == .write else { return }
        contents[content].inFlight -= 1
        contents[content].lastWrite = max(contents[content].lastWrite, event.completeNanoseconds)
    }

    private mutating func grow(_ content: Int, to end: UInt64) {
        contents[content].sizeBytes = max(contents[content].sizeBytes ?? 0, end)
    }
}
