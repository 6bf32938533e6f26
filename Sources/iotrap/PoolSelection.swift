/// Which pools `iotrap doctor --pool` looks at.
struct PoolSelection {
    /// What the command line says: nothing (all that are configured), a name, or a pool.
    let value: ByteString?

    /// The pools, at least one.
    func pools(of environment: Environment) throws(CommandFailure) -> [Pool] {
        if let value, value.contains(":") {
            let settings = PoolSettings()
            var nothing = Environment(entries: [])
            try settings.readLists([value], &nothing)
            return settings.pools
        }
        let all = try Self.configured(in: environment)
        let otherwise = "write --pool=NAME:/PATH,/PATH, or set IOTRAP_MOUNT_POOLS or IOTRAP_CONFIG"
        if let value, let named = all.first(where: { $0.name == value.text }) { return [named] }
        if let value {
            let names = all.map(\.name).joined(separator: ", ")
            throw .usage(
                "no mount pool '\(value.text)' is configured; "
                    + (names.isEmpty ? otherwise : "configured: \(names)"))
        }
        if all.isEmpty { throw .usage("no mount pool is configured; \(otherwise)") }
        return all
    }

    /// The pools of the file that IOTRAP_CONFIG names, and of IOTRAP_MOUNT_POOLS.
    private static func configured(
        in environment: Environment
    ) throws(CommandFailure) -> [Pool] {
        var changed = environment
        var settings = Settings()
        try settings.apply(to: &changed)
        return settings.pools
    }
}
