import IOTrap

/// Reads an archive from its beginning to its end, a block ahead of the unpacking.
struct ArchiveReader {
    /// Longer pax headers and names are refused.
    private static let extraBytesMax: Int64 = 1 << 20

    private var blocks: IOBlocks.Iterator
    private var block: IOBlock?
    /// Bytes of the block that were used.
    private var used = 0
    /// Where the reader is in the archive.
    private(set) var offset: Int64 = 0
    /// Bytes of the current entry that were not read.
    private var left: Int64 = 0
    private var padding: Int64 = 0
    private var globals = Overrides()

    init(_ blocks: IOBlocks) { self.blocks = blocks.makeAsyncIterator() }

    /// The header of the next entry; what is left of the one before is skipped.
    mutating func next() async throws -> TarHeader? {
        var own = Overrides()
        while true {
            try await skip(left + padding)
            let start = offset
            let block = try await bytes(TarHeader.bytes)
            // An archive that ends without its zeros is taken as it is.
            if block.isEmpty { return nil }
            guard block.count == TarHeader.bytes else { throw cut() }
            guard var header = try TarHeader(block[...], at: start) else { return nil }
            guard "xgLK".contains(header.kind) else {
                try globals.merged(with: own).apply(to: &header, at: start)
                let holdsData = "07".contains(header.kind)
                setSize(holdsData ? header.size : 0)
                return header
            }
            guard header.size <= Self.extraBytesMax else {
                throw ArchiveError(offset: start, reason: "an extra header of \(header.size) bytes")
            }
            setSize(header.size)
            let extra = try await bytes(Int(header.size))
            guard extra.count == header.size else { throw cut() }
            left = 0
            switch header.kind {
            case "x": try own.addPax(extra[...], at: start)
            case "g": try globals.addPax(extra[...], at: start)
            default: own.addLongName(extra[...], isTarget: header.kind == "K")
            }
        }
    }

    /// Fills a buffer with the next bytes of the entry, all that fit or are left.
    mutating func read(into buffer: inout IOBuffer) async throws {
        let wanted = Int(min(left, Int64(buffer.capacity)))
        var filled = 0
        while filled < wanted {
            guard try await loadBlock() else { throw cut() }
            let block = block!
            let part = min(wanted - filled, block.count - used)
            let source = block.bytes.extracting(used..<used + part)
            var storage = buffer.storage
            source.withUnsafeBytes { from in
                storage.withUnsafeMutableBytes { to in
                    UnsafeMutableRawBufferPointer(rebasing: to[filled...]).copyMemory(from: from)
                }
            }
            advance(part)
            filled += part
        }
        buffer.count = wanted
        left -= Int64(wanted)
    }

    private func cut() -> ArchiveError {
        ArchiveError(offset: offset, reason: "the archive ends in the middle of an entry")
    }

    private mutating func setSize(_ size: Int64) {
        left = size
        padding = -size & Int64(TarHeader.bytes - 1)
    }

    private mutating func advance(_ count: Int) {
        used += count
        offset += Int64(count)
    }

    /// Makes the block have bytes that were not used; false at the end of the archive.
    private mutating func loadBlock() async throws -> Bool {
        while block == nil || used == block!.count {
            block = nil
            guard let next = try await blocks.next() else { return false }
            block = next
            used = 0
        }
        return true
    }

    /// So many bytes, or as many as there are.
    private mutating func bytes(_ count: Int) async throws -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(count)
        while result.count < count {
            guard try await loadBlock() else { break }
            let block = block!
            let part = min(count - result.count, block.count - used)
            block.bytes.extracting(used..<used + part).withUnsafeBytes {
                result.append(contentsOf: $0)
            }
            advance(part)
        }
        return result
    }

    private mutating func skip(_ count: Int64) async throws {
        var rest = count
        while rest > 0 {
            guard try await loadBlock() else { throw cut() }
            let part = Int(min(rest, Int64(block!.count - used)))
            advance(part)
            rest -= Int64(part)
        }
        setSize(0)
    }
}
