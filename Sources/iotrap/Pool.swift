import CIOTrapEngine

/// One configured mount pool, as the command looks at it.
struct Pool: Equatable {
    let name: String
    /// Absolute, without a slash at the end.
    let paths: [ByteString]
    /// Expected speeds, one a path.
    let weights: [UInt32]
    /// Index of the primary path.
    let primary: Int
    /// `IOTRAP_POOL_*`
    let flags: UInt32

    /// The pools of a table.
    static func all(in table: UnsafeMutablePointer<iotrap_pool_table>) -> [Pool] {
        (0..<table.pointee.pool_count).map { Pool(iotrap_pool_entry(table, $0), table) }
    }

    private init(
        _ pool: UnsafeMutablePointer<iotrap_pool_definition>,
        _ table: UnsafeMutablePointer<iotrap_pool_table>
    ) {
        let entries = (0..<pool.pointee.path_count).map {
            iotrap_pool_path_entry(table, pool.pointee.first_path + $0)
        }
        name = String(cString: iotrap_pool_name(pool))
        paths = entries.map { ByteString(cString: iotrap_pool_path_text($0)) }
        weights = entries.map(\.pointee.weight)
        primary = Int(pool.pointee.primary)
        flags = pool.pointee.flags
    }
}
