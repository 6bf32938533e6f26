import IOTrapEngine

/// The settings of one start: from the environment and the command line, checked by the parser of
/// the library itself, so that both refuse the same things.
struct Settings {
    /// `--mode`, if given.
    var mode: ByteString?
    /// `--set`, in the order given.
    var items: [ByteString] = []
    /// `--pool`, in the order given.
    var poolItems: [ByteString] = []
    /// `--config`, if given.
    var file: ByteString?
    /// The mount pools, once the settings were applied.
    private(set) var pools: [Pool] = []
    /// `--stats`
    var showsStatistics = false

    /// Checks all settings that the program would get, then writes the options into the
    /// environment. Throws for the first wrong one, naming it and where it came from.
    @discardableResult
    mutating func apply(
        to environment: inout Environment
    ) throws(CommandFailure) -> Configuration {
        var configuration = Configuration()
        let poolSettings = PoolSettings()
        try poolSettings.readFile(file, &environment, into: &configuration)
        if let value = environment["IOTRAP_MODE"], !value.isEmpty, mode == nil {
            try Self.parse(value, source: "IOTRAP_MODE", isMode: true, into: &configuration)
        }
        if let value = environment["IOTRAP_SET"] {
            try Self.parse(value, source: "IOTRAP_SET", isMode: false, into: &configuration)
        }
        if let mode {
            try Self.parse(mode, source: "--mode", isMode: true, into: &configuration)
            environment.set("IOTRAP_MODE", mode)
        }
        for item in items {
            if item.isEmpty { throw .usage("--set has no setting; write it as key=value") }
            try Self.parse(item, source: "--set", isMode: false, into: &configuration)
        }
        if !items.isEmpty {
            // Later items win, so options go behind what the environment says.
            let own = environment["IOTRAP_SET"].map { [$0] } ?? []
            let all = (own + items).filter { !$0.isEmpty }
            environment.set(
                "IOTRAP_SET", ByteString(Array(all.map(\.bytes).joined(separator: [0x2c]))))
        }
        try poolSettings.readLists(poolItems, &environment)
        pools = poolSettings.pools
        if showsStatistics {
            environment.set("IOTRAP_STATS", ByteString("keep"))
        } else if let value = environment["IOTRAP_STATS"], !["keep", "off"].contains(value.text) {
            throw .usage("unknown value '\(value.text)' in IOTRAP_STATS; valid values: keep, off")
        }
        return configuration
    }

    private static func parse(
        _ value: ByteString, source: String, isMode: Bool, into configuration: inout Configuration
    ) throws(CommandFailure) {
        var changed = configuration
        let refusal = value.bytes.withUnsafeBufferPointer { bytes -> ConfigurationError? in
            do throws(ConfigurationError) {
                let parser = ConfigurationParser(bytes)
                if isMode {
                    try parser.parseMode(into: &changed)
                } else {
                    try parser.parseSettings(into: &changed)
                }
                return nil
            } catch {
                return error
            }
        }
        configuration = changed
        guard let refusal else { return }
        let item = ByteString(value.bytes[refusal.start..<(refusal.start + refusal.count)])
        throw .usage("\(refusal.fault.text(item.text)) in \(source); \(refusal.remedy)")
    }
}

extension ConfigurationFault {
    /// What is wrong with an item, naming it.
    fileprivate func text(_ item: String) -> String {
        switch self {
        case .unknownMode: "unknown mode '\(item)'"
        case .unknownKey: "unknown setting '\(item)'"
        case .missingValue: "'\(item)' has no value"
        case .badSwitch, .badSize, .badNumber, .badChoice, .badFault: "wrong value '\(item)'"
        }
    }
}
