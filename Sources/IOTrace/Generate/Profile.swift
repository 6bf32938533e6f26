/// A kind of load that traces can be generated from: parts with parameters.
public struct Profile: Sendable {
    /// What `iotrap generate` knows it by.
    public let name: String
    /// One line about it.
    public let summary: String
    /// Seconds of load when none are given.
    public let seconds: Double
    /// The parts with the parameters that differ from the defaults.
    let parts: [(name: String, values: KeyValuePairs<String, String>)]

    /// All profiles, those of SAP HANA first.
    public static let all = hana + databases

    /// A profile by its name.
    public static func named(_ name: String) -> Profile? { all.first { $0.name == name } }

    /// Every parameter with its default.
    public var parameters: [ProfileParameter] {
        parts.flatMap { part in
            LoadPlan.keys.map { key, meaning in
                let given = part.values.first { $0.key == key }?.value
                return ProfileParameter(
                    key: part.name + "." + key, value: given ?? Self.defaults[key] ?? "",
                    meaning: meaning)
            }
        }
    }

    /// What holds where a part does not say otherwise; those of `LoadPlan`.
    private static let defaults: [String: String] = [
        "files": "1", "file-size": "1G", "grows": "no", "open": "direct", "call": "libaio",
        "channels": "1", "shared": "no", "sizes": "4K:1", "sizes-by": "requests", "read": "0",
        "order": "sequential", "zipf": "1.1", "superblock": "64M", "align": "4K", "depth": "1",
        "batch": "1", "rate": "0", "dwell": "1", "first": "0", "every": "0", "burst": "0",
        "total": "0", "sync": "none", "sync-every": "1", "commit": "no", "latency": "100",
        "flush": "200", "bandwidth": "1G", "critical": "0",
    ]
}

/// A profile with the parameters, the length, the size and the seed of one load.
public struct LoadSpecification: Sendable {
    /// The profile.
    public let profile: Profile
    /// Every parameter with its value.
    public private(set) var parameters: [ProfileParameter]
    /// Seconds of load.
    public var seconds: Double
    /// What sizes of files and bursts are multiplied by.
    public var scale: Double
    /// The same seed makes the same trace.
    public var seed: UInt64

    /// Applies settings to a profile; a later one of a key wins.
    ///
    /// - Throws: `.parameter`, which names the setting, for a key that the profile does not have, a
    ///   value that is not understood, or seconds or a scale that are not above 0.
    public init(
        _ profile: Profile, settings: [(key: String, value: String)] = [], seconds: Double? = nil,
        scale: Double = 1, seed: UInt64 = 1
    ) throws(TraceError) {
        self.profile = profile
        self.seconds = seconds ?? profile.seconds
        self.scale = scale
        self.seed = seed
        parameters = profile.parameters
        for (key, value) in settings {
            guard let index = parameters.firstIndex(where: { $0.key == key }) else {
                throw Self.failure("profile \(profile.name) has no parameter '\(key)'")
            }
            parameters[index].value = value
        }
        if !(self.seconds > 0 && self.seconds <= 1e8) {
            throw Self.failure("seconds must be above 0 and at most 100000000")
        }
        if !(scale > 0 && scale <= 1000) {
            throw Self.failure("the scale must be above 0 and at most 1000")
        }
        _ = try plans()
    }

    /// The parts with their values, scaled.
    func plans() throws(TraceError) -> [LoadPlan] {
        var plans: [LoadPlan] = []
        for part in profile.parts {
            var plan = LoadPlan()
            plan.name = part.name
            for parameter in parameters where parameter.key.hasPrefix(part.name + ".") {
                let key = String(parameter.key.dropFirst(part.name.count + 1))
                if !plan.set(key, parameter.value) {
                    let meaning = parameter.meaning
                    throw Self.failure(
                        "wrong value '\(parameter.value)' of \(parameter.key) (\(meaning))")
                }
            }
            scale(&plan)
            if plan.fileBytes > (1 << 62) / plan.files {
                throw Self.failure("\(part.name).file-size times files is over 2^62 bytes")
            }
            plans.append(plan)
        }
        for plan in plans {
            for (key, other) in [("pauses", plan.pauses), ("after", plan.startsAfter)]
            where !other.isEmpty {
                if other == plan.name || !plans.contains(where: { $0.name == other }) {
                    throw Self.failure("\(plan.name).\(key) is '\(other)', which is no other part")
                }
            }
        }
        return plans
    }

    private func scale(_ plan: inout LoadPlan) {
        func scaled(_ bytes: UInt64) -> UInt64 {
            bytes == 0 ? 0 : max(1, UInt64((Double(bytes) * scale).rounded()))
        }
        let largest = plan.sizes.map(\.bytes).max() ?? 4096
        // Whole blocks, and room for the largest request.
        let block = max(plan.align, 4096)
        let fileBytes = max(scaled(plan.fileBytes), largest)
        plan.fileBytes = (fileBytes + block - 1) / block * block
        plan.superblockBytes = min(max(plan.superblockBytes, largest), plan.fileBytes)
        plan.burstBytes = scaled(plan.burstBytes.lowerBound)...scaled(plan.burstBytes.upperBound)
        plan.totalBytes = scaled(plan.totalBytes)
    }

    private static func failure(_ text: String) -> TraceError {
        TraceError(path: "profile", reason: .parameter(text))
    }
}
