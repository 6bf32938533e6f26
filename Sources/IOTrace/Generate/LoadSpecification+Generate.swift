extension LoadSpecification {
    /// Writes the load as a trace. The same specification makes the same bytes, with
    /// `TraceCodec.zstd` as long as the version of libzstd is the same.
    ///
    /// - Throws: `.exists`, `.notRegular` or `.system`; nothing is left then.
    public func generate(
        to path: String, codec: TraceCodec = .raw, replaces: Bool = false
    ) throws(TraceError) -> TraceTotals {
        let plans = try plans()
        var header = TraceHeader()
        header.isOrdered = true
        header.isGenerated = true
        var writer = try TraceWriter(path: path, header: header, codec: codec, replaces: replaces)
        try writer.addMetadata(metadata)
        var firstFiles: [UInt32] = []
        for plan in plans {
            firstFiles.append(UInt32(writer.totals.files))
            for number in 0..<plan.files {
                let file = TraceFile(
                    path: "\(plan.directory)/\(plan.name)-\(number)",
                    openFlags: plan.opening.flags, mode: 0o600,
                    sizeBytes: plan.grows ? 0 : plan.fileBytes)
                _ = try writer.addFile(file)
            }
        }
        var generator = LoadGenerator(
            plans, firstFiles: firstFiles, seed: seed, seconds: seconds)
        try generator.run(into: &writer)
        return try writer.finish()
    }

    private var metadata: [(key: String, value: String)] {
        [
            ("producer", "iotrap generate"), ("profile", profile.name),
            ("seconds", "\(seconds)"), ("scale", "\(scale)"), ("seed", "\(seed)"),
        ] + parameters.map { ("set." + $0.key, $0.value) }
    }
}
