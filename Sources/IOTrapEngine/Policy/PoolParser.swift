import CIOTrap
import CIOTrapEngine

/// Reads the configuration of mount pools into a table: the text of `IOTRAP_MOUNT_POOLS`, and the
/// configuration file.
///
/// It works on bytes, without allocation, because the preloaded library runs it before the host
/// program has started. The command uses the same code, so both refuse the same things. After an
/// error the table is worth nothing.
public struct PoolParser {
    private let table: UnsafeMutablePointer<iotrap_pool_table>

    /// - Parameter table: zeroed, or filled before: the pools of a list replace those of the same
    ///   name that were there.
    public init(_ table: UnsafeMutablePointer<iotrap_pool_table>) {
        self.table = table
    }

    /// Reads `NAME:/PATH,/PATH,key=value NAME:/PATH`: blanks separate pools, commas paths and
    /// options.
    ///
    /// - Parameter bytes: the text, without a terminating zero.
    public func parseList(_ bytes: UnsafeBufferPointer<UInt8>) throws(PoolError) {
        let text = PoolText(bytes)
        // First, so that no path is compared with one of a pool that is about to go.
        var position = 0
        while let item = try Self.nextItem(text, &position) {
            let colon = try text.scan(item, to: ":")
            if let index = PoolDraft.find(table, text, item.lowerBound..<colon) {
                PoolDraft.remove(index, from: table)
            }
        }
        position = 0
        while let item = try Self.nextItem(text, &position) { try parsePool(item, text) }
    }

    /// Reads a configuration file: the section `[iotrap]` into the configuration, sections
    /// `[pool NAME]` into the table. The settings are complete even when pools are refused; a
    /// refused setting has the fault `.setting`.
    ///
    /// - Parameter bytes: what the file holds.
    public func parseFile(
        _ bytes: UnsafeBufferPointer<UInt8>, configuration: inout Configuration
    ) throws(PoolError) {
        try PoolFileReader(table, bytes).readSettings(into: &configuration)
        try PoolFileReader(table, bytes).readPools()
    }

    /// What `IOTRAP_FIJI` asks for: large transfers leave the primary path of every pool alone.
    public func keepBulkOffPrimary() {
        for index in 0..<table.pointee.pool_count {
            iotrap_pool_entry(table, index).pointee.flags |= IOTRAP_POOL_BULK_OFF_PRIMARY
        }
    }

    /// Whether a value of `IOTRAP_FIJI` means yes: anything but nothing, 0, no and off.
    public static func isYes(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        let text = PoolText(bytes)
        let whole = 0..<bytes.count
        if whole.isEmpty || text.equals(whole, "0") { return false }
        return !text.equals(whole, "no") && !text.equals(whole, "off")
    }

    /// The next part between blanks, nil at the end.
    private static func nextItem(
        _ text: PoolText, _ position: inout Int
    ) throws(PoolError) -> Range<Int>? {
        let count = text.bytes.count
        while position < count && PoolText.has(PoolText.blanks, text.bytes[position]) {
            position += 1
        }
        if position == count { return nil }
        let start = position
        position = try text.scan(start..<count, to: PoolText.blanks)
        return start..<position
    }

    private func parsePool(_ item: Range<Int>, _ text: PoolText) throws(PoolError) {
        let heading = text.span(item)
        let colon = try text.scan(item, to: ":")
        let name = item.lowerBound..<colon
        // A path that is first was meant as one: its pool has no name.
        let isName = colon < item.upperBound && !name.contains { text.bytes[$0] == 0x2f }
        guard isName else { throw heading.error(.noName) }
        var draft = try PoolDraft(table, text, name: name, heading: heading)
        try draft.readParts((colon + 1)..<item.upperBound, text)
        try draft.finish(text)
    }
}

extension PoolDraft {
    /// Reads paths and options that commas separate; nothing between two commas is nothing.
    mutating func readParts(_ range: Range<Int>, _ text: PoolText) throws(PoolError) {
        var start = range.lowerBound
        while start < range.upperBound {
            let end = try text.scan(start..<range.upperBound, to: ",")
            let equals = try text.scan(start..<end, to: "=")
            if start < end && equals < end && !Self.beginsPath(text.bytes[start]) {
                try set(start..<equals, (equals + 1)..<end, text)
            } else if start < end {
                try add(path: start..<end, text)
            }
            start = end + 1
        }
    }

    private static func beginsPath(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "/") || byte == PoolText.quote || byte == PoolText.backslash
    }
}
